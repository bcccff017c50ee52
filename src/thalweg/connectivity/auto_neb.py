"""AutoNEB: an elastic band between networks that is given more pivots where it is too coarse."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thalweg.connectivity.descent import Found, descend
from thalweg.connectivity.polygonal import hats
from thalweg.connectivity.string_curve import (
    Moved,
    Redistribution,
    StringCurve,
    StringOptions,
    as_control,
    at_pivots,
    grid,
    string_curve,
)
from thalweg.connectivity.string_pivots import (
    Counts,
    Insertion,
    Shares,
    across,
    equal_shares,
    inner,
    inserted,
    insertions,
    straight,
    tangents,
)
from thalweg.data import ExampleSet
from thalweg.errors import check_count, check_type
from thalweg.evaluation import Conditions, Points, Sample
from thalweg.evaluation.points import AT_ONCE, everywhere
from thalweg.guard import guarded
from thalweg.optim import Momentum
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic, watched
from thalweg.training import Recipe

_RATES, _STEPS, _BATCH = (0.1, 0.1, 0.1, 0.01), 150, 50


@guarded
def auto_neb(
    problem: Problem,
    first: Population,
    second: Population,
    cycles: Sequence[Recipe] | None = None,
    *,
    pivots: int = 3,
    insert: int = 2,
    excess: float = 0.1,
    between: int = 5,
    on: Sample | str | ExampleSet | Sequence[Sample | str | ExampleSet] | None = None,
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int | Sequence[int] = 0,
    progress: Watcher | None = automatic,
) -> StringCurve:
    """Join two networks by a nudged elastic band that is refined between cycles, and find its highest point.

        g_k <- g_k - (g_k . t_k) t_k                  the gradient of L at x_k, on one batch for all pivots, without its
                                                      part along the upwind tangent t_k (see `tangents`)
        x_k <- x_k - step of the rule by g_k          then pivots go back to their shares of the path's length
        after each cycle but the last: a pivot at the highest point between two neighbors where the loss exceeds the
        straight line through their losses by more than `excess` of the path's range, in at most `insert` gaps

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> first, second = problem.initialize([0, 1]), problem.initialize([2, 3])
    >>> cycle = tw.Recipe(tw.optim.Momentum(0.1), steps=3, batch_size=50)
    >>> found = tw.connectivity.auto_neb(problem, first, second, [cycle, cycle], between=1)
    >>> found["saddle"].shape, bool((found["pivots"] >= 3).all()), found.batch_loss.shape
    ((2, 2), True, torch.Size([6, 2]))

    Args:
        problem: whose loss on training examples falls.
        first, second: the ends, as many members in each; only read, and never moved.
        cycles: how pivots are moved in each cycle, recipes without sweeps; None: momentum with weight decay 1e-3, 150
            steps of 50 examples each, at the rates 0.1, 0.1, 0.1 and 0.01.
        pivots: between the ends, at first.
        insert: further ones in each path after a cycle, at most.
        excess: the share of the path's range by which the loss may exceed the straight line between two pivots.
        between: points evaluated between neighbors, after cycles and at the end.
        on: on which examples, one or several, the first for what is inserted; None: train, and test where there is one.
        statistics, statistics_count, plan, seed, progress: see `bezier`.

    All pivots of all paths are one population on common batches, so that the tangents, which depend on which neighbor
    is higher, are not those of the noise. A new pivot comes to lie at its share of the way between its neighbors, which
    keep theirs. What the rule remembers of pivots moves along the path as they do, and is zero when a cycle begins.
    A path that diverged stays as it is in all later cycles, and is given no pivots.

    Raises:
        UsageError: arguments that cannot be meant, or networks without weighted sums (see `barrier`).
        KeyboardInterrupt: Ctrl-C, after the step under way.

    Cost: a gradient a pivot, step and member; an evaluation a point after each cycle. Memory: four rows a pivot, as
    many for each path as for the one that has most, beside the rule's.

    Source: Draxler, Veschgini, Salmhofer and Hamprecht, 2018, arXiv:1803.00885; Henkelman and Jonsson, 2000,
    doi:10.1063/1.1323224.
    """
    began = time.perf_counter()
    recipes = _recipes(problem, cycles)
    for name, count, least in (("pivots", pivots, 1), ("insert", insert, 0), ("between", between, 1)):
        check_count(f"auto_neb {name}", count, least)
    check_type("auto_neb excess", excess, (int, float), "a share of the path's range such as 0.1")
    options = StringOptions("auto_neb", on, between, statistics, statistics_count, plan, seed)
    options.check(problem, first, second, recipes, progress)
    sample = options.samples(problem, len(first))[0]
    counts = torch.full((len(first),), pivots + 2)
    rows, shares = straight(first.theta, second.theta, pivots), equal_shares(counts)
    diverged_at = torch.full((len(first),), -1, device=first.theta.device)
    losses: list[Tensor] = []
    plans: list[Plan] = []
    gradients, done = 0, 0
    with watched(progress) as told:
        for number, recipe in enumerate(recipes):
            band = ElasticBand(shares, counts)
            found = descend(
                problem,
                as_control(first, second, rows),
                slice(1, len(rows) - 1),
                at_pivots(slice(None), len(rows), len(first)),
                recipe,
                seeds=options.seeds(len(first)),
                active=diverged_at < 0,
                share=1.0,
                change=band.change,
                move=band.move,
                first_step=done,
                label=f"auto_neb, cycle {number + 1} of {len(recipes)}",
                plan=plan,
                progress=told,
            )
            done += recipe.steps
            plans.append(found.plan)
            gradients += len(rows) * int(found.losses.isfinite().sum())
            losses.append(torch.full_like(found.losses, torch.nan))
            for step, noted in enumerate(band.losses):
                losses[-1][step] = noted.masked_fill(found.losses[step].isnan(), torch.nan)
            rows = torch.stack([one.theta for one in found.control])
            diverged_at = torch.where(diverged_at < 0, found.diverged_at, diverged_at)
            if number + 1 < len(recipes):
                new = _wanted(as_control(first, second, rows), counts, sample, between, insert, excess, told)
                frozen = (diverged_at >= 0).tolist()
                new = [[] if lost else some for some, lost in zip(new, frozen, strict=True)]
                rows, shares, counts = inserted(rows, shares, counts, new)
        notes = [
            f"{len(recipes)} cycles of {', '.join(f'{recipe.steps:,}' for recipe in recipes)} steps; from {pivots} "
            f"pivots to {', '.join(str(int(count) - 2) for count in counts)}."
        ]
        title = "elastic band between two networks"
        moved = Moved(title, rows, counts, torch.cat(losses), diverged_at, gradients, plans[-1], notes)
        return string_curve(problem, first, second, moved, options, began, told)


class ElasticBand(Redistribution):
    """A `Redistribution` whose pivots move across the path alone, and which notes the mean loss of its pivots."""

    def __init__(self, shares: Shares, counts: Counts) -> None:
        super().__init__(shares, counts)
        self._inner = inner(counts)
        self.losses: list[Tensor] = []

    def change(self, found: Found) -> None:
        """Take away the gradient's part along the tangent; ends that are no trained rows of all paths do not move."""
        super().change(found)
        losses, pivots = found.losses.T, self._inner.to(found.losses.device)
        found.gradient.copy_(across(found.gradient, tangents(found.control, losses)))
        found.gradient.mul_(pivots[1:-1, :, None])
        self.losses.append(torch.where(pivots, losses, 0.0).sum(0) / pivots.sum(0))


