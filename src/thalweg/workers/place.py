"""Where a piece of work ran."""

import os
import platform
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A process on a machine, as far as results to the bit depend on it.

    Args:
        node: of a cluster, in its own words; empty on this machine.
        cpu: the processor's model.
        threads: of torch, if it was loaded.
        torch: its version, if it was loaded; empty otherwise.

    >>> from thalweg.workers import Place
    >>> Place.here().node
    ''
    """

    node: str = ""
    cpu: str = ""
    threads: int | None = None
    torch: str = ""

    @classmethod
    def here(cls, node: str = "") -> "Place":
        """This process."""
        torch = sys.modules.get("torch")
        threads = os.cpu_count() if torch is None else torch.get_num_threads()
        return cls(node, platform.processor() or platform.machine(), threads, getattr(torch, "__version__", ""))
