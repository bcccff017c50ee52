"""A surface from few of its points: polynomials through nested nodes, verified at points held out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import BarycentricInterpolator
from scipy.spatial import KDTree
from torch import Tensor

from thalweg.evaluation.points import Advance, PointEstimates, Points, advancing
from thalweg.landscape.leja import leja
from thalweg.losses import Accuracy
from thalweg.losses.per_position import NamedLoss
from thalweg.population import Problem
from thalweg.progress import Watcher
from thalweg.randomness import stream_key

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]  # of points in the flattened grid
Function = Callable[[Numbers], Array]  # of points: (rows, points)

HELD_OUT = 24  # with 95 % confidence at most 12 % of all points are farther off than the worst of these
_MOST = 0.25  # of the points as interpolation nodes; a surface that needs more is evaluated everywhere
_FIRST = 5  # nodes along an axis, at least


@dataclass(frozen=True, eq=False)
class Filled:
    """A function on every point of a grid.

    Args:
        values: (rows, points).
        evaluated: where it was evaluated, not interpolated: (points,).
        spread: root mean square of what interpolation was off at the points held out: (rows,).
        worst: the most it was off there, by the row's range: (rows,); NaN where nothing is interpolated.
        why: every point was evaluated; "" where not.
    """

    values: Array
    evaluated: NDArray[np.bool_]
    spread: Array
    worst: Array
    why: str = ""


def values_from_few(
    whole: Points,
    sample: Points | None,
    axes: Sequence[Array],
    *,
    tolerance: float,
    seed: int,
    label: str,
    progress: Watcher,
) -> PointEstimates:
    """Loss and metrics of whole on the grid by `fill`, member by member; the loss is judged.

    A metric that is off by more than the tolerance at the points held out is given only where it was evaluated. Where a
    point is interpolated, its standard error is the root mean square of what interpolation was off at the points held
    out, beside the error of the sample at the nearest point evaluated.
    """
    weights = grid_weights(axes)
    names, members = list(whole.exact), len(whole)
    least = np.array([[0.0 if name in never_negative(whole.conditions.problem) else -np.inf] for name in names])
    shape = (len(names), members, len(weights))
    means, errors, evaluated = np.empty(shape), np.empty(shape), np.empty(shape[1:], dtype=bool)
    advance = advancing(label, members * len(weights), progress)
    notes: list[str] = []
    units = np.array([max(np.ptp(axis), np.finfo(float).tiny) for axis in axes])
    places = weights[:, 1:].numpy() / units
    for member in range(members):
        exact = _Rows(whole, member, weights, advance)
        cheap = None if sample is None else _Rows(sample, member, weights, advance)
        stream = np.random.default_rng(stream_key(seed, "held out"))
        found = fill(exact, cheap, axes, judged=slice(1), tolerance=tolerance, stream=stream, least=least)
        means[:, member], evaluated[member] = found.values, found.evaluated
        known = np.flatnonzero(found.evaluated & (places != 0).any(1))  # the center has no error to lend
        nearest = np.where(found.evaluated, np.arange(len(weights)), known[KDTree(places[known]).query(places)[1]])
        errors[:, member] = np.hypot(exact.errors[:, nearest], np.where(found.evaluated, 0, found.spread[:, None]))
        rough = found.worst > tolerance
        for table in (means, errors):
            table[:, member][rough[:, None] & ~found.evaluated] = np.nan
        notes.append(_how(found, tolerance, [name for name, missed in zip(names, rough, strict=True) if missed]))
    share = 0 if sample is None else sample.whole / whole.whole
    passes = whole.evaluations + round(share * (sample.evaluations if sample else 0))
    said = notes[:1] if members == 1 else [f"Member {member}: {note}" for member, note in enumerate(notes)]
    return PointEstimates(
        dict(zip(names, means, strict=True)),
        dict(zip(names, errors, strict=True)),
        evaluated,
        passes,
        (*said, *whole.warnings),
    )


def never_negative(problem: Problem) -> set[str]:
    """The names of its loss and metrics that are known to be no less than 0."""
    named = {"loss": problem.loss} | {metric.name: metric for metric in problem.metrics}
    return {name for name, one in named.items() if isinstance(one, NamedLoss | Accuracy)}


def grid_weights(axes: Sequence[Array]) -> Tensor:
    """Of the center and of one direction an axis, the weights at every point of the grid: (points, 1 + axes)."""
    grid = torch.cartesian_prod(*(torch.as_tensor(axis) for axis in axes)).reshape(-1, len(axes))
    return torch.cat([torch.ones(len(grid), 1, dtype=grid.dtype), grid], dim=1)


def fill(
    whole: Function,
    sample: Function | None,
    axes: Sequence[Array],
    *,
    judged: slice,
    tolerance: float,
    stream: np.random.Generator,
    least: Array | float = -np.inf,
) -> Filled:
    """A function on the grid of these axes, by polynomials through as few of its points as the tolerance allows.

    With a cheaper function near to it, f = sample + (f - sample), and each part has nodes of its own: the difference is
    flatter and needs fewer, the only ones at which f is evaluated (a control variate that follows the surface). Nodes
    are added until those before predict them to half of the tolerance; then f itself is evaluated at points drawn at
    random, and nodes are added until it is within half of the tolerance there too. Where it is not finite, or would
    need more than a quarter of the points as nodes, it is evaluated at all of them. Nothing is interpolated to less
    than its row can be.

    Args:
        whole: the function.
        sample: the cheaper one, or None.
        axes: coordinates along each axis, ascending.
        judged: the rows that must be within the tolerance.
        tolerance: of the range of a judged row.
        stream: draws the points held out.
        least: what no value can be below, such as 0 of a loss: (rows, 1), or one number for all.
    """
    exact = _Remembered(whole, axes)
    if _FIRST ** len(axes) > _MOST * len(exact.known):
        return exact.everywhere(f"a grid of {len(exact.known)} points is too small to leave any out")
    cheap = None if sample is None else _Remembered(sample, axes)
    parts = [_Interpolant(cheap or exact, axes)]
    if cheap is not None:
        parts.append(_Interpolant(lambda numbers: exact(numbers) - cheap(numbers), axes))
    while True:
        known = exact.values[:, exact.known]
        if not np.isfinite(known).all():
            return exact.everywhere("some are not finite")
        scale = np.ptp(known, axis=1)
        off = [_by_scale(part.off, scale)[judged].max() for part in parts]
        if sum(off) <= tolerance / 2:
            values = np.sum([part() for part in parts], axis=0)
            values = np.maximum(values, least)
            unknown = np.flatnonzero(~exact.known)
            held = stream.choice(unknown, min(HELD_OUT, len(unknown)), replace=False)
            residual = exact(held) - values[:, held]
            worst = _by_scale(np.abs(residual).max(1, initial=0), scale)
            if worst[judged].max() <= tolerance / 2:  # the worst of a few is not the worst of all
                values[:, exact.known] = exact.values[:, exact.known]
                return Filled(values, exact.known, (residual**2).mean(1) ** 0.5, worst)
        part = parts[int(np.argmax(off))]
        if not part.may_grow:
            return exact.everywhere(f"the loss is not smooth enough for a tolerance of {tolerance:g}")
        part.grow()


class _Rows:
    """The metrics of one member at points of the grid, by their numbers: (metrics, points).

    Attributes:
        errors: their standard errors, as far as they are known: (metrics, points).
    """

    def __init__(self, points: Points, member: int, weights: Tensor, advance: Advance) -> None:
        self.points, self.member, self.weights, self.advance = points, member, weights, advance
        self.errors = np.full((len(points.exact), len(weights)), np.nan)

    def __call__(self, numbers: Numbers) -> Array:
        chosen = self.weights[torch.as_tensor(numbers)]
        means, errors = self.points.at(self.member, chosen, self.advance)
        self.errors[:, numbers] = np.stack([*errors.values()])
        return np.stack([*means.values()])


class _Remembered:
    """A function on a grid that is evaluated once a point."""

    def __init__(self, function: Function, axes: Sequence[Array]) -> None:
        self.function = function
        self.known = np.zeros(int(np.prod([len(axis) for axis in axes])), dtype=bool)
        self.values = np.empty((0, len(self.known)))

    def __call__(self, numbers: Numbers) -> Array:
        new = numbers[~self.known[numbers]]
        if len(new):
            found = self.function(new)
            if not len(self.values):
                self.values = np.full((len(found), len(self.known)), np.nan)
            self.values[:, new] = found
            self.known[new] = True
        return self.values[:, numbers]

    def everywhere(self, why: str) -> Filled:
        """All points evaluated, and why."""
        values = self(np.arange(len(self.known)))
        return Filled(values, self.known, np.zeros(len(values)), np.full(len(values), np.nan), why)


class _Interpolant:
    """A function through the first of Leja's nodes along every axis.

    Attributes:
        off: by how much the nodes before the last ones missed those: (rows,).
    """

    def __init__(self, function: Function, axes: Sequence[Array]) -> None:
        self.function, self.axes = function, axes
        self.orders = [leja(axis) for axis in axes]
        self.shape = tuple(len(axis) for axis in axes)
        self.count = _FIRST - 2
        self.values = function(self._numbers())
        self.off = np.full(len(self.values), np.inf)

    @property
    def may_grow(self) -> bool:
        return (self.count + 2) ** len(self.axes) <= _MOST * np.prod(self.shape) and self.count + 2 <= min(self.shape)

    def grow(self) -> None:
        """Two nodes more along every axis."""
        predicted = self()
        self.count += 2
        numbers = self._numbers()
        self.values = self.function(numbers)
        self.off = np.abs(self.values - predicted[:, numbers]).max(1)

    def __call__(self) -> Array:
        """The interpolated function (rows, points)."""
        values = self.values.reshape(-1, *(self.count for _ in self.axes))
        for axis, order in zip(self.axes, self.orders, strict=True):  # each takes the first of the axes to the last
            values = np.moveaxis(through(axis, order[: self.count], values), 1, -1)
        return values.reshape(len(values), -1)

    def _numbers(self) -> Numbers:
        chosen = np.meshgrid(*(order[: self.count] for order in self.orders), indexing="ij")
        return np.ravel_multi_index(tuple(chosen), self.shape).reshape(-1)


def through(axis: Array, known: NDArray[np.int64], values: Array) -> Array:
    """The polynomials through values (rows, known, ...) at some points of an axis, at all of them: (rows, axis, ...).

    By the barycentric formula (Berrut & Trefethen, 2004, doi:10.1137/S0036144502417715); where a value is known, it
    is that to the bit.
    """
    return BarycentricInterpolator(axis[known], values, axis=1, rng=0)(axis)  # it multiplies in a random order


def _how(found: Filled, tolerance: float, rough: Sequence[str]) -> str:
    if found.why:
        return f"Every point was evaluated: {found.why}."
    count = int(found.evaluated.sum())
    said = (
        f"Evaluated at {count} of {len(found.evaluated)} points, elsewhere interpolated by polynomials, "
        f"which missed the loss by at most {found.worst[0]:.2%} of its range at {HELD_OUT} points held out."
    )
    missed = " and ".join(rough)
    return said + (f" They miss more of {missed}, which is given only where it was evaluated." if missed else "")


def _by_scale(off: Array, scale: Array) -> Array:
    """By the range of a row, where it has one."""
    return off / np.where(scale > 0, scale, 1)
