"""Switches that torch has for a whole process: off for as long as anybody needs them off, or as in another process."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

__all__ = ["Off", "Switches", "flushes", "vmap_warning_off"]


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


@dataclass(frozen=True)
class Switches:
    """Choices of torch for a whole process that decide about bits; in another process they are made anew.

    >>> from thalweg.switches import Switches
    >>> here = Switches.here()
    >>> with here.set():
    ...     Switches.here() == here
    True

    Args:
        deterministic, warn_only: see `torch.use_deterministic_algorithms`.
        matmul_precision: see `torch.set_float32_matmul_precision`.
        mkldnn: whether kernels of oneDNN are taken.
        flushes: whether numbers too small to be normal are zero; see `torch.set_flush_denormal`.
    """

    deterministic: bool
    warn_only: bool
    matmul_precision: str
    mkldnn: bool
    flushes: bool

    @classmethod
    def here(cls) -> "Switches":
        """Those of this process, and of this thread."""
        return cls(
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.get_float32_matmul_precision(),
            torch._C._get_mkldnn_enabled(),
            flushes(),
        )

    @contextlib.contextmanager
    def set(self) -> Iterator[None]:
        """Make these choices for as long as the block runs."""
        before = Switches.here()
        self._make()
        try:
            yield
        finally:
            before._make()

    def _make(self) -> None:
        torch.use_deterministic_algorithms(self.deterministic, warn_only=self.warn_only)
        torch.set_float32_matmul_precision(self.matmul_precision)
        torch._C._set_mkldnn_enabled(self.mkldnn)
        torch.set_flush_denormal(self.flushes)


def flushes() -> bool:
    """Whether this thread takes numbers too small to be normal for zero (`torch.set_flush_denormal`).

    >>> from thalweg.switches import flushes
    >>> flushes()
    False
    """
    return sys.float_info.min / 2 == 0
