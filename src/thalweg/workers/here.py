"""This process as a worker: one piece after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.progress import Progress
from thalweg.workers.place import Place
from thalweg.workers.protocol import Done, Heard, Work


@dataclass(frozen=True)
class Here:
    """This process, with the threads it has.

    >>> from thalweg.workers import Here
    >>> [done.found for done in Here().map(lambda item, tell: item + 1, [1, 2], lambda number, progress: None)]
    [2, 3]

    Args:
        slices: in how many pieces work that can be cut anywhere is cut.
    """

    slices: int = 1

    @property
    def count(self) -> int:
        """One piece runs at a time."""
        return 1

    def map(self, work: Work, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
        """See `Workers.map`."""
        for number, item in enumerate(items):

            def tell(progress: Progress, number: int = number) -> None:
                heard(number, progress)

            try:
                found = work(item, tell)
            except Exception as error:
                error.add_note(f"In {item}.")
                raise
            yield Done(number, found, Place.here())
