"""Where a piece of work ran."""

from dataclasses import dataclass

from thalweg.machine import processor, threads, version


@dataclass(frozen=True)
class Place:
    """A process on a machine, as far as results to the bit depend on it.

    Args:
        node: of a cluster, in its own words; empty on this machine.
        cpu: the processor's model.
        threads: of torch when it was loaded, else of the process.
        torch: its version.
        thalweg: its version.
        python: its version.

    >>> from thalweg.workers import Place
    >>> Place.here().node
    ''
    """

    node: str = ""
    cpu: str = ""
    threads: int | None = None
    torch: str = ""
    thalweg: str = ""
    python: str = ""

    @classmethod
    def here(cls, node: str = "") -> "Place":
        """This process."""
        return cls(node, processor(), threads(), version("torch"), version("thalweg"), version("python"))
