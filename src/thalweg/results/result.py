"""What an instrument returns: a reading, and what else it found."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from thalweg.figures import Figure
from thalweg.results.reading import Reading
from thalweg.results.summary import Summarized
from thalweg.results.table import Table


@dataclass(frozen=True, eq=False)
class Result(Summarized):
    """A reading, and what else a measurement found; results of instruments inherit it.

    >>> import thalweg as tw
    >>> result = tw.results.Result(tw.Reading("loss", {"loss": [2.0, 1.0]}, {"loss": ("step",)}))
    >>> result["loss"].tolist()
    [2.0, 1.0]

    Args:
        reading: arrays by name, with their errors, sample, cost and provenance; `result["trace"]` is one of them.
    """

    reading: Reading

    def __getitem__(self, array: str) -> NDArray[Any]:
        """An array of the reading."""
        return self.reading[array]

    def facts(self) -> dict[str, str]:
        """Those of the reading."""
        return self.reading.facts()

    def line(self) -> dict[str, str]:
        """That of the reading."""
        return self.reading.line()

    def details(self) -> Table:
        """Every array of the reading."""
        return self.reading.details()

    def remarks(self) -> tuple[str, ...]:
        """The notes of the reading."""
        return self.reading.notes

    def figure(self) -> Figure:
        """What was found, as a figure: the reading's own (see `Reading.figure`)."""
        return self.reading.figure()
