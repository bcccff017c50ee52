"""One array of a reading with all that its picture needs: coordinates, units, uncertainty."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.figures.panel import Axis


@dataclass(frozen=True, eq=False)
class Quantity:
    """One array of a reading, taken out of it.

    Args:
        name: of the array.
        title: the name of the reading.
        values: the array.
        dims: the name of each of its dimensions.
        coordinates: for a dimension, the value at each index; a dimension without is counted from 0.
        units: of the array and of its dimensions, by name.
        error: standard errors, of the array's shape.
        degrees: degrees of freedom of each standard error, of the array's shape; infinite for a normal estimate.
        notes: of the reading.
    """

    name: str
    title: str
    values: NDArray[Any]
    dims: tuple[str, ...]
    coordinates: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]
    error: NDArray[np.floating] | None
    degrees: NDArray[np.float64]
    notes: tuple[str, ...]

    @property
    def is_text(self) -> bool:
        """Whether its entries are words, which cannot be drawn."""
        return self.values.dtype.kind not in "biuf"

    @property
    def axis(self) -> Axis:
        """The axis along which its values are shown."""
        return Axis(words(self.name), self.units.get(self.name, ""))

    def coordinate(self, dim: str) -> NDArray[Any]:
        """The values along a dimension; 0, 1, 2, ... where none were given."""
        if dim in self.coordinates:
            return self.coordinates[dim]
        return np.arange(self.values.shape[self.dims.index(dim)])

    def axis_of(self, dim: str) -> Axis:
        """The axis of a dimension of numbers, logarithmic where the coordinates are spaced like that."""
        points = np.sort(self.coordinate(dim).astype(np.float64))
        scale = "linear"
        if len(points) > 2 and points[0] > 0 and points[-1] >= 30 * points[0]:
            uneven = [np.std(np.diff(spaced)) / np.mean(np.diff(spaced)) for spaced in (points, np.log(points))]
            scale = "log" if uneven[1] < uneven[0] else "linear"
        return Axis(words(dim), self.units.get(dim, ""), scale=scale)

    def entries(self, dim: str) -> list[str]:
        """The entries of a dimension as labels of a legend."""
        points = self.coordinate(dim).tolist()
        if dim not in self.coordinates:
            return [f"{words(dim)} {index}" for index in points]
        return [value if isinstance(value, str) else f"{dim} {value}" for value in points]

    def is_named(self, dim: str) -> bool:
        """Whether the entries of a dimension are words, or yes and no."""
        return dim in self.coordinates and self.coordinates[dim].dtype.kind in "Ub"

    def is_scale(self, dim: str) -> bool:
        """Whether a dimension has different numbers to be drawn along; those of seeds are mere names."""
        if dim == "seed" or dim not in self.coordinates or self.coordinates[dim].dtype.kind not in "iuf":
            return False
        points = self.coordinates[dim]
        return bool(np.isfinite(points).all()) and len(np.unique(points)) == len(points)

    def ordered(self) -> "Quantity":
        """The same with all coordinates that are numbers ascending, so that no line runs back and forth."""
        found = self
        for dim, points in self.coordinates.items():
            if points.dtype.kind in "iuf":
                found = found._taken(dim, np.argsort(points, kind="stable"))
        return found

    def _taken(self, dim: str, order: NDArray[np.intp]) -> "Quantity":
        """The same with the entries of a dimension in another order."""
        place = self.dims.index(dim)
        return dataclasses.replace(
            self,
            values=self.values.take(order, place),
            error=None if self.error is None else self.error.take(order, place),
            degrees=self.degrees.take(order, place),
            coordinates={**self.coordinates, dim: self.coordinates[dim][order]},
        )


def words(name: str) -> str:
    """A name as it is written beside an axis."""
    return name.replace("_", " ")
