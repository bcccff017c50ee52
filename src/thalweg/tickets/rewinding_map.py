"""Which sparsity is reached from which rewinding point: all points in lock-step."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, ReferenceLine, interval_line
from thalweg.population import Plan, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.tickets.allocation import Allocation, ByLayer
from thalweg.tickets.division import Share
from thalweg.tickets.found import MARGIN, bounds_of
from thalweg.tickets.policy import Policy
from thalweg.tickets.rewinding_step import Rewinding, rewinding_step
from thalweg.tickets.search import Score, by_magnitude, usual_shares
from thalweg.tickets.selection import Mask, select
from thalweg.training import Recipe, Run, train


@dataclass(frozen=True, eq=False)
class RewindingMap(Result):
    """What `rewinding_map` found.

    Args:
        reading: the metric after the last step (rewinding, density, seed), under its name; that of the dense network,
            "dense" (seed); and "matching sparsity" (rewinding), the largest that matches at it and at all lower ones, 0
            where none does. Coordinates of "rewinding" are steps.
        metric: its name.
        dense: the run of the dense network.
        masks: by step of rewinding, one a level: (seeds, parameters) each.
    """

    metric: str
    dense: Run
    masks: dict[int, tuple[Mask, ...]]

    def better(self, rewinding: int, level: int) -> Interval:
        """By how much the tickets of a rewinding step and level (from 1 on) are better than the dense network.

        Raises:
            UsageError: no such step or level.
        """
        steps, table = self.reading.coordinate("rewinding").tolist(), self[self.metric]
        if rewinding not in steps or not 1 <= level <= table.shape[1]:
            msg = f"Rewinding steps are {steps}, levels 1 to {table.shape[1]}; got {rewinding} and {level}."
            raise UsageError(msg)
        pair = table[steps.index(rewinding), level - 1], self["dense"]
        return interval.difference(*(pair[::-1] if self.metric.endswith("loss") else pair))

    def figure(self) -> Figure:
        """The metric against the density, a line for each rewinding step, with 95 % intervals over seeds."""
        densities = self.reading.coordinate("density")
        lines = [
            interval_line(
                densities,
                [interval.mean(one, bounds=bounds_of(self.metric)) for one in table],
                label=f"rewound to step {step}",
            )
            for step, table in zip(self.reading.coordinate("rewinding"), self[self.metric], strict=True)
        ]
        marks = (*lines, ReferenceLine(float(self["dense"].mean()), label="dense"))
        y = Axis(self.metric.replace("_", " "), self.reading.units.get(self.metric, ""))
        x = Axis("density of prunable weights", scale="log")
        return Figure.of("Sparsity by rewinding point", marks, x, y, caption=" ".join(self.reading.notes))


def rewinding_map(
    problem: Problem,
    recipe: Recipe,
    rewind_to: Sequence[Rewinding] = (0, 0.02, 0.1),
    *,
    seeds: int | Sequence[int] = 5,
    rounds: int = 12,
    keep: Share | None = None,
    margin: float = MARGIN,
    score: Score = by_magnitude,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> RewindingMap:
    """Iterative pruning with several rewinding points, whose chains are trained side by side from one dense run.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=200, test=50))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=20, batch_size=50, evaluate=1)
    >>> found = tw.tickets.rewinding_map(problem, recipe, (0, 0.2), seeds=2, rounds=2, keep=0.5)
    >>> found["test_accuracy"].shape, found.reading.coordinate("rewinding").tolist()
    ((2, 2, 2), [0, 4])

    Args:
        problem, recipe, seeds, rounds, keep, score, allocation, policy: see `search`.
        rewind_to: the points, each as `search` takes it.
        margin: by how much a matching ticket may be worse, in the metric's unit.
        plan, progress: see `train`.

    Raises:
        UsageError: arguments that cannot be meant, or a layer that would become empty.

    Cost: a training of the dense network, and rounds trainings from each point on, a seed.

    Source: Frankle et al., 2019, arXiv:1903.01611.
    """
    began = time.perf_counter()
    check_count("rewinding_map rounds", rounds)
    steps = sorted({rewinding_step(problem, recipe, one) for one in rewind_to})
    if not steps:
        msg = "rewinding_map needs at least one rewinding point, such as (0, 0.02)."
        raise UsageError(msg)
    given = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    policy, allocation = policy or Policy(), allocation or ByLayer()
    division = allocation.division(problem, policy)
    keep = usual_shares(division.kinds) if keep is None else keep
    kept = [division.sizes]
    for _ in range(rounds):
        kept.append(allocation.kept(division, keep, kept[-1]))
    tables: list[NDArray[np.float64]] = []
    with watched(progress) as told:
        told(Progress("rewinding, dense", 0, rounds + 1, 0.0))
        whole = replace(recipe, snapshot=tuple(sorted({0, *steps})), snapshot_state=True)
        dense = train(problem, whole, given, plan=plan)
        metric = next(name for name in ("test_accuracy", "test_loss", "train_loss") if name in dense.history.metrics)
        first, starts = dense.snapshots[0], {str(step): dense.at(step) for step in steps}
        trained = dict.fromkeys(steps, dense.final)
        masks: dict[int, list[Mask]] = {step: [] for step in steps}
        for level in range(1, rounds + 1):
            told(Progress("rewinding", level, rounds + 1, time.perf_counter() - began))
            for step, of in masks.items():
                within = of[-1] if of else None
                of.append(select(score(trained[step], first), division, kept[level], within=within))
            now = {str(step): of[-1] for step, of in masks.items()}
            run = train(problem, recipe, given, start=starts, mask=now, paired=True, plan=plan)
            chosen = {step: run.select(arm=str(step)) for step in steps}
            trained = {step: run.final[members] for step, members in chosen.items()}
            tables.append(np.stack([run.history.final(metric)[members] for members in chosen.values()]))
    table = np.stack(tables, axis=1)
    densities = [float(one.sum()) / float(division.sizes.sum()) for one in kept[1:]]
    found = dense.history.final(metric)
    change = found - table if metric.endswith("loss") else table - found
    matching = [[interval.mean(one).low > -margin for one in of] for of in change]
    reached = [1 - min([1.0, *densities[: int(np.cumprod(of).sum())]]) for of in matching]
    reading = Reading(
        "sparsity by rewinding point",
        {metric: table, "dense": found, "matching sparsity": np.array(reached)},
        {metric: ("rewinding", "density", "seed"), "dense": ("seed",), "matching sparsity": ("rewinding",)},
        {"rewinding": steps, "density": densities, "seed": given},
        {metric: dense.history.units[metric], "dense": dense.history.units[metric], "rewinding": "steps"},
        sample_size=len(given),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(given, str(problem.device), str(problem.dtype)),
        notes=(
            f"A ticket matches where the 95 % interval of its difference from the dense network over {len(given)} "
            f"seeds lies above -{margin:g}; bands are such intervals.",
        ),
    )
    return RewindingMap(reading, metric, dense, {step: tuple(of) for step, of in masks.items()})
