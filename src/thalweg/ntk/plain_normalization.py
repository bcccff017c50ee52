"""Normalization by its formula, where second derivatives in forward mode are wanted."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class PlainNormalization(TorchFunctionMode):
    """Layer, instance and weight normalization, and batch normalization by the batch, from elementary operations.

    Torch's own keep means and norms as constants, so that their second derivatives in forward mode lack terms.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = _PLAIN.get(func)
        found = None if plain is None else plain(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {})) if found is None else found


def _layer(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    found = _standardized(input, tuple(range(-len(normalized_shape), 0)), eps)
    found = found if weight is None else found * weight
    return found if bias is None else found + bias


def _batch(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    if not training:
        return None
    return _of_channels(_standardized(input, (0, *range(2, input.dim())), eps), weight, bias)


def _instance(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    if not use_input_stats:
        return None
    return _of_channels(_standardized(input, tuple(range(2, input.dim())), eps), weight, bias)


def _weight(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    others = tuple(one for one in range(v.dim()) if one != dim % v.dim()) if dim != -1 else tuple(range(v.dim()))
    return v * (g / v.square().sum(others, keepdim=True).sqrt())


def _standardized(values: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    off = values - values.mean(dims, keepdim=True)
    return off / (off.square().mean(dims, keepdim=True) + eps).sqrt()


def _of_channels(values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = (1, -1, *(1 for _ in range(values.dim() - 2)))
    values = values if weight is None else values * weight.view(shape)
    return values if bias is None else values + bias.view(shape)


_PLAIN: dict[Any, Callable[..., Tensor | None]] = {
    F.layer_norm: _layer,
    torch.layer_norm: _layer,
    F.batch_norm: _batch,
    F.instance_norm: _instance,
    torch._weight_norm: _weight,
}
