"""What training returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError
from thalweg.evaluation import Sample, recomputed
from thalweg.evaluation.running_statistics import STATISTICS_SAMPLE
from thalweg.population import Plan, Population, Problem
from thalweg.results import Summarized, Table
from thalweg.results.summary import spanned
from thalweg.training.history import History
from thalweg.training.member_grid import MemberGrid
from thalweg.training.recipe import Recipe
from thalweg.training.start import UPDATES, DataOrder, Start
from thalweg.training.state import State
from thalweg.workers import Place


@dataclass(frozen=True, eq=False)
class Reached(Summarized):
    """The members of a run that came to a level, each where it first did; see `Run.at_first`.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> kept = tuple(range(0, 41, 4))
    >>> recipe = tw.Recipe(tw.optim.SGD(0.5), 40, 64, evaluate=kept, snapshot=kept)
    >>> reached = tw.train(problem, recipe, seeds=3).at_first("train_loss", 1.5)
    >>> len(reached.population), bool(np.isin(reached.steps, kept).all())
    (3, True)

    Args:
        population: the members at their own snapshots.
        members: which they are in the run: (reached,).
        steps: of their snapshots: (reached,).
        values: of the metric there: (reached,).
        count: members of the run, those that did not come to the level too.
    """

    population: Population
    members: NDArray[np.int64]
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    count: int

    def facts(self) -> dict[str, str]:
        """How many members came to the level, when, and to what."""
        return {
            "members": f"{len(self.members):,} of {self.count:,}",
            "steps": spanned(self.steps),
            "values": spanned(self.values),
        }

    def among_all(self, values: ArrayLike) -> NDArray[np.float64]:
        """Numbers of the members that came to the level, NaN of all others: (reached,) to (members of the run,)."""
        table = np.full(self.count, np.nan)
        table[self.members] = values
        return table


@dataclass(frozen=True, eq=False)
class Run(Summarized):
    """A trained population and how it came there.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.SGD(lr=[0.1, 0.2]), steps=4, batch_size=64, snapshot=2), seeds=2)
    >>> run.select(lr=0.2), sorted(run.snapshots)
    ([2, 3], [0, 2, 4])

    Args:
        recipe: as given.
        axes: for every swept axis and "seed", the value of each member (members,).
        final: the members after the last step.
        history: loss and metrics over the steps.
        diverged_at: the step at which a member stopped being finite and was frozen (the one it began at: it did not
            start finite), -1 where it did not: (members,).
        plans: how gradients and outputs were evaluated ("gradient", "outputs"), for `train(plan=...)`.
        seconds: wall-clock time of the call that returned this run; next to none where the store had it finished.
        state: all arrays of the run, for going on.
        grid: the recipe over the members.
        order: of its batches; None where the batch size is swept.
        places: where each slice, such as "members 0 to 31", was trained in the call that returned this, if by workers.
    """

    recipe: Recipe
    axes: Mapping[str, NDArray[Any]]
    final: Population
    history: History
    diverged_at: NDArray[Any]
    plans: Mapping[str, Plan]
    seconds: float
    state: State = field(repr=False)
    grid: MemberGrid = field(repr=False)
    order: DataOrder | None = field(repr=False)
    places: Mapping[str, Place] = field(default_factory=dict, repr=False)

    def facts(self) -> dict[str, str]:
        """Members and their axes, rule, steps, how many diverged, and the metrics at the last evaluation."""
        axes = ", ".join(f"{len(np.unique(values))} {name}" for name, values in self.axes.items())
        diverged = int((self.diverged_at >= 0).sum())
        return {
            "members": f"{len(self.final):,}: {axes}",
            "rule": type(self.recipe.optimizer).__name__,
            "steps": f"{self.step:,} of {self.recipe.steps:,}",
            "diverged": f"{diverged:,}" if diverged else "none",
            **self.history.last(),
            **({"notes": "; ".join(self.history.notes)} if self.history.notes else {}),
        }

    def details(self) -> Table:
        """Every member: its axes, when it diverged, and its metrics at the last evaluation."""
        columns: dict[str, Any] = {"member": np.arange(len(self.final)), **self.axes}
        if (self.diverged_at >= 0).any():
            columns["diverged_at"] = [int(step) if step >= 0 else None for step in self.diverged_at]
        return Table(columns | {name: values[-1] for name, values in self.history.metrics.items()})

    @property
    def step(self) -> int:
        """Updates done."""
        return self.state.step

    @property
    def updates(self) -> NDArray[np.int64]:
        """How many updates each member's moments have seen: its rule's count of steps, as bias corrections use it.

        They are fewer than `step` where a member began with fresh moments in mid-run: (members,).
        """
        return (self.step - self.state.fresh_since).clamp_min(0).numpy()

    @property
    def examples(self) -> Int64[Tensor, "members n"] | None:
        """The training examples of each member, by index, where `train` was given some: (members, n); None: all."""
        table = self.grid.examples
        return None if table is None else table[torch.from_numpy(self.grid.places)]

    @property
    def test_examples(self) -> Int64[Tensor, "members n"] | None:
        """The test examples of each member, likewise; `evaluate(..., "test", rows=)` takes them."""
        table = self.grid.test_examples
        return None if table is None else table[torch.from_numpy(self.grid.places)]

    @property
    def plan(self) -> Plan:
        """How gradients were evaluated."""
        return self.plans["gradient"]

    @property
    def snapshots(self) -> dict[int, Population]:
        """The population at each snapshot step reached; a member that began later is NaN there."""
        steps = [step for step in self.state.snapshot_steps if step <= self.step]
        then = self.state.snapshot_buffers
        return {
            step: replace(
                self.final,
                theta=self.state.snapshots[i],
                buffers={
                    name: then[name][i] if name in then else buffer for name, buffer in self.final.buffers.items()
                },
            )
            for i, step in enumerate(steps)
        }

    def at(self, step: int, members: Sequence[int] | slice | None = None) -> Start:
        """The members at a snapshot, with their optimizer's state: where `train(start=...)` can begin.

        With the same recipe and seeds, and paired=True where there are several members, what is trained from there is
        the run itself, bit for bit, by the same plans. Another seed is another data order from the same point.

        >>> import torch
        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> recipe = tw.Recipe(tw.optim.Adam(0.01), steps=6, batch_size=64, snapshot=(2,), snapshot_state=True)
        >>> run = tw.train(problem, recipe, seeds=2)
        >>> again = tw.train(problem, recipe, seeds=2, start=run.at(2), paired=True, plan=run.plans)
        >>> torch.equal(again.final.theta, run.final.theta)
        True
        >>> fork = tw.train(problem, recipe, seeds=[7, 8], start=run.at(2))
        >>> [(int(row), int(seed)) for row, seed in zip(fork.axes["start_member"], fork.axes["seed"])]
        [(0, 7), (0, 8), (1, 7), (1, 8)]

        Args:
            step: of a snapshot, or the last one.
            members: which of them; None: all.

        Raises:
            UsageError: a step that was not kept, or kept without the optimizer's state, or before members began.

        Cost: none; the arrays are the run's own, which nothing changes.
        """
        state = self.state
        if step == self.step:
            population, slots = self.final, dict(state.slots)
        elif step in self.snapshots:
            population = self.snapshots[step]
            place = state.snapshot_steps.index(step)
            slots = {name: matrix[place] for name, matrix in state.snapshot_slots.items()}
        else:
            kept = ", ".join(map(str, self.snapshots)) or "none"
            msg = (
                f"The run has no snapshot of step {step}; kept are {kept}, and the last step {self.step}. Train with "
                f"Recipe(..., snapshot=({step},), snapshot_state=True)."
            )
            raise UsageError(msg)
        fresh = bool((state.fresh_since == step).all())
        if slots.keys() != state.slots.keys() and not fresh:
            msg = (
                f"The snapshot of step {step} has no optimizer state; train with Recipe(..., snapshot_state=True), or "
                f"write Start(run.snapshots[{step}], step={step}) for fresh moments."
            )
            raise UsageError(msg)
        chosen = np.arange(len(self.final))[slice(None) if members is None else members]
        late = chosen[(state.began > step).numpy()[chosen]]
        if len(late):
            msg = f"Members {late.tolist()} begin after step {step}; write run.at({step}, members=[...]) for others."
            raise UsageError(msg)
        updates = (step - state.fresh_since).unsqueeze(1)
        state = None if fresh else slots | {UPDATES: updates}
        start = Start(population, state, step, self.order, self.examples, self.test_examples)
        return start if members is None else start[members]

    def at_first(self, metric: str, level: float) -> "Reached":
        """Each member where its metric first is at most a level, so that runs can be compared at one loss.

        Only steps count that are both evaluated and kept as snapshots, such as with
        Recipe(..., evaluate=kept, snapshot=kept); the more of them, the nearer the members are to the level.

        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> kept = tuple(range(0, 41, 4))
        >>> recipe = tw.Recipe(tw.optim.SGD(lr=[0.001, 0.5]), 40, 64, evaluate=kept, snapshot=kept)
        >>> reached = tw.train(problem, recipe, seeds=1).at_first("train_loss", 1.5)
        >>> reached.members.tolist(), bool(reached.values[0] <= 1.5)
        ([1], True)

        Args:
            metric: of the history, such as "train_loss".
            level: to be reached; a value equal to it counts.

        Raises:
            UsageError: no such metric, no snapshot of an evaluated step, or no member that comes to the level.

        Cost: a copy of a row for each member that comes there.
        """
        values, snapshots = self.history[metric], self.snapshots
        rows = np.flatnonzero(np.isin(self.history.steps, list(snapshots)))
        if not len(rows):
            msg = "at_first needs snapshots of evaluated steps; train with Recipe(..., evaluate=kept, snapshot=kept)."
            raise UsageError(msg)
        below = values[rows] <= level
        members = np.flatnonzero(below.any(0))
        if not len(members):
            msg = f"No member comes to a {metric} of {level:g}; the lowest is {np.nanmin(values[rows]):g}."
            raise UsageError(msg)
        first = rows[below.argmax(0)[members]]
        steps = self.history.steps[first]
        each = [snapshots[step][[member]] for step, member in zip(steps.tolist(), members.tolist(), strict=True)]
        population = Population.concatenate(each)
        return Reached(population, members, steps, values[first, members], len(self.final))

    def averaged(
        self, problem: Problem, *, on: Sample | str | ExampleSet = STATISTICS_SAMPLE, plan: Plan | str = "auto"
    ) -> Population:
        """The members at the averages of their weights, with running statistics of these weights.

        Normalization layers go with the weights they saw, so theirs are made anew (see `evaluation.recomputed`). A
        member that diverged before its first step is where it began.

        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> rule = tw.optim.Averaged(tw.optim.SGD(0.1))
        >>> tw.train(problem, tw.Recipe(rule, steps=3, batch_size=64), seeds=2).averaged(problem).theta.shape
        torch.Size([2, 650])

        Args:
            problem: what was trained.
            on: the examples that the statistics are of; without such layers there is nothing to compute.
            plan: see `train`.

        Raises:
            UsageError: no average was kept.
        """
        if "average" not in self.state.slots:
            msg = "The run kept no average; train with optim.Averaged(rule)."
            raise UsageError(msg)
        mask, at = self.final.mask, self.state.diverged_at
        began = self.state.began.to(at.device)
        # Stopped before the first update, or not begun.
        never = (at == began) | (at == began + 1) | (began >= self.step)
        average = torch.where(never[:, None], self.final.theta, self.state.slots["average"])
        return recomputed(problem, self.final.with_theta(average if mask is None else average * mask), on, plan=plan)

    def select(self, **where: float | str) -> list[int]:
        """The members whose axes have these values, such as run.select(lr=0.1, seed=0) or run.select(arm="ticket")."""
        for name in where:
            if name not in self.axes:
                msg = f"The run has no axis {name!r}; it has {', '.join(self.axes)}."
                raise UsageError(msg)
        chosen = np.ones(len(self.final), dtype=bool)
        for name, value in where.items():
            values = np.asarray(self.axes[name])
            if values.dtype.kind == "U":
                chosen &= values == value
            else:
                chosen &= np.isclose(values.astype(np.float64), float(value), rtol=1e-12, atol=0)
        return np.flatnonzero(chosen).tolist()
