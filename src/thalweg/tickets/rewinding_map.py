"""Which sparsity is reached from which rewinding point: all points in lock-step."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_choice, check_count, unknown_name
from thalweg.figures import Axis, Figure, Line, ReferenceLine, interval_line
from thalweg.guard import guarded
from thalweg.population import Plan, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.tickets.allocation import Allocation, ByLayer
from thalweg.tickets.checked import check_trained, checked_seeds
from thalweg.tickets.division import Share
from thalweg.tickets.found import bounds_of
from thalweg.tickets.layer_order import usual_keep
from thalweg.tickets.matching import gains, margin_of, matches, mean_gain, usual_metric
from thalweg.tickets.policy import Policy
from thalweg.tickets.rewinding_step import Rewinding, rewinding_step
from thalweg.tickets.scoring import Score, as_score, by_magnitude
from thalweg.tickets.selection import EmptyLayerError, Mask, check_left, select
from thalweg.tickets.shuffling import shuffled_parts
from thalweg.training import Recipe, Run, train
from thalweg.workers import Workers

Array = NDArray[np.float64]
CONTROLS = ("shuffled", "earliest mask")


@dataclass(frozen=True, eq=False)
class RewindingMap(Result):
    """What `rewinding_map` found.

    Args:
        reading: the metric after the last step (rewinding, density, seed), under its name; that of the dense network,
            "dense" (seed); that of every control (rewinding, density, seed), NaN at levels without controls; and
            "matching sparsity" (rewinding), the largest that matches at it and at all lower ones, 0 where none does.
            Coordinates of "rewinding" are steps.
        metric: its name.
        dense: the run of the dense network.
        masks: by step of rewinding, one a level: (seeds, parameters) each.
    """

    metric: str
    dense: Run
    masks: dict[int, tuple[Mask, ...]]

    @property
    def steps(self) -> list[int]:
        """Of rewinding."""
        return [int(step) for step in self.reading.coordinate("rewinding")]

    def gains(self, rewinding: int, level: int, than: str | int = "dense") -> Array:
        """By how much tickets are better, seed by seed: more accurate, or of less loss: (seeds,).

        Args:
            rewinding: their step of rewinding.
            level: of pruning, from 1 on.
            than: "dense", a control at the same step and level, or another step of rewinding at the same level.

        Raises:
            UsageError: no such step, level or control.
        """
        ticket = self._of(rewinding, level, self.metric)
        if isinstance(than, int):
            other = self._of(than, level, self.metric)
        elif than == "dense":
            other = self["dense"]
        elif than in self.reading.arrays and than in CONTROLS:
            other = self._of(rewinding, level, than)
        else:
            raise unknown_name("control", than, ("dense", *(one for one in CONTROLS if one in self.reading.arrays)))
        return gains(ticket, other, self.metric)

    def better(self, rewinding: int, level: int, than: str | int = "dense") -> Interval:
        """The mean of `gains` over seeds; [0, 0] where every seed has the very same outcome.

        Raises:
            UsageError: see `gains`.
        """
        return mean_gain(self.gains(rewinding, level, than))

    def _of(self, rewinding: int, level: int, name: str) -> Array:
        steps, table = self.steps, self[name]
        if rewinding not in steps or not 1 <= level <= table.shape[1]:
            msg = f"Rewinding steps are {steps}, levels 1 to {table.shape[1]}; got {rewinding} and {level}."
            raise UsageError(msg)
        return table[steps.index(rewinding), level - 1]

    def figure(self) -> Figure:
        """The metric against the density, a line for each rewinding step and control, with 95 % intervals over seeds.

        Of controls those at the latest step are drawn.
        """
        steps = self.steps
        lines = [
            self._line(table, f"rewound to step {step}") for step, table in zip(steps, self[self.metric], strict=True)
        ]
        for control in CONTROLS:
            if control in self.reading.arrays:
                lines.append(self._line(self[control][-1], f"{control}, step {steps[-1]}"))
        marks = (*lines, ReferenceLine(float(self["dense"].mean()), label="dense"))
        y = Axis(self.metric.replace("_", " "), self.reading.units.get(self.metric, ""))
        x = Axis("density of prunable weights", scale="log")
        return Figure.of("Sparsity by rewinding point", marks, x, y, caption=" ".join(self.reading.notes))

    def _line(self, table: Array, label: str) -> Line:
        known = np.isfinite(table).all(1)
        found = [interval.mean(one, bounds=bounds_of(self.metric)) for one in table[known]]
        return interval_line(self.reading.coordinate("density")[known], found, label=label)


@guarded
def rewinding_map(
    problem: Problem,
    recipe: Recipe,
    rewind_to: Sequence[Rewinding] = (0, 0.02, 0.1),
    *,
    seeds: int | Sequence[int] = 5,
    rounds: int = 12,
    keep: Share | None = None,
    margin: float | None = None,
    score: Score = by_magnitude,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
    controls: Sequence[str] | Mapping[str, Sequence[int]] = (),
    metric: str | None = None,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> RewindingMap:
    """Iterative pruning with several rewinding points, whose chains are trained side by side from one dense run.

    Controls say what late rewinding gives, each at every point and beside the tickets of the same level:

    - "shuffled": as many weights in every layer at random places, on the weights of the point: what late weights alone
      carry;
    - "earliest mask": the mask that was found with the earliest point, on the weights of this one: whether the mask is
      another one, too.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=200, test=50))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=20, batch_size=50, evaluate=1)
    >>> found = tw.tickets.rewinding_map(problem, recipe, (0, 0.2), seeds=2, rounds=2, keep=0.5)
    >>> found["test_accuracy"].shape, found.reading.coordinate("rewinding").tolist()
    ((2, 2, 2), [0, 4])

    Args:
        problem, recipe, seeds, rounds, keep, score, allocation, policy: see `search`.
        rewind_to: the points, each as `search` takes it.
        margin: by how much a matching ticket may be worse, in the metric's unit; None: half a point of accuracy.
        controls: which are trained, of "shuffled" and "earliest mask": at every level, or by name the levels, such as
            {"shuffled": (2, 4)}.
        metric: what is compared; None: accuracy on test examples, or what comes nearest.
        plan, progress, workers: see `train`.

    Raises:
        UsageError: arguments that cannot be meant, a recipe with sweeps, no margin for a loss, or seeds that diverged.

    Cost: a training of the dense network, and rounds trainings from each point on, a seed; as much again a control.

    Source: Frankle et al., 2019, arXiv:1903.01611.
    """
    began = time.perf_counter()
    check_count("rewinding_map rounds", rounds)
    given = checked_seeds("rewinding_map", recipe, seeds)
    steps = sorted({rewinding_step(problem, recipe, one) for one in rewind_to})
    if not steps:
        msg = "rewinding_map needs at least one rewinding point, such as (0, 0.02)."
        raise UsageError(msg)
    every = range(1, rounds + 1)
    at = controls if isinstance(controls, Mapping) else dict.fromkeys(controls, every)
    for name in at:
        check_choice("A control of rewinding_map", name, CONTROLS)
    metric = metric or usual_metric(problem)
    margin = margin_of("rewinding_map", margin, metric)
    policy, allocation = policy or Policy(), allocation or ByLayer()
    division = allocation.division(problem, policy)
    score = as_score(problem, score)
    keep, said = usual_keep(problem, allocation, division) if keep is None else (keep, "")
    kept = [division.sizes]
    for _ in range(rounds):
        kept.append(allocation.kept(division, keep, kept[-1]))
    check_left(division, kept[1])
    notes = [said] if said else []
    tables: dict[str, list[Array]] = {name: [] for name in ("ticket", *at)}
    with watched(progress) as told:
        told(Progress("rewinding, dense", 0, rounds + 1, 0.0))
        whole = replace(recipe, snapshot=tuple(sorted({0, *steps})), snapshot_state=True)
        dense = train(problem, whole, given, plan=plan, workers=workers)
        check_trained("rewinding_map", dense, given)
        first, starts = dense.snapshots[0], {step: dense.at(step) for step in steps}
        trained = dict.fromkeys(steps, dense.final)
        masks: dict[int, list[Mask]] = {step: [] for step in steps}
        for level in every:
            told(Progress("rewinding", level, rounds + 1, time.perf_counter() - began))
            scored = {step: score(trained[step], first) for step in steps}
            try:
                cut = [
                    select(one, division, kept[level], within=masks[step][-1] if masks[step] else None)
                    for step, one in scored.items()
                ]
            except EmptyLayerError as error:
                if level == 1:
                    raise
                notes.append(f"Stopped before level {level}: {error}")
                break
            for of, mask in zip(masks.values(), cut, strict=True):
                of.append(mask)
            now = {("ticket", step): of[-1] for step, of in masks.items()}
            if level in at.get("shuffled", ()):
                now |= {("shuffled", step): shuffled_parts(of[-1], division, given) for step, of in masks.items()}
            if level in at.get("earliest mask", ()):
                now |= {("earliest mask", step): masks[steps[0]][-1] for step in steps[1:]}
            arms = {arm: f"{arm[0]}, step {arm[1]}" for arm in now}
            begin = {name: starts[step] for (_, step), name in arms.items()}
            own = {name: now[arm] for arm, name in arms.items()}
            run = train(problem, recipe, given, start=begin, mask=own, paired=True, plan=plan, workers=workers)
            trained = {step: run.final[run.select(arm=arms["ticket", step])] for step in steps}
            final = run.history.final(metric)
            values = {arm: final[run.select(arm=name)] for arm, name in arms.items()}
            values["earliest mask", steps[0]] = values["ticket", steps[0]]  # they are one
            for name, rows in tables.items():
                missing = np.full(len(given), np.nan)
                unknown = name != "ticket" and level not in at[name]
                rows.append(np.stack([missing if unknown else values[name, step] for step in steps]))
    stacked = {name: np.stack(rows, axis=1) for name, rows in tables.items()}
    table = stacked.pop("ticket")
    densities = [float(one.sum()) / float(division.sizes.sum()) for one in kept[1 : table.shape[1] + 1]]
    found = dense.history.final(metric)
    matching = [[matches(mean_gain(one), margin) for one in of] for of in gains(table, found, metric)]
    reached = [1 - min([1.0, *densities[: int(np.cumprod(of).sum())]]) for of in matching]
    reading = Reading(
        "sparsity by rewinding point",
        {metric: table, "dense": found, "matching sparsity": np.array(reached), **stacked},
        {
            metric: ("rewinding", "density", "seed"),
            "dense": ("seed",),
            "matching sparsity": ("rewinding",),
            **dict.fromkeys(stacked, ("rewinding", "density", "seed")),
        },
        {"rewinding": steps, "density": densities, "seed": given},
        dict.fromkeys((metric, "dense", *stacked), dense.history.units[metric]) | {"rewinding": "steps"},
        sample_size=len(given),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(given, str(problem.device), str(problem.dtype)),
        notes=(
            f"A ticket matches where the 95 % interval of its difference from the dense network over {len(given)} "
            f"seeds lies above -{margin:g}; bands are such intervals.",
            *notes,
        ),
    )
    return RewindingMap(reading, metric, dense, {step: tuple(of) for step, of in masks.items()})
