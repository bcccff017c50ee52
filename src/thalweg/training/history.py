"""How a run went: loss and metrics over the steps, tidy and with its axes."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_type, unknown_name
from thalweg.figures import Axis, Figure, Line
from thalweg.population import Problem
from thalweg.results import Summarized, Table
from thalweg.results.summary import spanned
from thalweg.sweep import plain
from thalweg.training.state import State
from thalweg.training.tables import table_of


@dataclass(frozen=True, eq=False)
class History(Summarized):
    """Loss and metrics of every member at the evaluated steps.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> history = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=4, batch_size=64), seeds=2).history
    >>> history.steps.tolist(), history.final("train_loss").shape
    ([0, 1, 2, 3, 4], (2,))

    Args:
        steps: the steps after which the run was evaluated: (evaluations,).
        axes: for every swept axis and "seed", the value of each member: (members,).
        metrics: by name, such as "test_loss": (evaluations, members); NaN once a member has diverged, and before the
            step at which it begins.
        batch_loss: the loss of every step's batch before its update, row k being step k: (steps, members); NaN where
            no target of the batch counts, and where metrics are.
        units: of the metrics, by name.
        notes: what a reader of the numbers is to know, such as that an audit sent the run back to its beginning.
    """

    steps: NDArray[np.int64]
    axes: Mapping[str, NDArray[Any]]
    metrics: Mapping[str, NDArray[np.float64]]
    batch_loss: NDArray[np.floating]
    units: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, problem: Problem, axes: Mapping[str, NDArray[Any]], state: State, notes: tuple[str, ...] = ()
    ) -> "History":
        """The history recorded in a state, as far as it has come."""
        reached = [i for i, step in enumerate(state.evaluation_steps) if step <= state.step]
        steps = np.array(state.evaluation_steps)[reached]
        metrics = {name: values[reached] for name, values in state.metrics.items()}
        return cls.recorded(problem, axes, steps, metrics, state.batch_loss[: state.step], notes)

    @classmethod
    def recorded(
        cls,
        problem: Problem,
        axes: Mapping[str, NDArray[Any]],
        steps: NDArray[np.int64],
        metrics: Mapping[str, Tensor],
        batch_loss: Tensor,
        notes: tuple[str, ...] = (),
    ) -> "History":
        """The history of what was evaluated after these steps; see the arguments."""
        units = {"loss": problem.loss.unit} | {metric.name: metric.unit for metric in problem.metrics}
        return cls(
            steps=steps,
            axes=axes,
            metrics={name: values.numpy() for name, values in metrics.items()},
            batch_loss=batch_loss.double().cpu().numpy(),
            units={name: units[name.partition("_")[2]] for name in metrics},
            notes=notes,
        )

    def facts(self) -> dict[str, str]:
        """Evaluations, members, and what every metric comes to."""
        return {
            "evaluations": f"{len(self.steps)} from step {self.steps[0]:,} to {self.steps[-1]:,}",
            "members": f"{len(self.axes['seed']):,}",
            **self.last(),
            **({"notes": "; ".join(self.notes)} if self.notes else {}),
        }

    def last(self) -> dict[str, str]:
        """From which member's to which member's value every metric comes at the last evaluation, in words."""
        return {name: spanned(values[-1], self.units[name]) for name, values in self.metrics.items()}

    def details(self) -> Table:
        """Mean over the members of every metric, at every evaluation."""
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # all members have diverged
            means = {f"mean {name}": np.nanmean(values, 1) for name, values in self.metrics.items()}
        return Table({"step": self.steps, **means})

    def __getitem__(self, metric: str) -> NDArray[np.float64]:
        """One metric: (evaluations, members)."""
        if metric not in self.metrics:
            raise unknown_name("metric", metric, self.metrics)
        return self.metrics[metric]

    def final(self, metric: str) -> NDArray[np.float64]:
        """The metric after the last step: (members,).

        Raises:
            UsageError: the run was stopped where its recipe does not evaluate.
        """
        done = len(self.batch_loss)
        if self.steps[-1] != done:
            msg = (
                f"The run stands at step {done}, but was last evaluated at {self.steps[-1]}; train on, or ask for that."
            )
            raise UsageError(msg)
        return self[metric][-1]

    def along(self, metric: str, axis: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Final values grouped by an axis: its values (n,), and the metric (n, members with that value)."""
        if axis not in self.axes:
            raise unknown_name("axis", axis, self.axes)
        points = np.unique(self.axes[axis])
        groups = [self.final(metric)[self.axes[axis] == point] for point in points]
        if len({len(group) for group in groups}) > 1:
            msg = f"The values of axis {axis!r} do not have equally many members."
            raise UsageError(msg)
        return points, np.stack(groups)

    def steps_to(self, metric: str, target: float) -> NDArray[np.float64]:
        """The step at which each member first has a metric of at most the target (see `steps_to`): (members,)."""
        return steps_to(target, self.steps, self[metric])

    def table(self) -> Table:
        """One row for each (step, member, metric), with the member's axes."""
        evaluations, members = len(self.steps), len(self.axes["seed"])
        count = len(self.metrics)
        cells = evaluations * members
        columns: dict[str, Any] = {"member": np.tile(np.tile(np.arange(members), evaluations), count)}
        for name, values in self.axes.items():
            columns[name] = np.tile(np.tile(values, evaluations), count)
        columns["step"] = np.tile(np.repeat(self.steps, members), count)
        columns["metric"] = np.repeat(np.array(list(self.metrics)), cells)
        columns["value"] = np.concatenate([values.ravel() for values in self.metrics.values()])
        return Table(columns)

    def figure(self, metric: str = "test_loss", *, by: str | None = None, log: bool = False) -> Figure:
        """The metric over the steps: mean and range over the members of each value of the axis `by`."""
        values = self[metric]
        groups = [("all members", np.ones(values.shape[1], dtype=bool))]
        if by is not None:
            groups = [(f"{by} = {_shown(point)}", self.axes[by] == point) for point in np.unique(self.axes[by])]
        lines = []
        for label, chosen in groups:
            curve = values[:, chosen]
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # all members have diverged
                mean, low, high = np.nanmean(curve, 1), np.nanmin(curve, 1), np.nanmax(curve, 1)
            lines.append(Line(self.steps.astype(float), mean, low=low, high=high, label=label))
        return Figure.of(
            title=metric.replace("_", " ").capitalize(),
            marks=tuple(lines),
            x=Axis("step"),
            y=Axis(metric.replace("_", " "), self.units[metric], scale="log" if log else "linear"),
            caption="Lines are means over members that have begun and not diverged; bands show smallest and largest.",
        )


