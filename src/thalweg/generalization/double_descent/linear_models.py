"""Curves of linear regression on Gaussian inputs, with the exact expectation beside them.

Given the inputs X the risk is averaged over noise and over the direction of beta in closed form, so that draws differ
by X alone: with X = U diag(s) V' of rank r and p columns,

    excess risk = |beta|^2 (1 - r/p) + sigma^2 sum 1/s^2,      |theta|^2 = |beta|^2 r/p + sigma^2 sum 1/s^2
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, Line, ReferenceLine, Scatter
from thalweg.generalization.double_descent.theory import (
    isotropic_norm,
    isotropic_risk,
    optimal_penalty,
    weak_features_risk,
)
from thalweg.guard import guarded
from thalweg.randomness import generator
from thalweg.results import Provenance, Reading, Result
from thalweg.statistics import standard_error
from thalweg.statistics.student_t import reach

Array = NDArray[np.float64]
NEAR = 4  # |n - p| below which the variance or the mean is infinite
_FINE = 400  # points of the theory line, at most
_UNEQUAL = 2  # times as long as the other a side is, from where the Gram matrix is exact enough


@dataclass(frozen=True, eq=False)
class LinearCurve(Result):
    """What `over_inputs` and its like return: risks of linear regression over its number of inputs or examples.

    Args:
        reading: "risk" (size, draw), "squared norm" where it is measured, "ridge risk" where it is, "exact risk" and
            "exact squared norm" (size), "theory" (theory size), all sizes between.
        threshold: the size at which examples are as many as inputs.
        measure: what is plotted: "test risk", which has sigma^2, or "excess risk", which does not.
    """

    threshold: int
    measure: str = "test risk"

    @property
    def far(self) -> NDArray[np.bool_]:
        """The sizes at least 4 from the threshold, where means of the draws can be compared: (sizes,)."""
        return np.abs(self.reading.coordinate("size") - self.threshold) >= NEAR

    @property
    def off(self) -> Array:
        """(mean - exact) / standard error of the risk; NaN near the threshold: (sizes,)."""
        risk = self["risk"]
        with np.errstate(invalid="ignore"):
            return np.where(self.far, (risk.mean(1) - self["exact risk"]) / standard_error(risk), np.nan)

    @property
    def precision(self) -> Array:
        """Standard error of the mean risk over its exact value; NaN near the threshold: (sizes,)."""
        with np.errstate(invalid="ignore"):
            return np.where(self.far, standard_error(self["risk"]) / self["exact risk"], np.nan)

    def figure(self) -> Figure:
        """Means of the draws on the exact curve, with 95 % intervals; near the threshold medians."""
        sizes, risk, far = self.reading.coordinate("size"), self["risk"], self.far
        x = Axis(self.reading.units["size"], scale="log")
        error = reach(risk.shape[1]) * standard_error(risk)
        marks = [
            Line(self.reading.coordinate("theory size"), self["theory"], label="exact expectation"),
            ReferenceLine(self.threshold, "vertical", label="n = p"),
            Scatter(sizes[far], risk.mean(1)[far], error=error[far], label="mean of draws"),
        ]
        if not far.all():
            marks.append(Scatter(sizes[~far], np.median(risk, 1)[~far], label="median of draws"))
        if "ridge risk" in self.reading.arrays:
            ridge = self["ridge risk"]
            ends = {"low": ridge.min(1), "high": ridge.max(1)}
            marks.append(Line(sizes, ridge.mean(1), **ends, label="ridge at the best penalty"))
        return Figure.of(
            self.reading.name, marks, x, Axis(self.measure, scale="log"), caption=" ".join(self.reading.notes)
        )


@guarded
def over_inputs(
    sizes: Sequence[int], *, n: int = 100, signal: float = 5**0.5, noise: float = 1.0, draws: int = 200, seed: int = 0
) -> LinearCurve:
    """The excess risk and norm of the minimum-norm solution over the number p of isotropic inputs, which all matter.

    Past p = n the risk falls again, but not below what it was: every input carries its part of the same signal, and
    there is no reason to have more than are needed. See `over_weak_features` for a second descent that goes below.

    >>> from thalweg.generalization import double_descent
    >>> curve = double_descent.over_inputs([5, 40], n=20, draws=200)
    >>> curve["risk"].shape, bool((abs(curve.off) < 4).all())
    ((2, 200), True)

    Args:
        sizes: p, each at least 1.
        n: examples.
        signal: |beta|, a length.
        noise: sigma.
        draws: of the inputs; those of fewer are the first of those of more.
        seed: of the draws.

    Raises:
        UsageError: sizes or counts that cannot be meant.

    Cost: one singular value decomposition of (n, p) for every size and draw.
    """
    sizes = _checked("over_inputs", sizes, draws)
    check_count("over_inputs n", n)
    traces, ranks = _by_columns(sizes, n, draws, seed)
    unseen = 1 - ranks / np.array(sizes)[:, None]
    spread = noise**2 * traces if noise else np.zeros(traces.shape)
    arrays = {"risk": signal**2 * unseen + spread, "squared norm": signal**2 * (1 - unseen) + spread}
    exact = {
        "exact risk": isotropic_risk(n, sizes, signal=signal, noise=noise),
        "exact squared norm": isotropic_norm(n, sizes, signal=signal, noise=noise),
    }
    fine = _between(sizes)
    curve = _curve(
        "Least squares with isotropic inputs",
        "inputs",
        (sizes, fine),
        arrays | exact | {"theory": isotropic_risk(n, fine, signal=signal, noise=noise)},
        (n, draws, seed),
        f"{n} examples, |beta| = {signal:.3g}, sigma = {noise:g}, minimum norm; risk without sigma^2.",
    )
    return replace(curve, measure="excess risk")


@guarded
def over_weak_features(
    sizes: Sequence[int],
    *,
    n: int = 40,
    inputs: int = 100,
    signal: float = 1.0,
    noise: float = 0.2,
    draws: int = 400,
    seed: int = 0,
) -> LinearCurve:
    """The risk of the minimum-norm solution over how many of many weak inputs are used: double descent below the first.

    >>> from thalweg.generalization import double_descent
    >>> curve = double_descent.over_weak_features([10, 100], draws=100)
    >>> bool(curve["exact risk"][1] < curve["exact risk"][0])
    True

    Args:
        sizes: how many inputs are used, each from 1 to `inputs`.
        n: examples.
        inputs: how many there are.
        signal: |beta|, of a random direction.
        noise: sigma.
        draws, seed: see `over_inputs`.

    Raises:
        UsageError: sizes or counts that cannot be meant.

    References:
        Belkin, Hsu & Xu (2019), arXiv:1903.07571.
    """
    sizes = _checked("over_weak_features", sizes, draws)
    check_count("over_weak_features n", n)
    exact = weak_features_risk(n, sizes, inputs, signal=signal, noise=noise)
    traces, ranks = _by_columns(sizes, n, draws, seed)
    used = np.array(sizes)[:, None] / inputs
    rest = signal**2 * (1 - used) + noise**2
    unseen = 1 - ranks / np.array(sizes)[:, None]
    risk = signal**2 * used * unseen + rest * (1 + traces)
    norm = signal**2 * used * (1 - unseen) + rest * traces
    fine = _between(sizes)
    theory = weak_features_risk(n, fine, inputs, signal=signal, noise=noise)
    return _curve(
        "Least squares on some of many weak inputs",
        "inputs used",
        (sizes, fine),
        {"risk": risk, "squared norm": norm, "exact risk": exact, "theory": theory},
        (n, draws, seed),
        f"{n} examples, {inputs} inputs, |beta| = {signal:g}, sigma = {noise:g}, minimum norm; risk with sigma^2.",
    )


@guarded
def over_examples(
    sizes: Sequence[int], *, inputs: int = 100, signal: float = 1.0, noise: float = 0.5, draws: int = 50, seed: int = 0
) -> LinearCurve:
    """The risk over the number of examples for a fixed number of inputs: below n = d more data hurts, without ridge.

    Examples of smaller sizes are the first of larger ones. Beside the minimum-norm solution there is ridge at
    `optimal_penalty`, which does not depend on n.

    >>> from thalweg.generalization import double_descent
    >>> curve = double_descent.over_examples([10, 20, 40], inputs=20, draws=5)
    >>> bool((curve["risk"][1] > curve["risk"][0]).all()), bool((curve["ridge risk"][1] < curve["ridge risk"][0]).all())
    (True, True)

    Args:
        sizes: n, each at least 1.
        inputs: d.
        signal: |beta|, above 0, of a random direction.
        noise: sigma.
        draws: of the examples.
        seed: of the draws.

    Raises:
        UsageError: sizes or counts that cannot be meant.

    References:
        Nakkiran (2019), arXiv:1912.07242; Nakkiran, Venkat, Kakade & Ma (2020), arXiv:2003.01897.
    """
    sizes = _checked("over_examples", sizes, draws)
    check_count("over_examples inputs", inputs)
    penalty = float(optimal_penalty(inputs, signal=signal, noise=noise))
    risks, ridges = [], []
    with threadpool_limits(1, user_api="blas"):  # of matrices so small one thread waits for another
        for draw in range(draws):
            x = _normal(max(sizes), inputs, seed, draw)
            for n in sizes:
                squares = _squares(x[:n])
                zeros = inputs - len(squares)
                risks.append(signal**2 * zeros / inputs + (noise**2 * (1 / squares).sum() if noise else 0.0))
                bias = ((penalty / (squares + penalty)) ** 2).sum() if penalty else 0.0
                ridges.append(
                    signal**2 * (bias + zeros) / inputs + noise**2 * (squares / (squares + penalty) ** 2).sum()
                )
    shape, fine = (draws, len(sizes)), _between(sizes)
    risk, ridge = (np.reshape(found, shape).T + noise**2 for found in (risks, ridges))
    both = {"signal": signal, "noise": noise}
    return _curve(
        "Least squares over the number of examples",
        "examples",
        (sizes, fine),
        {
            "risk": risk,
            "ridge risk": ridge,
            "exact risk": noise**2 + isotropic_risk(sizes, inputs, **both),
            "theory": noise**2 + isotropic_risk(fine, inputs, **both),
        },
        (inputs, draws, seed),
        f"{inputs} inputs, |beta| = {signal:g}, sigma = {noise:g}; ridge penalty {penalty:g}; risk with sigma^2.",
    )


def _curve(
    name: str,
    what: str,
    sizes: tuple[Sequence[int], Array],
    arrays: dict[str, Array],
    of: tuple[int, int, int],
    note: str,
) -> LinearCurve:
    threshold, draws, seed = of
    dims = {key: ("size", "draw")[: np.ndim(values)] for key, values in arrays.items()} | {"theory": ("theory size",)}
    coordinates = {"size": np.array(sizes[0]), "theory size": sizes[1], "draw": np.arange(draws)}
    notes = [note]
    if (np.abs(coordinates["size"] - threshold) < NEAR).any():
        notes.append(
            "Where inputs and examples differ by less than 4 points are medians, with the middle half of the draws: "
            "the variance, and within 1 the mean, is infinite. Elsewhere means, with 95 % intervals."
        )
    reading = Reading(
        name,
        arrays,
        dims,
        coordinates,
        {"size": what},
        sample_size=draws,
        provenance=Provenance.here(seed),
        notes=tuple(notes),
    )
    return LinearCurve(reading, threshold)


def _by_columns(sizes: Sequence[int], n: int, draws: int, seed: int) -> tuple[Array, Array]:
    """sum 1/s^2 and the rank of the first columns of every draw: (sizes, draws) each."""
    inputs = (_normal(n, max(sizes), seed, draw) for draw in range(draws))
    with threadpool_limits(1, user_api="blas"):  # of matrices so small one thread waits for another
        found = [[_squares(x[:, :p]) for p in sizes] for x in inputs]
    traces = np.array([[(1 / squares).sum() for squares in row] for row in found]).T
    ranks = np.array([[len(squares) for squares in row] for row in found]).T
    return traces, ranks.astype(np.float64)


def _squares(x: Array) -> Array:
    """The squared singular values that count."""
    rows, columns = x.shape
    if max(rows, columns) >= _UNEQUAL * min(rows, columns):
        return np.asarray(np.linalg.eigvalsh(x @ x.T if rows < columns else x.T @ x), dtype=np.float64)
    values = np.linalg.svd(x, compute_uv=False)
    return values[values > values[0] * max(x.shape) * np.finfo(np.float64).eps] ** 2


def _normal(rows: int, columns: int, seed: int, draw: int) -> Array:
    return torch.randn(rows, columns, generator=generator(seed, "linear models", draw), dtype=torch.float64).numpy()


def _between(sizes: Sequence[int]) -> Array:
    """Whole numbers from the smallest size to the largest, all of them or evenly on a log axis."""
    return np.unique(np.geomspace(min(sizes), max(sizes), _FINE).round())


def _checked(name: str, sizes: Sequence[int], draws: int) -> list[int]:
    check_count(f"{name} draws", draws, 2)
    found = [int(size) for size in sizes]
    if not found or min(found) < 1 or found != sorted(set(found)):
        msg = f"{name} sizes are whole numbers of at least 1 that ascend, such as [10, 100, 1000]; got {list(sizes)}."
        raise UsageError(msg)
    return found
