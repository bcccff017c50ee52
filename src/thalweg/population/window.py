"""Where rows stand that are a part of a larger population."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Rows cut out of a run: evaluated in the chunks of the whole, so that they have its bits.

    >>> from thalweg.population.chunks import chunked
    >>> chunked(slice(0, 10), 4, before=6)  # of rows 6 to 15 of the whole, whose chunks are 0-3, 4-7, 8-11, 12-15
    [slice(0, 2, None), slice(2, 6, None), slice(6, 10, None)]

    Args:
        first: the number of the first row in the run, for what is said of members.
        before: how many rows that are evaluated with these come before them in the whole.
    """

    first: int = 0
    before: int = 0


WHOLE = Window()
