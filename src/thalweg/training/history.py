"""How a run went: loss and metrics over the steps, tidy and with its axes."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, unknown_name
from thalweg.figures import Axis, Figure, Line
from thalweg.population import Problem
from thalweg.results import Table
from thalweg.training.recipe import Recipe
from thalweg.training.state import State


@dataclass(frozen=True, eq=False)
class History:
    """Loss and metrics of every member at the evaluated steps.

    Args:
        steps: the steps after which the run was evaluated: (evaluations,).
        axes: for every swept axis and "seed", the value of each member: (members,).
        metrics: by name, such as "test_loss": (evaluations, members); NaN once a member has diverged.
        batch_loss: the loss of every step's batch before its update: (steps, members).
        units: of the metrics, by name.
    """

    steps: NDArray[np.int64]
    axes: Mapping[str, NDArray[Any]]
    metrics: Mapping[str, NDArray[np.float64]]
    batch_loss: NDArray[np.floating]
    units: Mapping[str, str]

    @classmethod
    def of(cls, problem: Problem, recipe: Recipe, axes: Mapping[str, NDArray[Any]], state: State) -> "History":
        """The history recorded in a state, as far as it has come."""
        units = {"loss": problem.loss.unit} | {metric.name: metric.unit for metric in problem.metrics}
        reached = [i for i, step in enumerate(recipe.evaluation_steps) if step <= state.step]
        return cls(
            steps=np.array(recipe.evaluation_steps)[reached],
            axes=axes,
            metrics={name: values[reached].numpy() for name, values in state.metrics.items()},
            batch_loss=state.batch_loss[: state.step].double().cpu().numpy(),
            units={name: units[name.partition("_")[2]] for name in state.metrics},
        )

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
            caption="Lines are means over members, diverged ones left out; bands run from the smallest to the largest.",
        )


def _shown(point: Any) -> str:
    return str(int(point)) if float(point).is_integer() else f"{point:.3g}"
