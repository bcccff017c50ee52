"""How sparse a network may be and still match the dense one, by bisection."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, ReferenceLine, interval_line
from thalweg.guard import guarded
from thalweg.population import Plan, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval
from thalweg.tickets.allocation import Allocation, ByLayer
from thalweg.tickets.checked import check_trained, checked_seeds
from thalweg.tickets.matching import gains, margin_of, matches, mean_gain, usual_metric
from thalweg.tickets.policy import Policy
from thalweg.tickets.rewinding_step import Rewinding, rewinding_step
from thalweg.tickets.scoring import Score, as_score, by_magnitude
from thalweg.tickets.selection import EmptyLayerError, select
from thalweg.training import Recipe, train
from thalweg.workers import Workers


@dataclass(frozen=True, eq=False)
class CriticalSparsity(Result):
    """What `critical_sparsity` found.

    Args:
        reading: at every density that was tried, from dense to sparse: "better than dense" (density), the mean over
            seeds, with "low" and "high", the ends of its interval; "matching" (density).
        matching: the largest sparsity found to match.
        failing: the smallest found not to; 1 where none was.
        intervals: one a density.
        margin: by how much a matching network may be worse.
    """

    matching: float
    failing: float
    intervals: tuple[Interval, ...]
    margin: float

    def facts(self) -> dict[str, str]:
        """Between which sparsities the critical one lies."""
        return {"matches": f"{self.matching:.1%} sparse", "not shown to": f"{self.failing:.1%} sparse"}

    def line(self) -> dict[str, str]:
        """The same in a line."""
        return self.facts()

    def figure(self) -> Figure:
        """The difference from the dense network against the density, with 95 % intervals over seeds."""
        line = interval_line(self.reading.coordinate("density"), self.intervals, label="sparse less dense")
        marks = (line, ReferenceLine(-self.margin, label="matching above"))
        x, y = Axis("density of prunable weights", scale="log"), Axis("better than dense", self.reading.units["low"])
        return Figure.of("Critical sparsity", marks, x, y, caption=" ".join(self.reading.notes))


@guarded
def critical_sparsity(
    problem: Problem,
    recipe: Recipe,
    *,
    seeds: int | Sequence[int] = 5,
    rewind_to: Rewinding = 0,
    sparsest: float = 0.99,
    tolerance: float = 1.15,
    margin: float | None = None,
    score: Score = by_magnitude,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
    metric: str | None = None,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> CriticalSparsity:
    """The largest sparsity at which one-shot tickets match the dense network, by bisection of the log density.

    A ticket matches where the 95 % interval of (ticket - dense) over paired seeds lies above -margin; where a layer
    would be empty, it does not. It is cut in one
    go by the scores of the trained network, rewound to step k and trained to the last. The bisection takes matching for
    monotone; for iterative pruning, whose every level is trained anyway, see `Search.largest_matching`.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=200, test=100))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=30, batch_size=50, evaluate=1)
    >>> found = tw.tickets.critical_sparsity(problem, recipe, seeds=3, margin=0.1, tolerance=4)
    >>> 0 <= found.matching < found.failing <= 1
    True

    Args:
        problem, recipe, seeds, rewind_to, score, allocation, policy: see `search`.
        sparsest: the largest sparsity that is tried.
        tolerance: the bisection ends when densities around the critical one are at most this factor apart.
        margin: by how much a ticket may be worse and match, in the metric's unit; None: half a point of accuracy.
        metric: None: accuracy on test examples, or what comes nearest.
        plan, progress, workers: see `train`.

    Raises:
        UsageError: arguments that cannot be meant, a recipe with sweeps, no margin for a loss, or seeds that diverged.

    Cost: one training of the dense network, and log2(log(1 - sparsest) / log(1 / tolerance)) of tickets, a seed.
    """
    began = time.perf_counter()
    given = checked_seeds("critical_sparsity", recipe, seeds)
    if not 0 < sparsest < 1 or not tolerance > 1:
        msg = f"sparsest must lie between 0 and 1, and tolerance be a factor above 1; got {sparsest}, {tolerance}."
        raise UsageError(msg)
    k = rewinding_step(problem, recipe, rewind_to)
    metric = metric or usual_metric(problem)
    margin = margin_of("critical_sparsity", margin, metric)
    policy, allocation = policy or Policy(), allocation or ByLayer()
    division, score = allocation.division(problem, policy), as_score(problem, score)
    whole = replace(recipe, snapshot=tuple(sorted({0, k})), snapshot_state=True)
    steps = 1 + math.ceil(math.log2(max(math.log(1 - sparsest) / -math.log(tolerance), 1)))
    tried: dict[float, Interval] = {}
    empty: list[str] = []
    with watched(progress) as told:
        told(Progress("critical sparsity, dense", 0, steps + 1, 0.0))
        dense = train(problem, whole, given, plan=plan, workers=workers)
        check_trained("critical_sparsity", dense, given)
        scores, before = score(dense.final, dense.snapshots[0]), dense.history.final(metric)

        def is_enough(density: float) -> bool:
            told(Progress("critical sparsity", len(tried) + 1, steps + 1, time.perf_counter() - began))
            try:
                mask = select(scores, division, allocation.kept(division, density))
            except EmptyLayerError as error:
                empty.append(f"{1 - density:.1%}: {error}")
                tried[density] = Interval(math.nan, math.nan, math.nan, len(given), "a layer would be empty")
                return False
            run = train(problem, recipe, given, start=dense.at(k), mask=mask, paired=True, plan=plan, workers=workers)
            tried[density] = mean_gain(gains(run.history.final(metric), before, metric))
            return matches(tried[density], margin)

        high, low = 1.0, 1 - sparsest  # densities that match, and that do not
        if is_enough(low):
            high, low = low, 0.0
        while low and high / low > tolerance:
            middle = math.sqrt(high * low)
            high, low = (middle, low) if is_enough(middle) else (high, middle)
    densities = sorted(tried, reverse=True)
    found = tuple(tried[one] for one in densities)
    ends = {name: np.array([getattr(one, name) for one in found]) for name in ("estimate", "low", "high")}
    reading = Reading(
        "critical sparsity",
        {"better than dense": ends["estimate"], "low": ends["low"], "high": ends["high"]}
        | {"matching": ends["low"] > -margin},
        dict.fromkeys(("better than dense", "low", "high", "matching"), ("density",)),
        {"density": densities},
        dict.fromkeys(("better than dense", "low", "high"), dense.history.units[metric]),
        sample_size=len(given),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(given, str(problem.device), str(problem.dtype)),
        notes=(
            f"One-shot tickets by {type(allocation).__name__}, rewound to step {k}; {metric}, {len(given)} seeds.",
            *empty,
        ),
    )
    return CriticalSparsity(reading, 1 - high, 1 - low, found, margin)
