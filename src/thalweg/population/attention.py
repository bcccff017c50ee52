"""One way to compute attention, in training, evaluation and derivatives alike: that which torch differentiates.

In evaluation mode and without gradients torch's encoder layers take fused kernels of their own, which skip padded
positions: what they return there are other numbers than those of the function that is trained (pytorch issues 86120
and 97111). No call of a model takes them here. What is left is a difference of rounding: members that are looped
compute `scaled_dot_product_attention` by torch's fused kernel, stacked members and second derivatives by its formula.
Torch has this choice for the process, not for a thread: members that another thread trains looped meanwhile are
computed by the formula too, and differ by rounding from those that are trained with nothing beside them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from thalweg.switches import Off, vmap_warning_off

# How the process computes attention: ways to read each part of the choice and to make it.
_CHOICES: list[tuple[Callable[[], Any], Callable[[Any], None]]] = [
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    (torch._C._get_sdp_priority_order, torch._C._set_sdp_priority_order),
    *(
        (getattr(torch._C, f"_get_{kernel}_sdp_enabled"), getattr(torch._C, f"_set_sdp_use_{kernel}"))
        for kernel in ("math", "flash", "mem_efficient", "cudnn", "overrideable")
    ),
]


# Within it no call takes the kernels of torch's encoder layers that are for evaluation only.
one_path = Off(torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled)


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention by its formula: the fused kernels have neither batching rules on the CPU nor second derivatives."""
    with one_path, sdpa_kernel(SDPBackend.MATH):
        yield


@contextlib.contextmanager
def mapped_attention() -> Iterator[None]:
    """The same where members are mapped (`torch.vmap`), without torch's warning of operations that vmap loops over."""
    with vmap_warning_off, plain_attention():
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
