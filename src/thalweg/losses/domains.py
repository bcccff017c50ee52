"""Targets that torch's own losses take without a word, and are not made for."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from thalweg.errors import ModelError

_SHARES = (F.binary_cross_entropy, F.binary_cross_entropy_with_logits)
_SIGNS = {F.soft_margin_loss: 1, F.hinge_embedding_loss: 1, F.margin_ranking_loss: 2, F.cosine_embedding_loss: 2}


class Domains(TorchFunctionMode):
    """Raises ModelError where one of torch's losses of two answers is called with targets that are no answers.

    Torch checks classes, and of answers nothing: with labels 1 and 2 binary cross-entropy falls without bound. Values
    that are weighed by hand afterwards (reduction="none"), or have weight 0, may be of any targets.

    >>> import torch
    >>> from thalweg.losses.domains import Domains
    >>> with Domains():
    ...     torch.nn.functional.binary_cross_entropy_with_logits(torch.zeros(2), torch.tensor([1.0, 2.0]))
    Traceback (most recent call last):
    ...
    thalweg.errors.ModelError: binary_cross_entropy_with_logits takes targets from 0 to 1, but they run from 1 to 2.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("reduction") in ("mean", "sum"):
            if func in _SHARES:
                _check(func, args[1], kwargs.get("weight"), signs=False)
            elif func in _SIGNS and len(args) > _SIGNS[func]:
                _check(func, args[_SIGNS[func]], None, signs=True)
        return func(*args, **kwargs)


def _check(func: Any, targets: Tensor, weight: Tensor | None, *, signs: bool) -> None:
    some = targets if weight is None else targets[weight.expand_as(targets) > 0]
    if not some.numel():
        return
    low, high = float(some.min()), float(some.max())
    if bool((some.abs() == 1).all()) if signs else 0 <= low <= high <= 1:
        return
    meant = "-1 and 1" if signs else "from 0 to 1"
    msg = f"{func.__name__} takes targets {meant}, but they run from {low:g} to {high:g}."
    raise ModelError(msg)
