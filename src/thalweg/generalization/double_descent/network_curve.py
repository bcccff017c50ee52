"""Errors of networks over their size, at the end of training and at the best moment of it."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.population import Population
from thalweg.results import Result, spread

Array = NDArray[np.float64]
FIRST_FIT = 0.01  # the training error from which a network counts as having met its labels


@dataclass(frozen=True, eq=False)
class NetworkCurve(Result):
    """What `over_widths` and `over_depths` return: errors of networks over width or depth.

    Args:
        reading: "wrong", "test loss" and "Brier score" on clean test labels by (size, step, seed); "train wrong" at the
            end, on the labels that were trained on, and "parameters" by (size, seed) and (size).
        networks: the trained networks of each size.
    """

    networks: tuple[Population, ...] = field(repr=False)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Widths, or depths: (sizes,)."""
        return self.reading.coordinate("size")

    @property
    def last(self) -> Array:
        """The share of wrong test classes after the last step: (sizes, seeds)."""
        return self["wrong"][:, -1]

    @property
    def best(self) -> Array:
        """The least share of wrong test classes over training, picked on the test set: (sizes, seeds)."""
        return self["wrong"].min(1)

    @property
    def threshold(self) -> int | None:
        """The smallest size at which the mean training error is at most 1 %; None: none reaches it."""
        met = self["train wrong"].mean(1) <= FIRST_FIT
        return int(self.sizes[met.argmax()]) if met.any() else None

    def at(self, size: int, array: str = "wrong") -> Array:
        """The last value of an array at one size: (seeds,).

        Raises:
            UsageError: no network has this size.
        """
        if size not in self.sizes:
            msg = f"No network has the size {size}; there are {self.sizes.tolist()}."
            raise UsageError(msg)
        values = self[array][int(np.argmax(self.sizes == size))]
        return values[-1] if values.ndim == 2 else values

    def figure(self) -> Figure:
        """Test error at the end and at its best moment, and training error: means over seeds with their range."""
        lines = {
            "after the last step": self.last,
            "at the best step": self.best,
            "training labels": self["train wrong"],
        }
        marks: list[Line | ReferenceLine] = [
            Line(self.sizes, 100 * of.mean(1), low=100 * of.min(1), high=100 * of.max(1), label=name)
            for name, of in lines.items()
        ]
        if self.threshold is not None:
            marks.append(ReferenceLine(self.threshold, "vertical", label="labels met"))
        what = self.reading.units["size"]
        scale = "log" if self.sizes[-1] >= 10 * self.sizes[0] else "linear"
        return Figure.of(
            f"Error over {what}",
            marks,
            Axis(what, scale=scale),
            Axis("wrong classes", "%"),
            caption=" ".join(self.reading.notes) + " Means with the range over seeds. Labels are met where at most 1 % "
            "of those trained on are missed.",
        )

    def over_time(self) -> Figure:
        """Test error over the steps of training, a line a size with a band over all seeds."""
        shown = replace(self.reading, arrays=dict(self.reading.arrays) | {"wrong": 100 * self["wrong"]})
        axes = Axis("step", scale="log"), Axis("wrong classes", "%")
        return spread(
            shown, x="step", over="seed", array="wrong", title="Networks over time", x_axis=axes[0], y_axis=axes[1]
        )