def steps_to(target: float, steps: ArrayLike, losses: ArrayLike) -> NDArray[np.float64]:
    """The step at which each run first is at or below a target: (members,), infinite where it never is.

    Between two evaluations it is where the straight line of the logarithm of the loss crosses the target; of the loss
    itself where one of the three is not above 0. A run that comes back from a loss that is not finite is there at its
    next evaluation.

    >>> from thalweg.training import steps_to
    >>> steps_to(0.1, [0, 10, 20], [[1.0, 1.0], [0.2, 0.8], [0.05, 0.7]]).tolist()
    [15.0, inf]

    Args:
        target: the loss to reach; NaN is never reached.
        steps: evaluated, ascending: (evaluations,).
        losses: (evaluations, members); NaN or infinite where a run has diverged.

    Raises:
        UsageError: what is no numbers, none at all, or shapes that do not fit.
    """
    at = table_of("steps_to steps", steps, "evaluations")
    values = table_of("steps_to losses", losses, "evaluations", "members")
    goal = plain(target)
    check_type("steps_to target", goal, (int, float), "the loss to reach")
    if len(values) != len(at):
        msg = f"steps_to needs a row of losses for every step; got shapes {at.shape} and {values.shape}."
        raise UsageError(msg)
    reached = values <= goal
    first = reached.argmax(0)
    before = np.maximum(first - 1, 0)
    high, low = (np.take_along_axis(values, row[None], 0)[0] for row in (before, first))
    known = reached.any(0) & (np.inf > high) & (high > low) & (low > -np.inf)
    high, low, goals = (np.where(known, one, np.nan) for one in (high, low, goal))
    logs = (low > 0) & (goals > 0)
    for one in (high, low, goals):
        np.log(one, out=one, where=logs)
    apart = known & (high > low)  # logarithms of neighboring numbers may be equal
    part = np.where(apart, (high - goals) / np.where(apart, high - low, 1.0), 1.0)
    return np.where(reached.any(0), at[before] + part * (at[first] - at[before]), np.inf)


@in_words
def infinite_if_diverged(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses, infinite where a run diverged, so that a diverged run is the worst one and not left out.

    A loss before the step at which its member begins is no number either: take the steps from there on.

    >>> import numpy as np
    >>> from thalweg.training import infinite_if_diverged
    >>> infinite_if_diverged(np.array([0.3, np.nan, -np.inf])).tolist()
    [0.3, inf, inf]
    """
    return np.where(np.isfinite(losses), losses, np.inf)


def _shown(point: Any) -> str:
    if isinstance(point, str):
        return point
    return str(int(point)) if float(point).is_integer() else f"{point:.3g}"
