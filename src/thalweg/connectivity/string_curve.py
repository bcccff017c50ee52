"""Polygons whose pivots were moved down between two networks, and the highest point of each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.connectivity.curve import Curve
from thalweg.connectivity.curve_training import evaluated
from thalweg.connectivity.descent import Control, Found, Weights, check_recipe
from thalweg.connectivity.ends import check_ends
from thalweg.connectivity.polygonal import hats
from thalweg.connectivity.samples import On, degrees, labelled, samples_of, seeds_of
from thalweg.connectivity.string_pivots import Counts, Pivots, Shares, evened, move, redistribution
from thalweg.errors import check_count
from thalweg.evaluation import Conditions
from thalweg.figures import Figure, Scatter
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, check_watcher
from thalweg.results import Cost, Provenance, Reading
from thalweg.training import Recipe


@dataclass(frozen=True, eq=False)
class StringOptions:
    """What `string` and `auto_neb` are both asked for; see there. `name` is who asks."""

    name: str
    on: On
    between: int
    statistics: str
    statistics_count: int
    plan: Plan | str
    seed: int | Sequence[int]

    def check(
        self, problem: Problem, first: Population, second: Population, recipes: Sequence[Recipe], progress: object
    ) -> None:
        """Raise UsageError for arguments that cannot be meant."""
        check_ends(self.name, problem, [first, second], statistics=self.statistics)
        check_watcher(self.name, progress)
        check_count(f"{self.name} between", self.between, 0)
        for recipe in recipes:
            check_recipe(self.name, recipe)
        self.samples(problem, len(first))  # what cannot be meant is said before anything is trained

    def seeds(self, paths: int) -> list[int]:
        """One a path."""
        return seeds_of(self.name, self.seed, paths)

    def samples(self, problem: Problem, paths: int) -> list[Conditions]:
        """Under which conditions paths are evaluated, for each sample."""
        return samples_of(
            self.name,
            problem,
            self.on,
            statistics=self.statistics,
            statistics_count=self.statistics_count,
            plan=self.plan,
            seed=self.seeds(paths)[0],
        )


@dataclass(frozen=True, eq=False)
class StringCurve(Curve):
    """A polygon between two networks, for every member, and its highest point: what `string` and `auto_neb` return.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=2, batch_size=50)
    >>> first, second = problem.initialize([0]), problem.initialize([1])
    >>> curve = tw.connectivity.string(problem, first, second, recipe, pivots=2, between=1)
    >>> curve["loss"].shape, curve["saddle"].shape, bool((curve["saddle"] == curve["loss"].max(2)).all())
    ((2, 1, 7), (2, 1), True)

    Args:
        reading: that of a `Curve`, where t goes from pivot to pivot in equal steps, and "saddle", the loss at the
            highest of the points that were evaluated, and "saddle location", its t: (on, member). It is at an end where
            the path has no higher point. Both are NaN where the loss at any of the points is not finite. "pivots" is
            how many each path has between its ends: (member).
        control: the ends and the pivots. A path that has fewer than another has further ones on its straight pieces.
    """

    def figure(self) -> Figure:
        """What a `Curve` shows, and the highest point of every member."""
        first, *others = super().figure().panels
        at, on = self["saddle location"].ravel(), self["saddle"].ravel()
        marked = Figure.of(first.title, (*first.marks, Scatter(at, on, label="highest point")), first.x, first.y)
        return Figure.row([marked, *others], title=self.reading.name, caption=" ".join(self.reading.notes))


class Redistribution:
    """After every step of `descend`: pivots go to their shares of the path, and what the rule remembers goes with them.

    What is remembered of the ends is zero. Matrices of another width than the parameters, such as the factors of rules
    that take whole tensors, stay with the number of their pivot.

    Args:
        shares: of the length of each path: (pivots, paths).
        counts: pivots of each path, both ends among them.
    """

    def __init__(self, shares: Shares, counts: Counts) -> None:
        self.shares, self.counts = shares, counts
        self._state: list[Tensor] = []

    def change(self, found: Found) -> None:
        """Take notice of what the rule remembers; the gradient stays as it is."""
        self._state = list(found.state.values())

    def move(self, control: Control) -> None:
        """Move the pivots in place."""
        moves = redistribution(control, self.shares)
        move(control, moves, self.counts)
        for matrix in self._state:
            if matrix.shape[1] == control.shape[2]:
                kept = matrix.view_as(control[1:-1])
                padded = torch.cat([torch.zeros_like(kept[:1]), kept, torch.zeros_like(kept[:1])])
                kept.copy_(moves.of(padded)[1:-1])


def at_pivots(rows: slice, pivots: int, paths: int) -> Callable[[int], Weights]:
    """The weights of `descend` at which every one of these rows is a point itself."""
    weights = torch.eye(pivots)[rows].expand(paths, -1, -1)
    return lambda step: weights


def as_control(first: Population, second: Population, pivots: Pivots) -> list[Population]:
    """The ends and the pivots between them as populations of all paths, masked where either end is active."""
    mask = None if first.mask is None or second.mask is None else first.mask | second.mask
    return [first, *(replace(first, theta=rows, mask=mask) for rows in pivots[1:-1]), second]


def grid(pivots: int, between: int) -> Float[Tensor, " points"]:
    """Values of t at the pivots and at so many points between neighbors."""
    return torch.linspace(0, 1, (pivots - 1) * (between + 1) + 1, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Moved:
    """What was done to pivots.

    Args:
        title: of what they are the pivots.
        pivots, counts: as they are now.
        batch_loss: the mean over the pivots of a path: (steps, paths).
        diverged_at: see `Curve`.
        gradients: that were taken in all.
        plan: by which they were taken.
        notes: how they were moved.
    """

    title: str
    pivots: Pivots
    counts: Counts
    batch_loss: Float[Tensor, "steps paths"]
    diverged_at: Int64[Tensor, " paths"]
    gradients: int
    plan: Plan
    notes: Sequence[str]


def string_curve(
    problem: Problem,
    first: Population,
    second: Population,
    moved: Moved,
    options: StringOptions,
    began: float,
    told: Watcher,
) -> StringCurve:
    """The curve that moved pivots are, evaluated at them and at points between."""
    samples, name = options.samples(problem, len(first)), options.name
    control = as_control(first, second, evened(moved.pivots, moved.counts))
    control = [first, *(one.with_own_buffers() for one in control[1:-1]), second]
    t = grid(len(control), options.between)
    arrays, errors, dims, forwards = evaluated(samples, control, hats(t, len(control)), name, told)
    arrays["saddle"], highest = arrays["loss"].max(2), arrays["loss"].argmax(2)  # NaN where a point is
    arrays["saddle location"] = np.where(np.isfinite(arrays["saddle"]), t.numpy()[highest], np.nan)
    arrays["pivots"] = (moved.counts - 2).numpy()
    dims |= {"saddle": ("on", "member"), "saddle location": ("on", "member"), "pivots": ("member",)}
    kinds = {"loss": problem.loss.unit, "error": "fraction", "saddle": problem.loss.unit}
    kinds |= {metric.name: metric.unit for metric in problem.metrics}
    units = {array: unit for array in arrays for kind, unit in kinds.items() if kind in array.split()}
    reading = Reading(
        moved.title,
        arrays,
        dims,
        {"on": labelled(samples), "member": np.arange(len(first)), "t": t.numpy()},
        units | {"saddle location": "t"},
        errors,
        degrees_of_freedom={array: degrees(samples, errors[array]) for array in errors},
        sample_size=len(samples[0].drawn),
        cost=Cost(time.perf_counter() - began, forwards=forwards + moved.gradients, backwards=moved.gradients),
        provenance=Provenance.here(
            options.seeds(len(first)), str(problem.device), str(problem.dtype), plan=str(moved.plan)
        ),
        notes=(*(one.text for one in samples), *moved.notes, *_diverged(moved.diverged_at)),
    )
    return StringCurve(reading, control, hats, moved.batch_loss, moved.diverged_at, samples, len(moved.batch_loss))


def _diverged(at: Tensor) -> list[str]:
    """Who diverged."""
    lost = (at >= 0).nonzero().flatten().tolist()
    return (
        [f"Diverged, and frozen there: member {', '.join(f'{m} at step {int(at[m])}' for m in lost)}."] if lost else []
    )
