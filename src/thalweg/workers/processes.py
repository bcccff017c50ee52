"""Processes of this machine as workers, one thread each, on joblib's loky."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import check_count
from thalweg.workers.driving import drive
from thalweg.workers.protocol import Done, Heard, Work


@dataclass(frozen=True)
class Processes:
    """Processes of this machine, each with one thread of torch.

    They work from a script, with or without `if __name__ == "__main__"`, from one on standard input and from a
    notebook; work may be a lambda or a function defined anywhere. Ctrl-C reaches them through this process alone, and
    they end when it does.

    >>> import thalweg as tw
    >>> workers = tw.workers.Processes(2)
    >>> found = workers.map(lambda item, tell: item**2, [1, 2, 3], heard=lambda number, progress: None)
    >>> sorted(done.found for done in found)
    [1, 4, 9]

    Args:
        count: how many; None is as many as cores that this process may use.
        slices: in how many pieces work that can be cut anywhere is cut; None is one a process.

    Cost: a second before the first piece of work begins, more where it loads torch. Processes stay for the next call, a
    minute at most.

    Raises:
        UsageError: a number that is not whole, or less than 1.
    """

    count: int = None  # type: ignore[assignment]
    slices: int = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.count is None:
            from joblib.externals.loky import cpu_count  # takes a while to import, and knows of quotas

            object.__setattr__(self, "count", cpu_count())
        check_count("Processes count", self.count)
        if self.slices is None:
            object.__setattr__(self, "slices", self.count)
        check_count("Processes slices", self.slices)

    def map(self, work: Work, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
        """See `Workers.map`."""
        from thalweg.workers.packing import pack
        from thalweg.workers.pool import Pool

        items = list(items)
        if items:
            sent = pack(work, items)
            yield from drive(Pool(self.count, sent), items, heard)
