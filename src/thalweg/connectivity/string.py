"""The string method: a path between networks that falls into the lowest valley between them."""

import time
from collections.abc import Sequence

import torch

from thalweg.connectivity.curve_training import default_recipe
from thalweg.connectivity.descent import descend
from thalweg.connectivity.string_curve import (
    Moved,
    Redistribution,
    StringCurve,
    StringOptions,
    as_control,
    at_pivots,
    string_curve,
)
from thalweg.connectivity.string_pivots import equal_shares, straight
from thalweg.data import ExampleSet
from thalweg.errors import check_count
from thalweg.evaluation import Sample
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic, watched
from thalweg.training import Recipe


@guarded
def string(
    problem: Problem,
    first: Population,
    second: Population,
    recipe: Recipe | None = None,
    *,
    pivots: int = 9,
    between: int = 3,
    on: Sample | str | ExampleSet | Sequence[Sample | str | ExampleSet] | None = None,
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int | Sequence[int] = 0,
    progress: Watcher | None = automatic,
) -> StringCurve:
    """Join two networks by a string of pivots that falls towards the path of least loss, and find its highest point.

        x_k <- x_k - step of the rule by the gradient of L at x_k, on one batch for all pivots
        x_k <- the point at arc length k |string| / (pivots + 1) of the polygon x_0, x_1, ..., x_(pivots + 1)

    From the straight line, again and again, the ends fixed. Where it comes to rest the gradient is along the string:
    a path of steepest descent from a saddle to both minima, whose highest point is the saddle.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> first, second = problem.initialize([0, 1]), problem.initialize([2, 3])
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=5, batch_size=50)
    >>> found = tw.connectivity.string(problem, first, second, recipe, pivots=3, between=1)
    >>> found["saddle"].shape, [round(float(t), 3) for t in found.reading.coordinate("t")[:3]]
    ((2, 2), [0.0, 0.125, 0.25])

    Args:
        problem: whose loss on training examples falls.
        first, second: the ends, as many members in each; only read, and never moved.
        recipe: how pivots are moved, without sweeps; None: that of `bezier`.
        pivots: between the ends.
        between: points evaluated between neighbors when the string is done, as well as the pivots.
        on: on which examples it is evaluated then, one or several; None: train, and test where there is one.
        statistics, statistics_count, plan, seed, progress: see `bezier`.

    What the rule remembers of pivots, such as momentum, moves along the string as they do. Pivots are joined by
    straight lines, which cut the corners of a bent path: the more pivots, the less.

    Raises:
        UsageError: arguments that cannot be meant, or networks without weighted sums (see `barrier`).
        KeyboardInterrupt: Ctrl-C, after the step under way.

    Cost: a gradient a pivot, step and member, then an evaluation a point. Memory: four rows a pivot, beside the rule's.

    Source: E, Ren and Vanden-Eijnden, 2002, doi:10.1103/PhysRevB.66.052301; 2007, doi:10.1063/1.2720838.
    """
    began = time.perf_counter()
    check_count("string pivots", pivots)
    options = StringOptions("string", on, between, statistics, statistics_count, plan, seed)
    recipe = default_recipe(problem) if recipe is None else recipe
    options.check(problem, first, second, [recipe], progress)
    counts = torch.full((len(first),), pivots + 2)
    inner, rows = slice(1, pivots + 1), Redistribution(equal_shares(counts), counts)
    with watched(progress) as told:
        found = descend(
            problem,
            as_control(first, second, straight(first.theta, second.theta, pivots)),
            inner,
            at_pivots(inner, pivots + 2, len(first)),
            recipe,
            seeds=options.seeds(len(first)),
            share=1.0,
            change=rows.change,
            move=rows.move,
            label="string",
            plan=plan,
            progress=told,
        )
        theta = torch.stack([one.theta for one in found.control])
        notes = [f"{pivots} pivots, moved for {len(found.losses):,} steps and kept at equal arc lengths."]
        gradients = pivots * int(found.losses.isfinite().sum())
        moved = Moved(
            "string between two networks", theta, counts, found.losses, found.diverged_at, gradients, found.plan, notes
        )
        return string_curve(problem, first, second, moved, options, began, told)
