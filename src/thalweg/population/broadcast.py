"""Members evaluated together without vmap, where a model is made of linear layers and elementwise functions.

Its layers then are batched products on (members, features, batch) and its other functions take the larger tensors as
they are, which saves what vmap pays at every operation: half of a step of small networks.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from thalweg.population.batch import Batch
from thalweg.population.binding import Bound, call

_NAMES = ("relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu", "softplus", "leaky_relu", "mish", "relu6")
_NAMES += ("hardtanh", "hardsigmoid", "hardswish", "logsigmoid", "softsign", "sin", "cos", "exp", "square", "abs")
_NAMES += ("add", "sub", "mul", "div", "neg", "clamp", "__add__", "__radd__", "__sub__", "__rsub__", "__mul__")
_NAMES += ("erf", "__rmul__", "__truediv__", "__neg__", "__pow__")
_PLACES = (torch, F, Tensor)
ELEMENTWISE = frozenset(getattr(place, name) for place in _PLACES for name in _NAMES if hasattr(place, name))
FLATTEN = (torch.flatten, Tensor.flatten)
TIMES = frozenset((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__))


class CannotBroadcast(Exception):
    """The model does what is not known to be the same on a larger tensor."""


class Broadcast(TorchFunctionMode):
    """The functions of a model on tensors (members, batch, features), or (batch, features) that all members share.

    Elementwise functions are known by name; anything else, and parameters anywhere but in a linear layer, where they
    may be multiplied by numbers, raises CannotBroadcast before it is done.

    Args:
        bound: the model; its parameters are bound to tensors with the members in front.
        leaves, buffers: those tensors.
        batch: what it is called on.
    """

    def __init__(self, bound: Bound, leaves: list[Tensor], buffers: Mapping[str, Tensor], batch: Batch) -> None:
        super().__init__()
        self.bound, self.inputs, self.shared, self.buffers = bound, batch.inputs, batch.shared, buffers
        self.members = len(leaves[0])
        self.kept = {id(tensor): tensor for tensor in (*leaves, *buffers.values())}
        if not isinstance(self.inputs, Tensor) or not self.inputs.is_floating_point():
            raise CannotBroadcast
        bound.bind(leaves, buffers)

    def outputs(self) -> Tensor:
        """What the model returns: (members, batch, outputs)."""
        with self:
            outputs = call(self.bound.module, self.inputs)
        if not isinstance(outputs, Tensor) or outputs.ndim != 3 or len(outputs) != self.members:
            raise CannotBroadcast
        if self.bound.replaced(self.buffers):
            raise CannotBroadcast
        return outputs

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # Examples that are more than a row would be taken for members, where they are as many.
        rows = self.inputs.ndim == (2 if self.shared else 3)
        if not rows and func not in FLATTEN and any(value is self.inputs for value in (*args, *kwargs.values())):
            raise CannotBroadcast
        if func is F.linear:
            return self._linear(*args, **kwargs)
        if any(id(value) in self.kept for value in (*args, *kwargs.values())):
            return self._times(func, *args, **kwargs)
        if func in ELEMENTWISE:
            return func(*args, **kwargs)
        if func in FLATTEN and args and args[0] is self.inputs:
            return self._flatten(*args[1:], **kwargs)
        if func is F.dropout and not self.bound.module.training:
            return args[0]
        raise CannotBroadcast

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """W x + b as (members, features, batch), seen as (members, batch, features): all products are contiguous."""
        if input.ndim == 3:
            x = input.mT
            outputs = torch.bmm(weight, x) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, x)
            return outputs.mT
        if not self.shared or input.ndim != 2:
            raise CannotBroadcast
        rows = weight.flatten(0, 1)  # one product for all members
        outputs = rows @ input.mT if bias is None else torch.addmm(bias.reshape(-1, 1), rows, input.mT)
        return outputs.view(self.members, -1, len(input)).mT

    def _times(self, func: Any, first: Any, second: Any = None, **names: Any) -> Tensor:
        """A parameter times a number, which a linear layer takes in its place."""
        if func not in TIMES or names or not any(isinstance(value, int | float) for value in (first, second)):
            raise CannotBroadcast
        made = func(first, second)
        self.kept[id(made)] = made
        return made

    def _flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The inputs, a row per example."""
        if start_dim != 1 or end_dim != -1:
            raise CannotBroadcast
        return torch.flatten(self.inputs, 1 if self.shared else 2)
