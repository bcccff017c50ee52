"""Least squares on random features of a data set, over their number, at several levels of label noise."""

import functools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from threadpoolctl import threadpool_limits
from torch import Tensor

from thalweg.data import Data, Examples, ExampleSet
from thalweg.errors import DataError, UsageError, check_choice, check_count, check_type
from thalweg.generalization.double_descent.complexity import effective_model_complexity, of_turned
from thalweg.generalization.double_descent.feature_curve import COMPLEXITY, FeatureCurve, check_sizes
from thalweg.generalization.double_descent.features import FourierFeatures, ReluFeatures
from thalweg.generalization.double_descent.least_squares import least_squares
from thalweg.generalization.double_descent.target_noise import target_noise
from thalweg.guard import guarded
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import stream_key, whole
from thalweg.results import Cost, Provenance, Reading

Array = NDArray[np.float64]
Draw = Callable[[Array], Array]
KINDS = ("fourier", "relu")
PENALTIES = np.geomspace(1e-6, 1e2, 17)  # of ridge, for features whose squares sum to about 1
REACH = 3  # times n, examples up to which effective model complexity is measured
FEW = 3  # seeds over which effective model complexity is a mean


@guarded
def over_features(
    data: Data,
    sizes: Sequence[int],
    *,
    n: int,
    features: str = "fourier",
    scale: float | None = None,
    noise: Sequence[float] = (0.0, 0.2),
    seeds: Sequence[int] = range(5),
    validation: int = 200,
    members: int = 1,
    complexity: float | None = None,
    progress: Watcher | None = automatic,
) -> FeatureCurve:
    """Fit n examples by least squares on ever more random features, up to and past the point where all labels are met.

    Every seed has a training set, noise and features of its own; sizes and levels of noise share them, and all levels
    of noise share one decomposition at a size. Classes are fitted one-hot. Fewer features are the first of more.

    >>> import thalweg as tw
    >>> from thalweg.generalization import double_descent
    >>> curve = double_descent.over_features(tw.data.digits(), [10, 50, 1000], n=50, seeds=range(3))
    >>> curve.thresholds[0].tolist(), bool((curve.peaks == 50).all())
    ([50.0, 50.0, 50.0], True)

    Args:
        data: examples in memory, with classes or numbers as targets.
        sizes: numbers of features, ascending.
        n: examples to train on; all others, of both parts of the data, are for validation and testing.
        features: "fourier" or "relu".
        scale: of the Fourier frequencies; None: 2 over the median distance of examples.
        noise: shares of training labels that are made wrong; of targets that are numbers, standard deviations of what
            is added, in those of the target.
        seeds: of training sets, noise and features.
        validation: examples on which the ridge penalty is chosen; their labels have the same noise.
        members: draws of features whose predictions are averaged for "ensemble error"; 1: none is.
        complexity: the share of the targets' squares that may be left for them to count as fitted, by which
            `effective_model_complexity` is measured at the last level of noise, over the first 3 seeds and up to 3 n
            examples; None: it is not measured.
        progress: told how far it is.

    Raises:
        UsageError: sizes, counts or features that cannot be meant; noise on labels that cannot be flipped; inputs so
            many of which are equal that they have no scale.
        DataError: inputs or targets that are not one tensor of numbers.

    Cost: for every size and seed one decomposition, min(n, N)^2 max(n, N).

    References:
        Belkin, Hsu, Ma & Mandal (2019), arXiv:1812.11118.
    """
    check_type("over_features data", data, Data, "data such as tw.data.digits()")
    began, numbers = time.perf_counter(), check_sizes(sizes)
    check_choice("over_features features", features, KINDS)
    check_count("over_features n", n, 2)
    check_count("over_features validation", validation)
    check_count("over_features members", members)
    seeds, levels = [whole(seed) for seed in seeds], [float(level) for level in noise]
    if not seeds or not levels:
        msg = f"over_features needs at least one seed and one level of noise; got seeds {seeds} and noise {levels}."
        raise UsageError(msg)
    splits = [_split(data, n, validation, levels, seed) for seed in seeds]
    inputs = splits[0].inputs[0]
    width = 1.0 if features == "relu" else 2 / _median_distance(inputs) if scale is None else scale

    def drawn(number: int, seed: int) -> Draw:
        if features == "relu":
            return ReluFeatures(inputs.shape[1], number, seed)
        return FourierFeatures(inputs.shape[1], number, width, seed)

    most, found = int(numbers[-1]), defaultdict[str, list[Array]](list)
    # Matrices are small: NumPy's threads wait for each other, and factorizations take several times as long.
    with watched(progress) as told, threadpool_limits(1, user_api="blas"):
        for place, (seed, split) in enumerate(zip(seeds, splits, strict=True)):
            phis = [drawn(most, seed)(part) for part in split.inputs]
            for index, number in enumerate(numbers):  # fewer features are the first of more, on their own scale
                some = [phi[:, :number] * math.sqrt(most / number) for phi in phis]
                for name, value in _fitted(split, some).items():
                    found[name].append(value)
                if told is not None:
                    done = place * len(numbers) + index + 1
                    told(Progress("fitting features", done, len(seeds) * len(numbers), time.perf_counter() - began))
            if members > 1:
                found["ensemble error"] += _ensemble(split, functools.partial(drawn, most), numbers, members, seed)
    arrays, dims = {}, {}
    for name, values in found.items():  # (seeds, sizes, ...) to (..., sizes, seeds)
        table = np.reshape(values, (len(seeds), len(numbers), *values[0].shape))
        arrays[name] = np.moveaxis(table, (0, 1), (-1, -2))
        dims[name] = ("noise", "size", "seed")[-table.ndim :]
    if complexity is not None:
        with threadpool_limits(1, user_api="blas"):
            arrays[COMPLEXITY] = _complexity(data, drawn, numbers.tolist(), n, levels[-1], seeds[:FEW], complexity)
        dims[COMPLEXITY] = ("size",)
    kind = f"Fourier features of scale {width:.3g}" if features == "fourier" else "ReLU features"
    reading = Reading(
        "Least squares on random features",
        arrays,
        dims,
        {"noise": np.array(levels), "size": numbers, "seed": np.array(seeds)},
        sample_size=len(seeds),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(seeds[0]),
        notes=(
            f"{kind} of {data.name}, {n} examples, minimum norm, {len(seeds)} seeds: medians, with the middle "
            "half of the seeds, since at the threshold the expectation is infinite.",
        ),
    )
    return FeatureCurve(reading, n)


