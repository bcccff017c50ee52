"""Fast geometric ensembles: several networks from one cyclic continuation of a run, averaged in their outputs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.connectivity.ensemble import ways_to_combine
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type, unknown_name
from thalweg.evaluation import Drawn, Sample, as_sample, outputs
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.guard import guarded
from thalweg.population import Batch, Plan, Population, Problem
from thalweg.population.derivatives import check_steady
from thalweg.progress import Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.schedules import Linear, Schedule
from thalweg.statistics import Interval, interval
from thalweg.training import Run, train
from thalweg.tuning.rates import gradients_a_step
from thalweg.workers import Workers

Array = NDArray[np.float64]


def triangular(period: int, high: float = 0.5, low: float = 0.005) -> Schedule:
    """The cyclic schedule of fast geometric ensembles: down from high to low over half a period, and up again.

        s(t) = (1 - 2 u) high + 2 u low            for u = t / period up to 1/2, t counted from 1 in each cycle
        s(t) = (2 - 2 u) low + (2 u - 1) high      for u from 1/2 to 1

    >>> import thalweg as tw
    >>> s = tw.connectivity.triangular(4, high=1.0, low=0.2)
    >>> [round(float(s(step, 8)), 4) for step in range(1, 9)]
    [0.6, 0.2, 0.6, 1.0, 0.6, 0.2, 0.6, 1.0]

    Args:
        period: steps of a cycle, an even number.
        high, low: multipliers of the rule's rate.

    Raises:
        UsageError: an odd period, whose lowest rate no step has.

    Source: Garipov et al., 2018, arXiv:1802.10026, section 5.
    """
    check_count("triangular period", period, 2)
    if period % 2:
        msg = f"A triangular period must be even, so that a step has the lowest rate; got {period}."
        raise UsageError(msg)
    half = period // 2
    return Linear(high, low).then(Linear(low, high), at=half).repeated(period)


@dataclass(frozen=True, eq=False)
class FastEnsemble(Result):
    """What `fast_ensemble` found.

    Args:
        reading: "loss" and every metric, and "error" (1 - accuracy) of the ensemble of the first so many snapshots,
            (snapshots, member); as "snapshot loss" and so on of each snapshot alone; as "end loss" and so on of
            networks trained as long without cycles: (member).
        snapshots: the networks at the low points, all members at each, in order.
        end: the networks trained as long without cycles.
        run: the run that went on in cycles.
    """

    snapshots: list[Population] = field(repr=False)
    end: Population = field(repr=False)
    run: Run = field(repr=False)
    _tables: dict[str, Array] = field(repr=False)
    _common: bool = field(repr=False)

    def members(self, member: int) -> Population:
        """The snapshots of one member of the run, as a population: to be averaged in weights or outputs."""
        return Population.concatenate([one[member] for one in self.snapshots])

    def gain(self, name: str | None = None, members: Sequence[int] | slice = slice(None)) -> Interval:
        """By how much the ensemble of all snapshots is better than the end of training at equal budget.

            mean over members and examples of (value of the end of training) - (value of the ensemble)

        Its interval takes members and examples for samples (`interval.crossed`); of one member examples alone, and of
        members that have examples of their own members alone.

        Args:
            name: "loss", "error" or a metric; above 0 is better where less of it is. None: "error" where there is an
                accuracy, else "loss".
            members: of the run, such as run.select(lr=0.1).

        Raises:
            UsageError: no such name.
        """
        name = ("error" if "error" in self._tables else "loss") if name is None else name
        if name not in self._tables:
            raise unknown_name("metric", name, self._tables)
        table = self._tables[name][members]
        if len(table) == 1:
            return interval.mean(table[0])
        return interval.crossed(table) if self._common else interval.mean(table.mean(1))

    def figure(self) -> Figure:
        """Loss and error of the ensemble over its size, and of the end of training at equal budget."""
        panels = [self._panel(name) for name in ("loss", "error") if name in self.reading.arrays]
        return Figure.row(panels, title=self.reading.name, caption=" ".join(self.reading.notes))

    def _panel(self, name: str) -> Figure:
        counts, marks = self.reading.coordinate("snapshots"), []
        for array, label in ((name, "ensemble"), (f"snapshot {name}", "each alone")):
            values = self[array]
            band = {} if values.shape[1] == 1 else {"low": values.min(1), "high": values.max(1)}
            marks.append(Line(counts, values.mean(1), label=label, **band))
        marks.append(ReferenceLine(float(self[f"end {name}"].mean()), label="end of training"))
        return Figure.of(name, marks, Axis("snapshots"), Axis(name, self.reading.units.get(name, "")))


@guarded
def fast_ensemble(
    problem: Problem,
    run: Run,
    *,
    cycles: int = 5,
    period: int | None = None,
    high: float = 0.5,
    low: float = 0.005,
    end: Population | None = None,
    on: Sample | str | ExampleSet = "test",
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> FastEnsemble:
    """Go on with a run in cycles of the learning rate, and average the outputs of the networks at its low points.

    Momentum, data order and steps go on from the run's end. The rate falls from high to low over half a period, where
    a snapshot is taken, and rises again (`triangular`). For classes and yes or no answers probabilities are averaged,
    for all other losses the outputs. The control is the same recipe, its schedule stretched over as many steps in all.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.Momentum(0.1), steps=6, batch_size=50), seeds=2)
    >>> found = tw.connectivity.fast_ensemble(problem, run, cycles=3, period=4)
    >>> found["error"].shape, len(found.members(0)), found.run.step, found.gain("error").n
    ((3, 2), 3, 16, 2)

    Args:
        problem: what the run was trained on.
        run: a finished run, of all combinations of sweeps and seeds, without arms or starts of its own.
        cycles: snapshots.
        period: steps of a cycle, an even number; None: about two passes over the training examples.
        high, low: multipliers of the recipe's rate.
        end: networks trained as long in all, one a member of the run, to compare with; None trains them.
        on: held-out examples; of a run whose members have test examples of their own, "test" is those.
        plan: see `train`.
        progress: told how far it is.
        workers: who trains slices of the members, see `train`; None: this process.

    Raises:
        UsageError: a run that is not finished or not of this kind, or other arguments that cannot be meant.
        KeyboardInterrupt: Ctrl-C, after the step under way.

    Cost: (cycles - 1/2) period further steps, and all of the run's and these once more where `end` is None.

    Source: Garipov et al., 2018, arXiv:1802.10026, section 5.
    """
    began = time.perf_counter()
    _check(problem, run, cycles, end)
    period = _period(run) if period is None else period
    cyclic = triangular(period, high, low)
    last = run.step + (2 * cycles - 1) * (period // 2)
    at = tuple(run.step + cycle * period + period // 2 for cycle in range(cycles))
    longer = replace(run.recipe, steps=last, snapshot=0, snapshot_state=False, evaluate=1)
    recipe = replace(longer, schedule=run.recipe.schedule.then(cyclic, at=run.step), snapshot=at)
    grid, drawn = run.grid, as_sample("fast_ensemble", on).draw(problem)
    common: dict[str, Any] = {"examples": grid.examples, "test_examples": grid.test_examples, "plan": plan}
    common["workers"] = workers
    with watched(progress) as told:
        on_run = train(problem, recipe, grid.given_seeds, start=run.at(run.step), paired=True, progress=told, **common)
        steps = last - run.step + (last if end is None else 0)
        if end is None:
            end = train(problem, longer, grid.given_seeds, mask=_mask(run), progress=told, **common).final
    snapshots = [on_run.snapshots[step] for step in at]
    own = run.test_examples if on == "test" else None
    answers = [outputs(problem, one, drawn.examples, rows=own, plan=plan) for one in (*snapshots, end)]
    targets = _targets(drawn, own, len(end))
    alone = [_values(problem, one, targets) for one in answers]
    together = [_values(problem, _together(problem, answers[: count + 1]), targets) for count in range(cycles)]
    names = alone[0].keys()
    arrays = {name: np.stack([one[name].mean(1) for one in together]) for name in names}
    arrays |= {f"snapshot {name}": np.stack([one[name].mean(1) for one in alone[:-1]]) for name in names}
    arrays |= {f"end {name}": alone[-1][name].mean(1) for name in names}
    gradients = len(end) * steps * gradients_a_step(run.recipe.optimizer)
    units = {"loss": problem.loss.unit, "error": "fraction"} | {one.name: one.unit for one in problem.metrics}
    reading = Reading(
        "fast geometric ensemble",
        arrays,
        {name: ("member",) if values.ndim == 1 else ("snapshots", "member") for name, values in arrays.items()},
        {"snapshots": np.arange(1, cycles + 1), "member": np.arange(len(end))},
        {name: unit for name in arrays for kind, unit in units.items() if kind in name.split()},
        sample_size=len(drawn) if own is None else own.shape[1],
        cost=Cost(time.perf_counter() - began, forwards=gradients + len(answers) * len(end), backwards=gradients),
        provenance=Provenance.here(grid.given_seeds, str(problem.device), str(problem.dtype), plan=str(on_run.plan)),
        notes=(
            f"On {drawn.text if own is None else 'the test examples of each member'}.",
            f"{cycles} snapshots, {period:,} steps apart, after {run.step:,} steps; the end of training is after "
            f"{last:,} steps without cycles.",
        ),
    )
    tables = {name: alone[-1][name] - together[-1][name] for name in names}
    return FastEnsemble(reading, snapshots, end, on_run, tables, own is None)


def _check(problem: Problem, run: Run, cycles: int, end: Population | None) -> None:
    check_type("fast_ensemble problem", problem, Problem, "a Problem")
    check_steady(problem, "networks cannot be compared")
    check_type("fast_ensemble run", run, Run, "a Run, such as train(problem, recipe, seeds=3)")
    check_type("fast_ensemble end", end, (Population, NoneType), "a Population, such as the final of a longer run")
    check_count("fast_ensemble cycles", cycles)
    if run.step < run.recipe.steps:
        msg = f"fast_ensemble goes on from the end of a run; this one is at step {run.step} of {run.recipe.steps}."
        raise UsageError(msg)
    if end is None and {"arm", "start_member"} & run.axes.keys():
        msg = "fast_ensemble cannot train anew what began at starts of its own, to compare with; give end=."
        raise UsageError(msg)
    if end is not None and len(end) != len(run.final):
        msg = f"fast_ensemble end has one member for each of the run's {len(run.final)}; got {len(end)}."
        raise UsageError(msg)


def _period(run: Run) -> int:
    """Steps of about two passes over the training examples of the run, an even number."""
    order = run.order
    if order is None:
        msg = "The run's members have different batch sizes, so period must be given, in steps."
        raise UsageError(msg)
    return 2 * max(1, order.examples // order.batch_size)


def _mask(run: Run) -> Tensor | None:
    """The run's mask by seed, which is one row where all members have the same."""
    mask = run.final.mask
    if mask is None:
        return None
    if not bool((mask == mask[:1]).all()):
        msg = "fast_ensemble cannot train members with different masks anew, to compare with; give end=."
        raise UsageError(msg)
    return mask[0]