def _recipes(problem: Problem, cycles: Sequence[Recipe] | None) -> list[Recipe]:
    """The recipe of each cycle."""
    if cycles is None:
        size = min(_BATCH, len(problem.data.train))
        return [Recipe(Momentum(rate, weight_decay=1e-3), _STEPS, size) for rate in _RATES]
    check_type(
        "auto_neb cycles", cycles or None, Sequence, "a list of recipes, such as [recipe] * 4, one for each cycle"
    )
    return list(cycles)


def _wanted(
    control: list[Population],
    counts: Counts,
    sample: Conditions,
    between: int,
    insert: int,
    excess: float,
    told: Watcher,
) -> list[list[Insertion]]:
    """The pivots that each path is to be given."""
    t = grid(len(control), between)
    points = Points(control, sample, rows=min(AT_ONCE, len(t)), times=-(-len(t) // AT_ONCE))
    found = everywhere(points, hats(t, len(control)), "auto_neb, where pivots are wanted", told)["loss"]
    wanted = []
    for losses, count in zip(found, counts.tolist(), strict=True):
        by_gap = losses[: (count - 1) * (between + 1)].reshape(count - 1, between + 1)
        ends = np.append(by_gap[:, 0], losses[(count - 1) * (between + 1)])
        wanted.append(insertions(ends, by_gap[:, 1:], most=insert, excess=excess))
    return wanted
