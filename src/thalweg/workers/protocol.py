"""What carries out pieces of work: one verb, `map`. The work is the caller's; where it runs is the workers'."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from thalweg.progress import Progress
from thalweg.workers.place import Place

Tell = Callable[[Progress], None]
Work = Callable[[Any, Tell], Any]
Heard = Callable[[int, Progress], None]


class Done(NamedTuple):
    """A piece of work that came to its end.

    >>> import thalweg as tw
    >>> tw.workers.Done(0, "found", tw.workers.Place()).number
    0

    Args:
        number: which item it was.
        found: what the work returned.
        place: where it ran.
    """

    number: int
    found: Any
    place: Place


@runtime_checkable
class Workers(Protocol):
    """Where pieces of work run.

    >>> import thalweg as tw
    >>> isinstance(tw.workers.Here(), tw.workers.Workers)
    True
    """

    @property
    def count(self) -> int:
        """How many pieces run at a time."""
        ...

    @property
    def slices(self) -> int:
        """In how many pieces work that can be cut anywhere is cut: what was asked for, or `count`."""
        ...

    def map(self, work: Work, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
        """Carry out work(item, tell) for every item, and give each one's result as soon as it is there.

        `tell` sends a `Progress` to `heard(number, progress)`, which is called in this process while it waits for the
        next result. Items are begun in their order.

        Ctrl-C here, and an item that raises, stop what runs: within about a second the work is interrupted as by
        Ctrl-C (a SIGINT in its process, when it next tells its progress), so that it can keep what it has; what came to
        its end meanwhile is still given before the error is raised. A second Ctrl-C does not wait for it.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            WorkerError: a piece whose process died several times in a row, or work that cannot be sent: a sentence
                that names what in it cannot.
            Exception: what the work raised, with a note that names the item, by its `str`.
        """
        ...
