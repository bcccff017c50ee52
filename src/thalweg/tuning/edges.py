"""Whether a best value lies where the search ended."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from thalweg.arguments import in_words


@in_words
def on_edge(value: float, grid: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether a value is the smallest or the largest of an ascending grid, so that one beyond could be better.

    >>> import thalweg as tw
    >>> tw.tuning.on_edge(0.1, [0.001, 0.01, 0.1])
    True
    """
    return value in (grid[0], grid[-1])


@in_words
def edge_warnings(
    best: Mapping[str, float | Sequence[float] | NDArray[np.float64]],
    grid: Sequence[float] | NDArray[np.float64],
    *,
    noun: str = "rate",
    units: str = "seeds",
) -> tuple[str, ...]:
    """A sentence for everything whose best learning rate, or other choice, is the smallest or largest of the grid.

    >>> import thalweg as tw
    >>> tw.tuning.edge_warnings({"SGD": 0.1, "Adam": 0.01}, [0.001, 0.01, 0.1])
    ('The best rate of SGD, 0.1, lies on the edge of its grid: one beyond could be better.',)
    >>> tw.tuning.edge_warnings({"Adam": [0.1, 1.0, 0.1]}, [0.01, 0.1, 1.0], noun="decay")
    ('The best decay of Adam lies on the edge of its grid for 1 of 3 seeds, 1 at 1: one beyond could be better.',)

    Args:
        best: by name one rate, or those that several seeds chose each by itself: (seeds,).
        grid: the rates tried, ascending: (rates,).
        noun: what is chosen, such as "decay".
        units: what chooses, such as "seeds", where each name has several choices.
    """
    values = {name: np.asarray(chosen) for name, chosen in best.items()}
    return tuple(sentence for name, chosen in values.items() for sentence in _warning(name, chosen, grid, noun, units))


def _warning(
    name: str, chosen: NDArray[np.float64], grid: Sequence[float] | NDArray[np.float64], noun: str, units: str
) -> Iterator[str]:
    at = {end: int((chosen == end).sum()) for end in (grid[0], grid[-1])}
    count, beyond = sum(at.values()), "one beyond could be better."
    if count and chosen.ndim:
        ends = " and ".join(f"{many} at {end:.2g}" for end, many in at.items() if many)
        edge = f"the edge of its grid for {count} of {len(chosen)} {units}, {ends}"
        yield f"The best {noun} of {name} lies on {edge}: {beyond}"
    elif count:
        yield f"The best {noun} of {name}, {chosen:.2g}, lies on the edge of its grid: {beyond}"
