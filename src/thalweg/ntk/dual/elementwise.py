"""The operations on every element alone that have a dual, as functions on tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import ModelError
from thalweg.population.structure.operation import kinds, values_in

SMOOTH = kinds(
    "atan celu cos cosh elu erf erfc exp exp2 expm1 gelu log_sigmoid mish selu sigmoid silu sin sinh softplus square "
    "tanh"
)
BENT = kinds("abs clamp clamp_max clamp_min hardsigmoid hardswish hardtanh leaky_relu relu relu6 softshrink")
JUMPING = kinds("ceil floor hardshrink heaviside round sgn sign threshold trunc")
LINEAR = kinds("add div divide mul multiply neg rsub sub subtract true_divide")
KNOWN = (*SMOOTH, *BENT, *LINEAR, "pow", "prelu")


def written(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments besides the tensor that is acted on."""
    return {name: value for name, value in arguments.items() if name not in ("input", "self", "inplace")}


def checked(kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an operation that has a dual.

    Raises:
        ModelError: for another operation, or one that reads further tensors.
    """
    rest = written(arguments)
    if kind not in (*KNOWN, *JUMPING):
        msg = (
            f"The operation {kind!r} has no infinite-width limit here: it is not a known activation. Known: "
            f"{', '.join(sorted(KNOWN))}. For a function that acts on every element alone write "
            "thalweg.ntk.hermite(function, name); for anything else estimate the kernel from finite networks "
            "(thalweg.ntk.empirical)."
        )
        raise ModelError(msg)
    if values_in(rest) or any(isinstance(value, Tensor) and value.numel() != 1 for value in rest.values()):
        msg = (
            f"The activation {kind!r} reads a second tensor; an activation's limit needs numbers. Write the number "
            "into the model, or estimate the kernel from finite networks (thalweg.ntk.empirical)."
        )
        raise ModelError(msg)
    return {name: value.item() if isinstance(value, Tensor) else value for name, value in rest.items()}


def function_of(kind: str, arguments: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """The operation as a function on tensors, with its arguments as the trace has them."""
    rest = checked(kind, arguments)
    if kind == "prelu":
        slope = float(rest["weight"])
        return lambda u: torch.nn.functional.leaky_relu(u, slope)
    operation = getattr(torch.ops.aten, kind)
    return lambda u: operation(u, **rest)