@dataclass(frozen=True)
class _Split:
    """Training, validation and test examples of one seed: their inputs, and targets (examples, noise, outputs)."""

    inputs: list[Array]
    train: Array
    choose: Array
    test: Array
    classes: int | None


def _split(data: Data, n: int, validation: int, levels: Sequence[float], seed: int) -> _Split:
    clean = data.split_anew(n, seed=seed, stream="random features")
    rest = clean.test
    assert isinstance(rest, Examples)
    if len(rest) <= validation:
        msg = (
            f"{data.name!r} has {n + len(rest):,} examples: {n} to train on and {validation} for validation leave none "
        )
        raise UsageError(msg + "to test on.")
    held = replace(clean, train=rest.select(torch.arange(validation)))
    last = rest.select(torch.arange(validation, len(rest)))
    inputs = [_inputs(part) for part in (clean.train, held.train, last)]
    train, choose = (np.stack([_noisy(part, level, seed) for level in levels], 1) for part in (clean, held))
    return _Split(inputs, train, choose, _encoded(last.targets, data.classes), data.classes)


def _fitted(split: _Split, phis: Sequence[Array]) -> dict[str, Array]:
    """Fit the training features of one size, and what comes of it."""
    train, choose, test = phis
    fit = least_squares(train, split.train)
    turned, predictions = fit.turned(choose), fit.predict(test)
    squares = fit.singular**2
    shrunk = fit.rotated * (fit.singular / (squares + PENALTIES[:, None]))[..., None, None]  # (penalties, rank, ...)
    chosen = [((np.tensordot(turned, one, 1) - split.choose) ** 2).sum(2).mean(0) for one in shrunk]
    best = PENALTIES[np.argmin(chosen, 0)]  # (noise,)
    ridged = np.tensordot(test, fit.from_targets(1 / (squares[:, None] + best)), 1)
    found = {
        "test error": ((predictions - split.test[:, None]) ** 2).sum(2).mean(0),
        "train error": fit.train_errors.sum(1),
        "norm": np.sqrt((fit.norms**2).sum(1)),
        "ridge error": ((ridged - split.test[:, None]) ** 2).sum(2).mean(0),
        "penalty": best,
        "rank": np.array(fit.rank),
        "condition": np.array(fit.condition),
        "effective parameters": np.array(of_turned(fit, turned)),
    }
    if split.classes is not None:
        found["wrong"] = (predictions.argmax(2) != split.test.argmax(1)[:, None]).mean(0)
    return found


