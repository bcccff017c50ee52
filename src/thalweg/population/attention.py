"""One way to compute attention, in training, evaluation and derivatives alike: that which torch differentiates.

In evaluation mode and without gradients torch's encoder layers take fused kernels of their own, which skip padded
positions: what they return there are other numbers than those of the function that is trained (pytorch issues 86120
and 97111). No call of a model takes them here. What is left is a difference of rounding: members that are looped
compute `scaled_dot_product_attention` by torch's fused kernel, stacked members and second derivatives by its formula.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

# How the process computes attention: ways to read each part of the choice and to make it.
_CHOICES: list[tuple[Callable[[], Any], Callable[[Any], None]]] = [
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    (torch._C._get_sdp_priority_order, torch._C._set_sdp_priority_order),
    *(
        (getattr(torch._C, f"_get_{kernel}_sdp_enabled"), getattr(torch._C, f"_set_sdp_use_{kernel}"))
        for kernel in ("math", "flash", "mem_efficient", "cudnn", "overrideable")
    ),
]


class OnePath:
    """Within it no call takes the kernels of torch's encoder layers that are for evaluation only.

    It may be nested, and entered by several threads: the process has its own choice back when the last one has left.

    >>> import torch
    >>> from thalweg.population.attention import one_path
    >>> with one_path:
    ...     torch.backends.mha.get_fastpath_enabled()
    False
    >>> torch.backends.mha.get_fastpath_enabled()
    True
    """

    def __init__(self) -> None:
        self._lock, self._threads, self._before = threading.Lock(), 0, True
        self._here = threading.local()

    def __enter__(self) -> None:
        depth = getattr(self._here, "depth", 0)
        self._here.depth = depth + 1
        if depth:  # what is entered at every call costs next to nothing
            return
        with self._lock:
            if self._threads == 0:
                self._before = torch.backends.mha.get_fastpath_enabled()
                torch.backends.mha.set_fastpath_enabled(False)
            self._threads += 1

    def __exit__(self, *error: object) -> None:
        self._here.depth -= 1
        if self._here.depth:
            return
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                torch.backends.mha.set_fastpath_enabled(self._before)


one_path = OnePath()


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention by its formula: the fused kernels have neither batching rules on the CPU nor second derivatives."""
    with one_path, sdpa_kernel(SDPBackend.MATH):
        yield


@contextlib.contextmanager
def kept_attention() -> Iterator[None]:
    """The process's choice of attention afterwards as it was, however it is changed in between."""
    before = [read() for read, _ in _CHOICES]
    try:
        yield
    finally:
        for (read, write), chosen in zip(_CHOICES, before, strict=True):
            if read() != chosen:
                write(chosen)


class Attentive(TorchFunctionMode):
    """Notes in `seen` whether attention was computed, so that a reading can say by which kernel."""

    seen = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = self.seen or func in (F.scaled_dot_product_attention, F.multi_head_attention_forward)
        return func(*args, **(kwargs or {}))
