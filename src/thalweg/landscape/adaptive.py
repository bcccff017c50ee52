"""A surface from few of its points: nested nodes, polynomials between them, and points held out to verify them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.landscape.nodes import leja, polynomial
from thalweg.landscape.points import Points, Values
from thalweg.progress import Watcher
from thalweg.randomness import generator

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]  # of points in the flattened grid
Function = Callable[[Numbers], Array]  # of points: (rows, points)

HELD_OUT = 24  # with 95 % confidence at most 12 % of all points are farther off than the worst of so many
_MOST = 0.25  # of the points as nodes; a surface that wants more is evaluated everywhere


@dataclass(frozen=True, eq=False)
class Filled:
    """A function on every point of a grid.

    Args:
        values: (rows, points).
        evaluated: where it was evaluated, not interpolated: (points,).
        spread: root mean square of what interpolation was off at the points held out: (rows,).
        worst: the most that a judged row was off there, by its range; NaN where nothing is interpolated.
    """

    values: Array
    evaluated: NDArray[np.bool_]
    spread: Array
    worst: float


def values_from_few(
    whole: Points,
    sample: Points | None,
    directions: Sequence[Tensor],
    axes: Sequence[Array],
    *,
    tolerance: float,
    seed: int,
    label: str,
    watch: Watcher,
) -> Values:
    """Loss and metrics of whole on the grid by `fill`; the loss of every member is judged.

    Where a point is interpolated, its standard error holds the root mean square of what interpolation was off at the
    points held out, beside the error of the sample.
    """
    grid = torch.cartesian_prod(*(torch.as_tensor(axis) for axis in axes)).reshape(-1, len(axes))
    last: dict[str, Values] = {}

    def rows(name: str, points: Points) -> Function:
        def function(numbers: Numbers) -> Array:
            last[name] = there = points.at(directions, grid[torch.as_tensor(numbers)], label, watch)
            return np.concatenate([*there.means.values(), *there.errors.values()])

        return function

    cheap = None if sample is None else rows("sample", sample)
    stream = np.random.default_rng(int(torch.randint(2**62, (), generator=generator(seed, "held out"))))
    judged = slice(len(whole.centers))  # the loss comes first
    found = fill(rows("whole", whole), cheap, axes, judged=judged, tolerance=tolerance, stream=stream)
    values = last["whole"]
    shape = (2, len(values.means), len(whole.centers))
    means, sampling = found.values.reshape(*shape, -1)
    spread = np.where(found.evaluated, 0, found.spread.reshape(shape)[0][..., None])
    errors = np.hypot(np.maximum(sampling, 0), spread)
    share = 0 if sample is None else sample.whole / whole.whole
    return replace(
        values,
        means=dict(zip(values.means, means, strict=True)),
        errors=dict(zip(values.means, errors, strict=True)),
        evaluations=values.evaluations + round(share * (sample.evaluations if sample else 0)),
        evaluated=found.evaluated,
        worst=found.worst,
    )


def fill(
    whole: Function,
    sample: Function | None,
    axes: Sequence[Array],
    *,
    judged: slice,
    tolerance: float,
    stream: np.random.Generator,
) -> Filled:
    """A function on the grid of these axes, by polynomials through as few of its points as the tolerance allows.

    With a cheaper function near to it, f = sample + (f - sample), and each part has nodes of its own: the difference is
    flatter and needs fewer, the only ones at which f is evaluated (a control variate that follows the surface). Nodes
    are added until those before foretell them to half of the tolerance; then f itself is evaluated at points drawn at
    random, and nodes are added until it is within half of the tolerance there too. Where it is not finite, or would
    need more than a quarter of the points as nodes, it is evaluated at all of them.

    Args:
        whole: the function.
        sample: the cheaper one, or None.
        axes: coordinates along each axis, ascending.
        judged: the rows that must be within the tolerance.
        tolerance: of the range of a judged row.
        stream: draws the points held out.
    """
    exact = _Remembered(whole, axes)
    cheap = None if sample is None else _Remembered(sample, axes)
    parts = [_Interpolant(cheap or exact, axes)]
    if cheap is not None:
        parts.append(_Interpolant(lambda numbers: exact(numbers) - cheap(numbers), axes))
    while True:
        scale = np.ptp(exact.values[judged][:, exact.known], axis=1)
        off = [_largest(part.off[judged], scale) for part in parts]
        if sum(off) <= tolerance / 2:
            values = np.sum([part() for part in parts], axis=0)
            unknown = np.flatnonzero(~exact.known)
            held = stream.choice(unknown, min(HELD_OUT, len(unknown)), replace=False)
            residual = exact(held) - values[:, held]
            worst = _largest(np.abs(residual[judged]).max(1, initial=0), scale)
            if worst <= tolerance / 2:  # the worst of a few is not the worst of all
                values[:, exact.known] = exact.values[:, exact.known]
                return Filled(values, exact.known, (residual**2).mean(1) ** 0.5, worst)
        part = parts[int(np.argmax(off))]
        if not (part.may_grow and np.isfinite(exact.values[:, exact.known]).all()):
            values = exact(np.arange(len(exact.known)))
            return Filled(values, exact.known, np.zeros(len(values)), np.nan)
        part.grow()


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


class _Interpolant:
    """A function through the first of Leja's nodes along every axis.

    Attributes:
        off: by how much the nodes before the last ones missed those: (rows,).
    """

    def __init__(self, function: Function, axes: Sequence[Array]) -> None:
        self.function, self.axes = function, axes
        self.orders = [leja(axis) for axis in axes]
        self.shape = tuple(len(axis) for axis in axes)
        self.count = 3
        self.values = function(self._numbers())
        self.off = np.full(len(self.values), np.inf)

    @property
    def may_grow(self) -> bool:
        return (self.count + 2) ** len(self.axes) <= _MOST * np.prod(self.shape) and self.count + 2 <= min(self.shape)

    def grow(self) -> None:
        """Two nodes more along every axis."""
        foretold = self()
        self.count += 2
        numbers = self._numbers()
        self.values = self.function(numbers)
        self.off = np.abs(self.values - foretold[:, numbers]).max(1)

    def __call__(self) -> Array:
        """The interpolated function (rows, points)."""
        values = self.values.reshape(-1, *(self.count for _ in self.axes))
        for axis, order in zip(self.axes, self.orders, strict=True):  # each takes the first of the axes to the last
            values = np.tensordot(values, polynomial(axis, axis[order[: self.count]]), axes=(1, 1))
        return values.reshape(len(values), -1)

    def _numbers(self) -> Numbers:
        chosen = np.meshgrid(*(order[: self.count] for order in self.orders), indexing="ij")
        return np.ravel_multi_index(tuple(chosen), self.shape).reshape(-1)


def _largest(off: Array, scale: Array) -> float:
    """The largest entry by its scale."""
    return float((off / np.where(scale > 0, scale, 1)).max())
