"""The dual of an operation of a traced model, by its kind."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from thalweg.arguments import in_words
from thalweg.ntk.dual.affine import Affine
from thalweg.ntk.dual.base import Dual
from thalweg.ntk.dual.elementwise import checked, function_of
from thalweg.ntk.dual.error_function import Erf
from thalweg.ntk.dual.gelu import GELU
from thalweg.ntk.dual.hermite import hermite
from thalweg.ntk.dual.piecewise import PiecewiseLinear
from thalweg.ntk.dual.polynomial import Identity, Square
from thalweg.ntk.dual.rectifier import Rectifier
from thalweg.ntk.dual.sign import Sign
from thalweg.ntk.dual.waves import Cosine, Exponential, Sine


@in_words
def dual_of(kind: str, arguments: Mapping[str, Any]) -> Dual:
    """The dual of a traced operation: in closed form where there is one, else by a Hermite series.

    Args:
        kind: of the `Operation`, as "relu", "leaky_relu", "gelu", "tanh" or "mul".
        arguments: of the `Operation`, as {"negative_slope": 0.1}; the tensor that is acted on may be among them.

    Raises:
        ModelError: for an operation that is no known activation, or reads a second tensor.

    >>> import torch
    >>> import thalweg as tw
    >>> tw.ntk.dual_of("leaky_relu", {"negative_slope": 0.5}).derivative(torch.ones(1))
    tensor([0.6250])
    >>> tw.ntk.dual_of("softmax", {})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    thalweg.errors.ModelError: The operation 'softmax' has no infinite-width limit here: it is not a known ...
    """
    rest = checked(kind, arguments)
    made = CLOSED[kind](rest) if kind in CLOSED else None
    return made if made is not None else hermite(function_of(kind, arguments), kind)


def _rectifier(negative: float, positive: float) -> Callable[[Mapping[str, Any]], Dual]:
    """Of two given gradients."""
    return lambda rest: Rectifier("relu" if (negative, positive) == (0.0, 1.0) else "abs", negative, positive)


def _leaky(rest: Mapping[str, Any]) -> Dual:
    return Rectifier("leaky_relu", float(rest.get("negative_slope", 0.01)), 1.0)


def _prelu(rest: Mapping[str, Any]) -> Dual:
    return Rectifier("prelu", float(rest["weight"]), 1.0)


def _gelu(rest: Mapping[str, Any]) -> Dual | None:
    return GELU() if rest.get("approximate", "none") == "none" else None


def _clamped(rest: Mapping[str, Any]) -> Dual:
    """Between `min` and `max`, either of which may be left out."""
    low, high = (rest.get(end) for end in ("min", "max"))
    if low is not None and high is not None:
        return _between(float(low), float(high), "clamp")
    if low == 0 or high == 0:
        return Rectifier("clamp", float(low is None), float(high is None))
    if low is not None:
        return PiecewiseLinear("clamp", (float(low),), (1.0,), start=float(low))
    if high is not None:
        return PiecewiseLinear("clamp", (float(high),), (-1.0,), first=1.0)
    return Identity()


def _between(low: float, high: float, name: str, gradient: float = 1.0) -> Dual:
    """Straight between two places, constant beyond them."""
    return PiecewiseLinear(name, (low, high), (gradient, -gradient), start=gradient * low)


def _hardtanh(rest: Mapping[str, Any]) -> Dual:
    return _between(float(rest.get("min_val", -1.0)), float(rest.get("max_val", 1.0)), "hardtanh")


def _softshrink(rest: Mapping[str, Any]) -> Dual:
    reach = float(rest.get("lambd", 0.5))
    return PiecewiseLinear("softshrink", (-reach, reach), (-1.0, 1.0), first=1.0, start=reach)


def _power(rest: Mapping[str, Any]) -> Dual | None:
    return {1: Identity(), 2: Square()}.get(rest["exponent"])


def _multiplied(rest: Mapping[str, Any]) -> Dual:
    return Affine(Identity(), outer=float(rest["other"]))


def _divided(rest: Mapping[str, Any]) -> Dual | None:
    return None if rest.get("rounding_mode") else Affine(Identity(), outer=1 / float(rest["other"]))


def _added(sign: float) -> Callable[[Mapping[str, Any]], Dual]:
    return lambda rest: Affine(Identity(), shift=sign * float(rest.get("alpha", 1)) * float(rest["other"]))


def _subtracted_from(rest: Mapping[str, Any]) -> Dual:
    return Affine(Identity(), outer=-float(rest.get("alpha", 1)), shift=float(rest["other"]))


CLOSED: dict[str, Callable[[Mapping[str, Any]], Dual | None]] = {
    "relu": _rectifier(0.0, 1.0),
    "abs": _rectifier(-1.0, 1.0),
    "leaky_relu": _leaky,
    "prelu": _prelu,
    "clamp": _clamped,
    "clamp_min": _clamped,
    "clamp_max": _clamped,
    "hardtanh": _hardtanh,
    "relu6": lambda _: _between(0.0, 6.0, "relu6"),
    "hardsigmoid": lambda _: Affine(_between(-3.0, 3.0, "hardsigmoid", 1 / 6), shift=0.5),
    "softshrink": _softshrink,
    "gelu": _gelu,
    "erf": lambda _: Erf(),
    "erfc": lambda _: Affine(Erf(), outer=-1.0, shift=1.0),
    "sin": lambda _: Sine(),
    "cos": lambda _: Cosine(),
    "exp": lambda _: Exponential(),
    "exp2": lambda _: Affine(Exponential(), inner=math.log(2)),
    "expm1": lambda _: Affine(Exponential(), shift=-1.0),
    "square": lambda _: Square(),
    "pow": _power,
    "sign": lambda _: Sign(),
    "sgn": lambda _: Sign(),
    "neg": lambda _: Affine(Identity(), outer=-1.0),
    **dict.fromkeys(("mul", "multiply"), _multiplied),
    **dict.fromkeys(("div", "divide", "true_divide"), _divided),
    "add": _added(1.0),
    **dict.fromkeys(("sub", "subtract"), _added(-1.0)),
    "rsub": _subtracted_from,
}
