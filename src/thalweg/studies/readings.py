"""What a study keeps of its experiments, beside the verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.results import Provenance, Reading
from thalweg.studies.lab import Lab


def reading(
    lab: Lab,
    name: str,
    values: ArrayLike,
    coordinates: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    unit: str = "",
    notes: tuple[str, ...] = (),
) -> Reading:
    """One array by the coordinates of its dimensions, in their order; the sample size is the number of seeds."""
    return Reading(
        name,
        {name: np.asarray(values)},
        {name: tuple(coordinates)},
        {dim: np.asarray(points) for dim, points in coordinates.items()},
        {name: unit} if unit else {},
        sample_size=len(coordinates["seed"]) if "seed" in coordinates else None,
        provenance=Provenance.here(lab.seed, lab.device),
        notes=notes,
    )


def on_edge(value: float, grid: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether it is the smallest or the largest that was tried."""
    return value in (grid[0], grid[-1])


def edge_warnings(best: Mapping[str, float], grid: NDArray[np.float64]) -> tuple[str, ...]:
    """A sentence for every rule whose best rate is the smallest or largest that was tried."""
    return tuple(
        f"The best rate of {name}, {rate:.2g}, lies on the edge of its grid: one beyond could be better."
        for name, rate in best.items()
        if on_edge(rate, grid)
    )
