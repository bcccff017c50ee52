"""Processes of a cluster as workers, one thread each, on Ray."""

from collections.abc import Iterator, Sequence
from typing import Any

from thalweg.errors import UsageError, check_count
from thalweg.workers.driving import drive
from thalweg.workers.protocol import Done, Heard, Work


class Ray:
    """Tasks on a Ray cluster, one processor and one thread each (`pip install 'thalweg[cluster]'`).

    Where no address is given, each call of `map` starts a cluster of this machine, which listens on the loopback device
    only, wants a token, and ends with the call. All nodes need the versions of Python, torch and Thalweg of this
    process.

    >>> import thalweg as tw
    >>> tw.workers.Ray("ray://head:10001", slices=40)
    Ray('ray://head:10001', slices=40)

    Args:
        address: of a cluster: "HOST:PORT" or "auto" on a machine that is a node of it, "ray://HOST:PORT" elsewhere.
        slices: in how many pieces work that can be cut anywhere is cut; None is one a processor of the cluster, which
            is asked for it.

    Raises:
        UsageError: an address of another form; slices that are not a whole number, or less than 1.
    """

    def __init__(self, address: str | None = None, slices: int | None = None) -> None:
        if address is not None and not (isinstance(address, str) and (address == "auto" or ":" in address)):
            msg = f'Ray address must be "auto", "HOST:PORT" or "ray://HOST:PORT"; got {address!r}.'
            raise UsageError(msg)
        if slices is not None:
            check_count("Ray slices", slices)
        self.address = address
        self._slices = slices
        self._count: int | None = None

    def __repr__(self) -> str:
        return f"Ray({self.address!r}, slices={self._slices})"

    @property
    def count(self) -> int:
        """How many processors the cluster has when it is first asked."""
        if self._count is None:
            from thalweg.workers.connection import processors

            self._count = processors(self.address)
        return self._count

    @property
    def slices(self) -> int:
        """In how many pieces work that can be cut anywhere is cut."""
        return self.count if self._slices is None else self._slices

    def map(self, work: Work, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
        """See `Workers.map`."""
        from thalweg.workers.connection import connected
        from thalweg.workers.packing import pack
        from thalweg.workers.tasks import Tasks

        items = list(items)
        if items:
            sent = pack(work, items)
            with connected(self.address) as ray:
                yield from drive(Tasks(ray, sent), items, heard)
