"""The device that tensors live on, or a sentence where this machine has no such one."""

import torch

from thalweg.errors import UsageError


def as_device(device: str | torch.device) -> torch.device:
    """The device, after a tensor was made on it.

    >>> from thalweg.population.device import as_device
    >>> as_device("cpu")
    device(type='cpu')

    Raises:
        UsageError: no such device, or torch cannot use it on this machine.
    """
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        msg = f"There is no device {device!r}; here torch can use {_usable()}."
        raise UsageError(msg) from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        msg = f"The device is {str(device)!r}, but torch sees no CUDA device here; it can use {_usable()}."
        raise UsageError(msg)
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ImportError) as error:  # as each backend has it
        msg = f"The device is {str(device)!r}, which torch cannot use here; it can use {_usable()}."
        raise UsageError(msg) from error
    return chosen


def _usable() -> str:
    """The devices of this machine."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(found)
