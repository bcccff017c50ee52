"""Whether a best value lies where the search ended."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def on_edge(value: float, grid: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether a value is the smallest or the largest of an ascending grid, so that one beyond could be better.

    >>> import thalweg as tw
    >>> tw.tuning.on_edge(0.1, [0.001, 0.01, 0.1])
    True
    """
    return value in (grid[0], grid[-1])


def edge_warnings(
    best: Mapping[str, float | NDArray[np.float64]], grid: Sequence[float] | NDArray[np.float64]
) -> tuple[str, ...]:
    """A sentence for everything whose best learning rate is the smallest or largest of the grid, by name.

    >>> import thalweg as tw
    >>> tw.tuning.edge_warnings({"SGD": 0.1, "Adam": 0.01}, [0.001, 0.01, 0.1])
    ('The best rate of SGD, 0.1, lies on the edge of its grid: one beyond could be better.',)

    Args:
        best: one rate, or those that several seeds chose each by itself: (seeds,).
        grid: the rates tried, ascending: (rates,).
    """
    return tuple(sentence for name, rate in best.items() for sentence in _warning(name, np.asarray(rate), grid))


def _warning(name: str, rate: NDArray[np.float64], grid: Sequence[float] | NDArray[np.float64]) -> Iterator[str]:
    at_edge = int(np.isin(rate, (grid[0], grid[-1])).sum())
    if at_edge and rate.ndim:
        yield (
            f"The best rate of {name} lies on the edge of its grid for {at_edge} of {len(rate)} seeds: one beyond "
            "could be better."
        )
    elif at_edge:
        yield f"The best rate of {name}, {rate:.2g}, lies on the edge of its grid: one beyond could be better."
