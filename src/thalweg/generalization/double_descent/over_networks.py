"""Networks of ever more units, or layers, trained on noisy labels: double descent where nothing is linear.

Each size has a network for every seed, and each seed a training set and label noise of its own. Widths that are close
train as one population where the rule is elementwise (see `nested`): a step of few small networks is mostly what it
costs beside their products.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg import nets
from thalweg.data import Data, Examples, pooled
from thalweg.errors import UsageError, check_count
from thalweg.evaluation import by_example
from thalweg.generalization.dealt import own_sets
from thalweg.generalization.double_descent.nested import columns_within, together, widened
from thalweg.generalization.double_descent.network_curve import NetworkCurve
from thalweg.guard import guarded
from thalweg.optim import Adam, Rule, Wrapper
from thalweg.population import Population, Problem
from thalweg.population.device import as_device
from thalweg.progress import Watcher, automatic
from thalweg.randomness import whole
from thalweg.results import Provenance, Reading
from thalweg.training import Observed, Recipe, train
from thalweg.workers import Workers

Array = NDArray[np.float64]
_MEASURES = ("wrong", "test loss", "Brier score")


@guarded
def over_widths(
    data: Data,
    widths: Sequence[int],
    *,
    n: int,
    layers: int = 1,
    noise: float = 0.2,
    seeds: Sequence[int] = range(4),
    steps: int = 1_500,
    batch_size: int = 100,
    optimizer: Rule | Wrapper = Adam(5e-3),  # noqa: B008
    evaluate: int = 20,
    device: str | torch.device = "cpu",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> NetworkCurve:
    """Train ReLU networks of ever wider hidden layers on n examples with wrong labels among them.

    >>> import thalweg as tw
    >>> curve = tw.generalization.double_descent.over_widths(tw.data.digits(), [2, 8], n=100, steps=20, seeds=range(2))
    >>> curve["wrong"].shape[::2], curve["parameters"].tolist(), bool((curve.best <= curve.last).all())
    ((2, 2), [160, 610], True)

    Args:
        data: classes, in memory; inputs of several axes, such as images, are read as one row of numbers each.
        widths: of the hidden layers.
        n: examples to train on. Training sets are disjoint where there are enough examples for that, and all others are
            tested on; if not, each seed draws its own, and is tested on what it did not draw.
        layers: hidden layers.
        noise: the share of training labels that are made wrong.
        seeds: of training sets, noise, initializations and data orders.
        steps, batch_size, optimizer: how they are trained, at a constant rate.
        evaluate: at how many steps, at equal ratios, test errors are taken.
        device: where the networks are trained.
        progress: told how far it is.
        workers: who trains slices of the members, see `train`; None: this process.

    Raises:
        UsageError: sizes that cannot be meant; labels that cannot be flipped.
        DataError: examples that are not one tensor of numbers each.

    References:
        Nakkiran et al. (2019), arXiv:1912.02292.
    """
    _check("over_widths", "widths", widths)
    check_count("over_widths layers", layers)
    hidden = [[width] * layers for width in widths]
    return _curve(
        data,
        hidden,
        widths,
        "width",
        n,
        noise,
        seeds,
        (steps, batch_size, optimizer, evaluate),
        device,
        progress,
        workers,
    )


@guarded
def over_depths(
    data: Data,
    depths: Sequence[int],
    *,
    n: int,
    width: int = 16,
    noise: float = 0.2,
    seeds: Sequence[int] = range(4),
    steps: int = 1_500,
    batch_size: int = 100,
    optimizer: Rule | Wrapper = Adam(5e-3),  # noqa: B008
    evaluate: int = 20,
    device: str | torch.device = "cpu",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> NetworkCurve:
    """Train ReLU networks of ever more hidden layers, of one width, on n examples with wrong labels among them.

    >>> import thalweg as tw
    >>> curve = tw.generalization.double_descent.over_depths(tw.data.digits(), [1, 2], n=100, steps=20, seeds=range(2))
    >>> curve["parameters"].tolist()
    [1210, 1482]

    Args:
        depths: hidden layers.
        width: of each of them.
        data, n, noise, seeds, steps, batch_size, optimizer, evaluate, device, progress, workers: see
            `over_widths`.

    Raises, references: those of `over_widths`.
    """
    _check("over_depths", "depths", depths)
    check_count("over_depths width", width)
    hidden = [[width] * depth for depth in depths]
    return _curve(
        data,
        hidden,
        depths,
        "depth",
        n,
        noise,
        seeds,
        (steps, batch_size, optimizer, evaluate),
        device,
        progress,
        workers,
    )


def _curve(
    data: Data,
    hidden: Sequence[Sequence[int]],
    sizes: Sequence[int],
    what: str,
    n: int,
    noise: float,
    seeds: Sequence[int],
    training: tuple[int, int, Rule | Wrapper, int],
    device: str | torch.device,
    progress: Watcher | None,
    workers: Workers | None,
) -> NetworkCurve:
    (steps, batch_size, optimizer, evaluate), seeds = training, [whole(seed) for seed in seeds]
    if data.classes is None:
        msg = f"{data.name!r} has numbers as targets; labels are made wrong, and counted, where targets are classes."
        raise UsageError(msg)
    sets, pool, tested = own_sets(data, n, noise, seeds)
    of_all, table = pooled([_in_rows(one) for one in sets])
    pool = _in_rows(pool).to(as_device(device))
    inputs = torch.as_tensor(pool.inputs).shape[1]
    at = np.unique(np.geomspace(min(10, steps), steps, evaluate).round()).astype(int)
    found = np.zeros((len(_MEASURES), len(sizes), len(at), len(seeds)))
    wrong = np.zeros((len(sizes), len(seeds)))

    def problem_of(widths: Sequence[int]) -> Problem:
        return Problem(
            lambda: nets.mlp(inputs, *widths, int(data.classes or 0)),
            Data(of_all, classes=data.classes),
            metrics={"wrong": wrong_class, "Brier score": brier},
            device=device,
        )

    problems = [problem_of(widths) for widths in hidden]
    pool = pool.to(dtype=problems[0].dtype)
    parameters = [problem.layout.parameters for problem in problems]
    groups, networks = [slice(place, place + 1) for place in range(len(sizes))], []
    if optimizer.elementwise and len({len(widths) for widths in hidden}) == 1:
        groups = together(parameters, batch_size * len(seeds))
    for group in groups:
        problem, shape = problems[group.stop - 1], (group.stop - group.start, len(seeds))
        watch = Observed(_errors_of(problem, pool), at=at.tolist(), own=[np.tile(tested, (shape[0], 1))])
        recipe = Recipe(optimizer, steps, batch_size, evaluate=0)
        arms = {
            str(size): widened(one.initialize(seeds), problem)
            for size, one in zip(sizes[group], problems[group], strict=True)
        }
        run = train(
            problem,
            recipe,
            seeds,
            start={name: start for name, (start, _) in arms.items()},
            mask={name: mask for name, (_, mask) in arms.items()} if len(arms) > 1 else None,
            paired=True,
            examples=table,
            observe=watch,
            progress=progress,
            workers=workers,
        )
        for place, diverged in zip(range(*group.indices(len(sizes))), run.diverged_at.reshape(shape), strict=True):
            if (diverged >= 0).any():
                members = np.flatnonzero(diverged >= 0).tolist()
                msg = f"Members {members} of {what} {sizes[place]} diverged; train with a lower learning rate."
                raise UsageError(msg)
        found[:, group] = np.moveaxis(watch.values.reshape(len(at), *shape, -1), (0, 3), (2, 0))
        wrong[group] = run.history.final("train_wrong").reshape(shape)
        for row, own in enumerate(problems[group]):
            columns = columns_within(own.layout, problem.layout)
            theta = run.final.theta[row * len(seeds) : (row + 1) * len(seeds), columns.to(run.final.theta.device)]
            networks.append(own.initialize(1).with_theta(theta))
    shared = "disjoint" if tested.all() else "drawn anew from the same examples"
    reading = Reading(
        f"Networks over {what}",
        dict(zip(_MEASURES, found, strict=True)) | {"train wrong": wrong, "parameters": np.array(parameters)},
        dict.fromkeys(_MEASURES, ("size", "step", "seed")) | {"train wrong": ("size", "seed"), "parameters": ("size",)},
        {"size": np.array(sizes), "step": at, "seed": np.array(seeds)},
        {"size": what, "test loss": "nats"},
        sample_size=len(seeds),
        provenance=Provenance.here(seeds[0], str(device)),
        notes=(
            f"ReLU networks on {n:,} examples of {data.name}, {100 * noise:g} % of labels wrong, {steps:,} steps of "
            f"{type(optimizer).__name__}; {len(seeds)} seeds, training sets {shared}; test labels are clean.",
        ),
    )
    return NetworkCurve(reading, tuple(networks))


def _errors_of(problem: Problem, pool: Examples) -> Callable[[int, Population, NDArray[np.bool_]], Array]:
    """The measures of every member on those of the examples that it is tested on, as training runs."""

    def errors(step: int, population: Population, tested: NDArray[np.bool_]) -> Array:
        each = by_example(problem, population, pool)
        values = (each[name].numpy() for name in ("wrong", "loss", "Brier score"))
        return np.stack([(one * tested).sum(1) / tested.sum(1) for one in values], axis=1)

    return errors


def wrong_class(outputs: Tensor, target: Tensor) -> Tensor:
    """1 where the largest output is of another class, else 0: one value an example."""
    return (outputs.argmax(-1) != target).float()


def brier(outputs: Tensor, target: Tensor) -> Tensor:
    """The squared distance of the probabilities from the class, one-hot: one value an example."""
    chances = outputs.softmax(-1)
    return (chances**2).sum(-1) - 2 * chances.gather(-1, target[..., None]).squeeze(-1) + 1


def _in_rows(examples: Examples) -> Examples:
    """The same examples with inputs (examples, numbers), as an MLP reads them."""
    return Examples(torch.as_tensor(examples.inputs).reshape(len(examples), -1), examples.targets)


def _check(name: str, what: str, sizes: Sequence[int]) -> None:
    if not len(sizes) or min(sizes) < 1 or list(sizes) != sorted(set(sizes)):
        msg = f"{name} {what} are whole numbers of at least 1 that ascend; got {list(sizes)}."
        raise UsageError(msg)
