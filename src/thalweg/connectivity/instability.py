"""From which step on two copies of a network end in one linearly connected region, whatever batches they see."""

import time
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from thalweg.connectivity.barrier import barrier
from thalweg.connectivity.instability_copies import copies, trunks
from thalweg.connectivity.instability_result import Instability
from thalweg.connectivity.instability_steps import At, parting_seeds, parting_steps
from thalweg.data import Examples, ExampleSet, LazyExamples
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.guard import guarded
from thalweg.population import Plan, Problem
from thalweg.population.derivatives import check_steady
from thalweg.progress import Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading
from thalweg.training import Recipe
from thalweg.workers import Workers

On = Sample | str | ExampleSet


@guarded
def instability(
    problem: Problem,
    recipe: Recipe,
    at: At = (0, 0.05, 0.2),
    *,
    seeds: int | Sequence[int] = 6,
    fresh_schedule: bool = False,
    orders: tuple[int, int] = (0, 1),
    on: On | Sequence[On] = ("test", "train"),
    points: int = 25,
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Instability:
    """The barrier between two copies of a network that part at step k and from there see batches in other orders.

        theta_k of one trunk a seed -> theta_T and theta'_T by other data orders -> barrier(theta_T, theta'_T)

    Copies begin with the weights, moments and schedule of their trunk at step k, and are trained to the last step T.
    They are stable from the first k from which on the error nowhere on their line is 2 points above the mean of both
    (`Instability.stable_from`). At k near T copies are stable for a trivial reason: they have neither the time nor the
    rate left to part. `fresh_schedule` tells that apart, by giving all of them the same time and rates.

    All copies of all steps and seeds are one population, as are all trunks; a seed's copies do not depend on which
    other steps and seeds are asked for.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=200, test=50))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=20, batch_size=50, schedule=tw.schedules.Cosine())
    >>> found = tw.connectivity.instability(problem, recipe, at=(0, 0.5), seeds=2, points=5)
    >>> found.steps, found["error barrier, over mean"].shape
    ([0, 10], (2, 2, 2))

    Args:
        problem: what is trained.
        recipe: of trunks and copies, without sweeps; nothing is evaluated on the way.
        at: the steps k, or one: an int is a step (0 to T - 1), a float from 0.0 to 1.0 a share of the T steps.
        seeds: of the trunks, at least 2: how many, or which.
        fresh_schedule: train the trunks at a constant rate, by the recipe without its schedule, up to k, which may then
            be T, too; and the copies from there for T steps, with the recipe's schedule from its beginning.
        orders: numbers of the copies' data orders, of the streams (seed, "instability", number); with dropout that is
            drawn from them, too. Equal ones are the null: copies are then the same to the bit and barriers exactly 0.
        on: the examples of the barriers, one set or several; methods of the result look at the first.
        points: on every line.
        statistics, statistics_count: see `barrier`.
        plan, progress, workers: see `train`.

    Raises:
        UsageError: steps beyond the recipe, fewer than two seeds, a recipe with sweeps, or other arguments that cannot
            be meant.

    Cost: for every seed one training up to the last k, for every k and seed two from k on (with `fresh_schedule` two
    whole ones), and `points` evaluations on every set.

    Source: Frankle et al., 2020, arXiv:1912.05671.
    """
    began = time.perf_counter()
    check_type("instability problem", problem, Problem, "a Problem")
    check_steady(problem, "points cannot be compared")
    check_count("instability points", points, 3)
    check_type("instability fresh_schedule", fresh_schedule, bool, "True or False")
    given = parting_seeds(recipe, seeds)
    steps = parting_steps(recipe, at, last=recipe.steps if fresh_schedule else recipe.steps - 1)
    _check_orders(orders)
    sets = _sets(on)
    for one in sets:
        as_sample("instability", one).draw(problem)  # what is not there is said before anything is trained
    with watched(progress) as told:
        begun = trunks(
            problem,
            recipe,
            steps,
            given,
            fresh_schedule=fresh_schedule,
            plan=plan,
            progress=_called(told, "instability, trunks"),
            workers=workers,
        )
        ends = copies(
            problem,
            recipe,
            begun,
            given,
            orders,
            plan=plan,
            progress=_called(told, "instability, copies"),
            workers=workers,
        )
        between = barrier(
            problem,
            ends.first,
            ends.second,
            points=points,
            on=sets,
            statistics=statistics,
            statistics_count=statistics_count,
            resamples=0,
            plan=plan,
            progress=_called(told, "instability, barriers"),
        ).reading
    whole = _by_step_and_seed(between, steps, given, ends.diverged)
    apart = (ends.first.theta.double() - ends.second.theta.double()).norm(dim=1).cpu().numpy()
    distance = np.where(ends.diverged, np.nan, apart.reshape(ends.diverged.shape))
    return Instability(
        replace(
            whole,
            name="instability",
            arrays={**whole.arrays, "distance": distance},
            dims={**whole.dims, "distance": ("step", "seed")},
            sample_size=len(given),
            cost=between.cost + Cost(time.perf_counter() - began - between.cost.seconds, backwards=ends.gradients),
            provenance=Provenance.here(given, str(problem.device), str(problem.dtype), plan=ends.plan),
            notes=(_how(recipe, orders, fresh_schedule), *_lost(ends.diverged, steps, given), *between.notes),
        ),
        ends.first,
        ends.second,
    )


def _by_step_and_seed(
    reading: Reading, steps: Sequence[int], seeds: Sequence[int], diverged: NDArray[np.bool_]
) -> Reading:
    """A reading of members (steps x seeds) with the dimensions of step and seed in the place of that of members."""

    def apart(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        dims = reading.dims[name]
        if "member" not in dims:
            return values
        axis = dims.index("member")
        table = values.reshape(*values.shape[:axis], len(steps), len(seeds), *values.shape[axis + 1 :])
        gone = diverged.reshape(*diverged.shape, *(1 for _ in dims[axis + 1 :]))
        return np.where(gone, np.nan, table)

    def renamed(dims: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new for dim in dims for new in (("step", "seed") if dim == "member" else (dim,)))

    coordinates = {dim: points for dim, points in reading.coordinates.items() if dim != "member"}
    return replace(
        reading,
        arrays={name: apart(name, values) for name, values in reading.arrays.items()},
        dims={name: renamed(dims) for name, dims in reading.dims.items()},
        coordinates={**coordinates, "step": np.array(steps), "seed": np.array(seeds)},
        standard_errors={name: apart(name, values) for name, values in reading.standard_errors.items()},
        degrees_of_freedom={
            name: apart(name, values) if np.ndim(values) else values
            for name, values in reading.degrees_of_freedom.items()
        },
    )


def _called(told: Watcher, label: str) -> Watcher:
    """A watcher that hears of a part of the work by its name."""
    return lambda report: told(replace(report, label=label))


def _how(recipe: Recipe, orders: tuple[int, int], fresh_schedule: bool) -> str:
    """A sentence on how the copies were made."""
    schedule = "at a constant rate up to step k, then" if fresh_schedule else "up to step k, then"
    rest = f"{recipe.steps:,} steps each with the whole schedule" if fresh_schedule else f"up to step {recipe.steps:,}"
    return f"One trunk a seed {schedule} two copies with the data orders {orders[0]} and {orders[1]}, {rest}."


def _lost(diverged: NDArray[np.bool_], steps: Sequence[int], seeds: Sequence[int]) -> tuple[str, ...]:
    """A sentence on copies that diverged, if there are such."""
    if not diverged.any():
        return ()
    which = "; ".join(
        f"step {step}: seed {', '.join(str(seed) for seed, gone in zip(seeds, row, strict=True) if gone)}"
        for step, row in zip(steps, diverged, strict=True)
        if row.any()
    )
    return (f"Copies or their trunks diverged, and their barriers are NaN, at {which}.",)


def _sets(on: On | Sequence[On]) -> list[On]:
    """The sets of examples one by one."""
    if isinstance(on, Sample | str | Examples | LazyExamples):
        return [on]
    check_type("instability on", on or None, Sequence, 'a set of examples such as "test", or a list of at least one')
    return list(on)


def _check_orders(orders: object) -> None:
    check_type("instability orders", orders, tuple, "the numbers of two data orders, such as (0, 1)")
    assert isinstance(orders, tuple)
    if len(orders) != 2 or not all(isinstance(one, Integral) and not isinstance(one, bool) for one in orders):
        msg = f"instability orders are the numbers of two data orders, such as (0, 1); got {orders!r}."
        raise UsageError(msg)
