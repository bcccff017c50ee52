"""Padding rows of embeddings (`padding_idx`): looked up, and never trained."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BAGS = (F.embedding_bag, torch.embedding_bag)


class Padding(TorchFunctionMode):
    """Makes the padding row of every embedding a constant, whatever differentiates the model.

    Torch only leaves that row's gradient out, by its number: vmap moves the rows of all members but the first to other
    numbers and lets their gradients through, and forward mode knows no padding at all.

    Args:
        rows: the constants, in the order of the calls; those that are missing are taken from the weights and added.
            One list for several calls of a model makes it a function that does not see its padding rows move. None: a
            list of its own.

    Attributes:
        found: whether an embedding that is trained has a padding row. Bags of embeddings count too; their padding is
            no part of the sum, so there is nothing to make constant.
    """

    def __init__(self, rows: list[Tensor] | None = None) -> None:
        super().__init__()
        self.rows = [] if rows is None else rows
        self.found = False
        self._calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.embedding:
            return self._embedding(*args, **kwargs)
        if func is torch.embedding:
            return self._plain(*args, **kwargs)
        if func in _BAGS:
            places = 9 if func is F.embedding_bag else 8  # of `padding_idx`
            padding_idx = kwargs.get("padding_idx", args[places] if len(args) > places else None)
            weight = kwargs.get("weight", args[func is F.embedding_bag] if len(args) > 1 else None)
            self.found |= padding_idx is not None and padding_idx != -1 and _trained(weight)
        return func(*args, **kwargs)

    def _plain(self, weight: Tensor, indices: Tensor, padding_idx: int = -1, *others: Any, **options: Any) -> Tensor:
        """torch.embedding, where -1 stands for no padding."""
        values = torch.embedding(weight, indices, -1, *others, **options)
        return values if padding_idx < 0 else self._constant(values, indices, weight, padding_idx)

    def _embedding(
        self, input: Tensor, weight: Tensor, padding_idx: int | None = None, *others: Any, **options: Any
    ) -> Tensor:
        if padding_idx is None:
            return F.embedding(input, weight, None, *others, **options)
        values = F.embedding(input, weight, None, *others, **options)
        return self._constant(values, input, weight, padding_idx % weight.shape[0])

    def _constant(self, values: Tensor, indices: Tensor, weight: Tensor, padding_idx: int) -> Tensor:
        self.found |= _trained(weight)
        if self._calls == len(self.rows):
            self.rows.append(weight[padding_idx].detach().clone())
        row = self.rows[self._calls]
        self._calls += 1
        return torch.where((indices == padding_idx).unsqueeze(-1), row, values)


def _trained(weight: Any) -> bool:
    return isinstance(weight, Tensor) and weight.requires_grad
