"""Modes of torch around a call change none of its numbers: they are off inside, or the call is refused.

A verb of Thalweg computes the same inside `torch.no_grad()`, `torch.inference_mode()`, anomaly detection, and under
another default dtype or device than when its problem was made. Inside `torch.autocast` it is refused, as whoever wrote
that wants another precision than numbers can be measured in.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch

from thalweg.arguments import Arguments, told_by
from thalweg.errors import UsageError

__all__ = ["default_dtype", "guarded", "undisturbed"]

Given = ParamSpec("Given")
Found = TypeVar("Found")
_CPU = torch.device("cpu")
_HOLDERS = ("self", "problem", "A")  # arguments with a default dtype of their own: problems and operators


def guarded(verb: Callable[Given, Found]) -> Callable[Given, Found]:
    """The verb, undisturbed by modes of torch around its call; what takes a problem or operator, in its default dtype.

    A verb that takes neither keeps the default dtype around it, as that is what its caller means by no dtype.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=5, batch_size=64)
    >>> with torch.inference_mode():
    ...     inside = tw.train(problem, recipe)
    >>> torch.equal(inside.final.theta, tw.train(problem, recipe).final.theta)
    True

    Cost: a microsecond.

    Raises:
        UsageError: at a call inside `torch.autocast`, and at one with arguments that the verb does not take.
    """
    arguments = Arguments(verb)
    told = told_by(arguments, verb)
    holders = [(place, name) for place, name in enumerate(arguments.signature.parameters) if name in _HOLDERS]

    @functools.wraps(verb)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        arguments.check(args, kwargs)
        dtype = torch.get_default_dtype()
        for place, name in holders:
            dtype = getattr(args[place] if place < len(args) else kwargs.get(name), "default_dtype", dtype)
        if _undisturbed(dtype):
            return told(*args, **kwargs)
        with undisturbed(arguments.name, dtype):
            return told(*args, **kwargs)

    return call


@contextlib.contextmanager
def undisturbed(what: str, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Gradients on; inference mode and anomaly detection off; torch's default dtype as given, if any; on the CPU.

    >>> import torch
    >>> from thalweg.guard import undisturbed
    >>> with torch.no_grad(), undisturbed("sum"):
    ...     torch.is_grad_enabled()
    True

    Raises:
        UsageError: inside `torch.autocast`.
    """
    kind = _autocasting()
    if kind is not None:
        msg = f"{what} inside torch.autocast would compute in {torch.get_autocast_dtype(kind)}, too coarse to measure "
        raise UsageError(msg + "in; call it outside. What a model's forward does in autocast stays as it is.")
    with contextlib.ExitStack() as modes:
        modes.enter_context(torch.inference_mode(mode=False))
        modes.enter_context(torch.enable_grad())
        if torch.is_anomaly_enabled():
            modes.enter_context(torch.autograd.set_detect_anomaly(mode=False))
        if torch.get_default_device() != _CPU:
            modes.enter_context(torch.device("cpu"))
        if dtype is not None:
            modes.enter_context(default_dtype(dtype))
        yield


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Torch's default dtype, for all threads, and afterwards as before.

    >>> import torch
    >>> from thalweg.guard import default_dtype
    >>> with default_dtype(torch.float64):
    ...     torch.zeros(1).dtype
    torch.float64
    """
    before = torch.get_default_dtype()
    if before is dtype:
        yield
        return
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _undisturbed(dtype: torch.dtype) -> bool:
    return (
        torch.is_grad_enabled()
        and not torch.is_inference_mode_enabled()
        and not torch.is_anomaly_enabled()
        and torch.get_default_dtype() is dtype
        and (not torch._C._len_torch_function_stack() or torch.get_default_device() == _CPU)
        and _autocasting() is None
    )


def _autocasting() -> str | None:
    """The kind of device for which autocast is on around the call, if any."""
    return next((kind for kind in _kinds() if torch.is_autocast_enabled(kind)), None)


@functools.cache
def _kinds() -> tuple[str, ...]:
    accelerator: Any = torch.accelerator.current_accelerator()
    return ("cpu",) if accelerator is None else ("cpu", accelerator.type)
