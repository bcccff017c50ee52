"""Test error over the number of random features: the curve of double descent on data of one's own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_choice
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.results import Result

Array = NDArray[np.float64]
Abscissa = Literal["features", "features an example", "effective parameters", "effective model complexity"]
EXAMPLE, PARAMETERS, COMPLEXITY = "features an example", "effective parameters", "effective model complexity"
ABSCISSAS = ("features", EXAMPLE, PARAMETERS, COMPLEXITY)
FITTED = 1e-18  # mean squared training error from where every label is met


@dataclass(frozen=True, eq=False)
class FeatureCurve(Result):
    """What `over_features` returns: errors of least squares over the number of random features.

    Args:
        reading: by (noise, size, seed): "test error", the mean square summed over outputs; "wrong", the share of test
            examples in another class (of classes); "train error"; "norm" of the coefficients; "ridge error" at the
            "penalty" that is best on examples for validation; "ensemble error", where there are several draws. By
            (size, seed): "rank", "condition", "effective parameters" at inputs for validation. By (size): "effective
            model complexity", where it was asked for.
        examples: in a training set.
    """

    examples: int

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many features each fit has: (sizes,)."""
        return self.reading.coordinate("size")

    @property
    def thresholds(self) -> Array:
        """The first number of features at which the measured rank is n and every label is met: (noise, seeds).

        NaN where none is.
        """
        met = (self["rank"] == self.examples) & (self["train error"] < FITTED)
        return np.where(met.any(1), self.sizes[met.argmax(1)], np.nan)

    @property
    def peaks(self) -> NDArray[np.int64]:
        """The number of features with the largest test error: (noise, seeds)."""
        return self.sizes[self["test error"].argmax(1)]

    def left_minimum(self, array: str = "test error") -> Array:
        """The least error at fewer features than the threshold, for every level of noise and seed: (noise, seeds).

        It is picked on the test set, which favors it; NaN where there is no threshold, or no fit below it.
        """
        below = self.sizes[None, :, None] < self.thresholds[:, None]
        least = np.where(below, self[array], np.inf).min(1)
        return np.where(np.isinf(least), np.nan, least)

    def at(self, size: int, array: str = "test error") -> Array:
        """An error at one number of features: (noise, seeds).

        Raises:
            UsageError: no fit has so many.
        """
        if size not in self.sizes:
            msg = f"There is no fit with {size} features; there are {self.sizes.tolist()}."
            raise UsageError(msg)
        return self[array][:, int(np.argmax(self.sizes == size))]

    def only(self, levels: Sequence[int]) -> "FeatureCurve":
        """The same at some of the levels of noise, by their places."""
        arrays = {name: self[name] for name in self.reading.arrays}
        arrays |= {name: array[list(levels)] for name, array in arrays.items() if self.reading.dims[name][0] == "noise"}
        noise = self.reading.coordinate("noise")[list(levels)]
        coordinates = {**self.reading.coordinates, "noise": noise}
        return replace(self, reading=replace(self.reading, arrays=arrays, coordinates=coordinates))

    def figure(self, x: Abscissa = "features an example", array: str = "test error", *, ridge: bool = True) -> Figure:
        """The median over seeds with a band over their middle half, a line for each level of noise, and the threshold.

        Args:
            x: along which the curve runs. Against effective parameters, and against effective model complexity, the
                numbers of features keep their order, and the line may run back.
            array: which error.
            ridge: whether tuned ridge is drawn beside, at the last level of noise.

        Raises:
            UsageError: another axis or array, or an effective model complexity that was not asked for.
        """
        check_choice("FeatureCurve figure x", x, ABSCISSAS)
        along = self._along(x)
        levels = self.reading.coordinate("noise").tolist()
        marks: list[Line | ReferenceLine] = [
            _line(along, self[array][level], f"label noise {100 * noise:g} %") for level, noise in enumerate(levels)
        ]
        if ridge and array == "test error":
            marks.append(_line(along, self["ridge error"][-1], f"tuned ridge, label noise {100 * levels[-1]:g} %"))
        if "ensemble error" in self.reading.arrays and array == "test error":
            marks.append(_line(along, self["ensemble error"][-1], f"ensemble, label noise {100 * levels[-1]:g} %"))
        if np.isfinite(self.thresholds).any() and x != PARAMETERS:
            at = {"features": float(np.nanmedian(self.thresholds)), COMPLEXITY: float(self.examples)}
            at[EXAMPLE] = at["features"] / self.examples
            marks.append(ReferenceLine(at[x], "vertical", label="rank = examples" if x != COMPLEXITY else "examples"))
        logs = "linear" if array == "wrong" else "log"
        words = {"test error": "squared test error", "wrong": "share of wrong classes"}.get(array, array)
        return Figure.of(
            f"{words.capitalize()} over {x}",
            marks,
            Axis(x, scale="log"),
            Axis(words, scale=logs),
            caption=" ".join(self.reading.notes),
        )

    def _along(self, x: Abscissa) -> Array:
        if x == PARAMETERS:
            return np.median(self[PARAMETERS], 1)
        if x == COMPLEXITY:
            if x not in self.reading.arrays:
                msg = "The effective model complexity was not measured; write over_features(..., complexity=0.01)."
                raise UsageError(msg)
            return self[x].astype(np.float64)
        return self.sizes / (self.examples if x == EXAMPLE else 1)


def _line(x: Array, values: Array, label: str) -> Line:
    middle, (low, high) = np.median(values, 1), np.quantile(values, (0.25, 0.75), axis=1)
    return Line(x, middle, low=low, high=high, label=label)


def check_sizes(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Numbers of features, whole and ascending."""
    found = np.asarray(sizes)
    if found.ndim != 1 or not len(found) or (found % 1 != 0).any() or found[0] < 1 or (np.diff(found) <= 0).any():
        msg = f"over_features sizes are whole numbers of at least 1 that ascend, such as [10, 100, 1000]; got {sizes}."
        raise UsageError(msg)
    return found.astype(np.int64)