def _targets(drawn: Drawn, rows: Tensor | None, members: int) -> Any:
    """The targets, for every member: (members, examples, ...)."""
    examples = drawn.examples
    batch = Batch.range(examples, 0, len(examples)) if rows is None else Batch.of(examples, rows)
    if rows is not None and len(rows) == 1:
        batch = Batch(batch.inputs, batch.targets, shared=True)
    return batch.targets_of(slice(0, members), members)


def _together(problem: Problem, answers: Sequence[Any]) -> Any:
    """The answers of the ensembles of several networks, for all members: probabilities are averaged where there are."""
    combine = next(iter(ways_to_combine(problem).values()))
    stacked = tree_map(lambda *leaves: torch.stack(leaves), *answers)
    return tree_map(lambda leaf: leaf[0], combine(stacked, torch.full((len(answers),), 1 / len(answers))))


@torch.no_grad()
def _values(problem: Problem, answers: Any, targets: Any) -> dict[str, Array]:
    """Loss, metrics and error of each example, (members, examples), whose plain mean over examples is the mean."""
    found: dict[str, Array] = {}
    for name, function in {"loss": problem.loss, **{metric.name: metric for metric in problem.metrics}}.items():
        values, weights = function.entries(answers, targets, 2)
        values = values.double()
        if weights is not None:
            weights = weights.double()
            values = values * weights / weights.mean(1, keepdim=True)
        found[name] = values.cpu().numpy()
    lost = ~np.isfinite(found["loss"])
    found = {name: values if name == "loss" else np.where(lost, np.nan, values) for name, values in found.items()}
    if "accuracy" in found:
        found["error"] = 1 - found["accuracy"]
    return found
