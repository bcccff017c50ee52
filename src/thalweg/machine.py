"""What numbers depend on to the last bit, as far as a process can tell: the processor, threads, versions."""

import functools
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

__all__ = ["processor", "threads", "version"]


@functools.cache
def processor() -> str:
    """The processor's model, in the system's words.

    >>> from thalweg.machine import processor
    >>> isinstance(processor(), str)
    True
    """
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def threads() -> int | None:
    """Of torch if it was loaded, else of the process: whoever computed has loaded it; nobody else should wait for it.

    >>> import torch
    >>> from thalweg.machine import threads
    >>> threads() == torch.get_num_threads()
    True
    """
    torch = sys.modules.get("torch")
    return os.cpu_count() if torch is None else torch.get_num_threads()


@functools.cache
def version(package: str) -> str:
    """Of Python or an installed package; "unknown" of one that is run from its sources.

    >>> from thalweg.machine import version
    >>> version("python").startswith("3.")
    True
    """
    if package == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