def _ensemble(
    split: _Split, drawn: Callable[[int], Draw], sizes: NDArray[np.int64], members: int, seed: int
) -> list[Array]:
    """The squared error of the mean prediction of several draws, the first of them the curve's own: (noise,) a size."""
    sums = [np.zeros((len(split.test), *split.train.shape[1:])) for _ in sizes]
    for member in range(members):
        draw = drawn(stream_key(seed, "ensemble", member) if member else seed)
        train, test = draw(split.inputs[0]), draw(split.inputs[2])
        for total, number in zip(sums, sizes, strict=True):
            total += least_squares(train[:, :number], split.train).predict(test[:, :number])
    return [((total / members - split.test[:, None]) ** 2).sum(2).mean(0) for total in sums]


def _complexity(
    data: Data,
    drawn: Callable[[int, int], Draw],
    sizes: Sequence[int],
    n: int,
    level: float,
    seeds: Sequence[int],
    tolerance: float,
) -> Array:
    """The most examples of which so many features leave no larger share of the targets' squares; NaN beyond 3 n."""
    most = min(REACH * n, len(data.train) + (0 if data.test is None else len(data.test)) - 1)

    def left(count: int, draws: Sequence[Draw]) -> float:
        shares = []
        for draw, seed in zip(draws, seeds, strict=True):
            some = data.split_anew(count, seed=seed, stream="random features")
            targets = _noisy(some, level, seed)
            fit = least_squares(draw(_inputs(some.train)), targets)
            shares.append((fit.train_residuals**2).sum() / (targets**2).sum())
        return float(np.mean(shares))

    found = np.full(len(sizes), np.nan)
    for place, size in enumerate(sizes):
        if size < most:
            draws = [drawn(int(size), seed) for seed in seeds]
            error = functools.partial(left, draws=draws)
            found[place] = effective_model_complexity(error, most, tolerance=tolerance, least=int(size))
    return found


def _inputs(part: ExampleSet) -> Array:
    return _numbers("Inputs", part.inputs if isinstance(part, Examples) else None).reshape(len(part), -1)


def _noisy(data: Data, level: float, seed: int) -> Array:
    """Training targets with noise: wrong classes in exactly that share, or so many standard deviations added."""
    noisy = data.with_label_noise(level, seed) if level and data.classes is not None else data
    assert isinstance(noisy.train, Examples)  # they were split, so they are in memory
    targets = _encoded(noisy.train.targets, data.classes)
    if data.classes is not None:
        return targets
    return targets + target_noise(targets, level, seed)


def _encoded(targets: object, classes: int | None) -> Array:
    """Classes one-hot, numbers as columns: (examples, outputs)."""
    numbers = _numbers("Targets", targets)
    if classes is not None:
        return np.eye(classes)[numbers.astype(np.int64)]
    return numbers.reshape(len(numbers), -1)


def _numbers(what: str, values: object) -> Array:
    if not isinstance(values, Tensor):
        msg = f"{what} of random features are one tensor of numbers; got a {type(values).__name__} of tensors."
        raise DataError(msg)
    return values.detach().cpu().double().numpy()


def _median_distance(inputs: Array) -> float:
    found = float(np.median(pdist(inputs[:1000])))
    if not found:
        msg = "Half of the examples or more have the same inputs: their median distance sets no scale of Fourier "
        raise UsageError(msg + "features; write over_features(..., scale=1.0).")
    return found
