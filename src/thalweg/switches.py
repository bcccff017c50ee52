"""Switches that torch has for a whole process, off for as long as anybody needs them off."""

import threading
from collections.abc import Callable

import torch

__all__ = ["Off", "vmap_warning_off"]


class Off:
    """Within it a switch of the process is off.

    It may be nested, and entered by several threads: the process has its own choice back when the last one has left.

    Args:
        read: the choice.
        write: makes it.

    >>> from thalweg.switches import Off
    >>> switch = [True]
    >>> off = Off(lambda: switch[0], lambda on: switch.__setitem__(0, on))
    >>> with off, off:
    ...     switch
    [False]
    >>> switch
    [True]
    """

    def __init__(self, read: Callable[[], bool], write: Callable[[bool], object]) -> None:
        self._read, self._write = read, write
        self._lock, self._threads, self._before = threading.Lock(), 0, True
        self._here = threading.local()

    def __enter__(self) -> None:
        depth = getattr(self._here, "depth", 0)
        self._here.depth = depth + 1
        if depth:  # what is entered at every call costs next to nothing
            return
        with self._lock:
            if self._threads == 0:
                self._before = self._read()
                self._write(False)
            self._threads += 1

    def __exit__(self, *error: object) -> None:
        self._here.depth -= 1
        if self._here.depth:
            return
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._write(self._before)


# Within it torch does not warn of operations that vmap has no batching rule for and loops over: what they cost shows in
# the time by which a plan is chosen. Filters of warnings would not do: threads undo each other's. Torch tells nobody
# whether it warns; by itself it does.
_warn = torch._C._functorch._set_vmap_fallback_warning_enabled  # pyrefly: ignore[missing-attribute]
vmap_warning_off = Off(lambda: True, _warn)
