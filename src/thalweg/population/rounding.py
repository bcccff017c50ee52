"""How far losses round: what may differ between kernels, whose errors of examples need not cancel in a mean."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.losses.names import Loss

_UNIT = torch.finfo(torch.float64).eps


class OneWay:
    """A loss whose gradients by outputs are moved by their rounding, all in one direction.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.population.rounding import OneWay
    >>> outputs = torch.tensor([[14.0, 0.0]], requires_grad=True)
    >>> loss = tw.losses.CrossEntropy()
    >>> plain, *_ = torch.autograd.grad(loss.mean(outputs, torch.tensor([0])), outputs)
    >>> moved, *_ = torch.autograd.grad(OneWay(loss, 1).mean(outputs, torch.tensor([0])), outputs)
    >>> bool(((moved - plain) >= 0).all()), bool(((moved - plain) < 1e-7).all())
    (True, True)

    Args:
        loss: what is moved.
        sign: 1 or -1.
    """

    def __init__(self, loss: Loss, sign: int) -> None:
        self.loss, self.sign = loss, sign

    def mean(self, outputs: Any, targets: Any) -> Tensor:
        """The mean over a batch, as the loss gives it."""
        leaves = [leaf for leaf in tree_leaves(outputs) if _is_floating(leaf) and leaf.requires_grad]
        mean = self.loss.mean(outputs, targets)
        for leaf, change in zip(leaves, self._changes(outputs, targets), strict=False):
            leaf.register_hook(lambda gradient, change=change: gradient + self.sign * change.to(gradient))
        return mean

    def _changes(self, outputs: Any, targets: Any) -> list[Tensor]:
        """The rounding of gradients by outputs; none where the loss cannot be computed so."""
        found = []
        try:
            for dtype in (None, torch.float64):
                own = tree_map(lambda leaf, dtype=dtype: _leaf(leaf, dtype), outputs)
                leaves = [leaf for leaf in tree_leaves(own) if _is_floating(leaf) and leaf.requires_grad]
                if any(leaf.dtype == torch.float64 for leaf in leaves) and dtype is None:
                    return [torch.full_like(leaf, _UNIT / len(leaf), requires_grad=False) for leaf in leaves]
                loss = self.loss.mean(own, targets)
                found.append([one.double() for one in torch.autograd.grad(loss, leaves, materialize_grads=True)])
        except Exception:  # whatever a loss of the user's cannot do in that precision
            return []
        return [(one - other).abs().nan_to_num(0, 0, 0) for one, other in zip(*found, strict=True)]


def rounding_of(loss: Loss, outputs: Any, targets: Any, values: Tensor) -> Tensor:
    """About how far a loss rounds its values of examples (batch,): by those of the same outputs in 64 bits.

    There is nothing finer beside numbers of 64 bits: a unit of 1, as log(1 + p) has it. 0 where it takes no others.
    """
    if any(_is_floating(leaf) and leaf.dtype == torch.float64 for leaf in tree_leaves(outputs)):
        return torch.full_like(values, _UNIT, dtype=torch.float64)
    finer = tree_map(lambda leaf: leaf.double() if _is_floating(leaf) else leaf, outputs)
    try:
        return (loss.entries(finer, targets)[0].double() - values.double()).abs().nan_to_num(0, 0, 0)
    except Exception:  # whatever a loss of the user's cannot do in that precision
        return torch.zeros_like(values, dtype=torch.float64)


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _leaf(leaf: Any, dtype: torch.dtype | None) -> Any:
    if not _is_floating(leaf):
        return leaf
    return leaf.detach().to(dtype or leaf.dtype).clone().requires_grad_(leaf.requires_grad)
