"""What a function of a batch divides by: the total weight of a weighted mean that is given as one number."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DIVISIONS = ("div", "div_", "divide", "divide_", "true_divide", "true_divide_", "__truediv__", "__itruediv__")
_REVERSED = ("__rdiv__", "__rtruediv__", "reciprocal", "reciprocal_")
_FLOORS = ("clamp", "clamp_", "clamp_min", "clamp_min_", "clip", "clip_", "maximum", "max")
_CASTS = ("to", "float", "double", "half", "bfloat16", "type", "type_as")
_OTHER_MEANS = ("binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div")


class Divisors(TorchFunctionMode):
    """Notes what is divided by, wherever that is one number, in the order of the calls.

    A weighted mean sum(w l) / sum(w) of one example divides by the weight of that example, whoever wrote it: by hand,
    by `.mean()` of what a mask selects, or as torch's cross-entropy with class weights or an ignored target. Which of
    the divisors is the weight, and whether one is, the values of batches tell. Where it is kept from being 0, as by
    `.clamp(min=1)`, the weight is what was clamped, which is noted before it.

    >>> import torch
    >>> from thalweg.losses.divisors import Divisors
    >>> values, kept = torch.tensor([1.0, 3.0, 7.0]), torch.tensor([1.0, 1.0, 0.0])
    >>> with Divisors() as divisors:
    ...     mean = (values * kept).sum() / kept.sum() + values[:2].mean()
    >>> [float(one) for one in divisors.found]
    [2.0, 2.0]

    Attributes:
        found: the divisors, numbers, and tensors without dimensions.
        classes: which of them are those of torch's own losses of classes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []
        self.classes: list[int] = []
        self._floored: dict[int, tuple[Tensor, Tensor]] = {}  # by identity what was clamped: the result, and the number

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        divisor = _divisor(func, args, kwargs)  # before the call, which may work in place
        source = self._source(func, args)
        result = func(*args, **kwargs)
        if source is not None and isinstance(result, Tensor):
            self._floored[id(result)] = result, source
        if isinstance(divisor, int | float):
            divisor = torch.tensor(float(divisor))
        if isinstance(divisor, Tensor) and isinstance(result, Tensor) and not divisor.ndim:
            if func in (F.cross_entropy, F.nll_loss):
                self.classes.append(len(self.found))
            if id(divisor) in self._floored:
                self.found.append(self._floored[id(divisor)][1])
            self.found.append(divisor.detach().clone())
        return result

    def _source(self, func: Any, args: Sequence[Any]) -> Tensor | None:
        """The number that this call clamps from below, or None."""
        name, number = getattr(func, "__name__", ""), args[0] if args else None
        if not isinstance(number, Tensor) or number.ndim:
            return None
        if id(number) in self._floored and name in (*_CASTS, *_FLOORS):
            return self._floored[id(number)][1]
        return number.detach().clone() if name in _FLOORS else None


def _divisor(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What this call of torch divides by, or None."""
    name = getattr(func, "__name__", "")
    if name in _DIVISIONS and len(args) > 1:
        return args[1]
    if name in _REVERSED or (name == "pow" and len(args) > 1 and isinstance(args[1], int | float) and args[1] == -1):
        return args[0]
    if not args or not isinstance(args[0], Tensor):
        return None
    if name == "mean":
        return args[0].numel() if _whole(args, kwargs) else None
    if name == "nanmean":
        return (~args[0].isnan()).sum() if _whole(args, kwargs) else None
    if kwargs.get("reduction") != "mean":
        return None
    if func in (F.cross_entropy, F.nll_loss):
        return _of_classes(args[0], args[1], kwargs)
    return args[0].numel() if name.endswith("_loss") or name in _OTHER_MEANS else None


def _whole(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a reduction leaves one number."""
    return args[0].ndim < 2 or (len(args) == 1 and kwargs.get("dim") is None)


def _of_classes(outputs: Tensor, targets: Tensor, options: Mapping[str, Any]) -> Tensor | int:
    """The sum of the weights of targets that are not ignored, as torch divides by it."""
    if targets.is_floating_point():
        return outputs.numel()
    kept, weight = targets != options.get("ignore_index", -100), options.get("weight")
    return kept.sum() if weight is None else (weight[targets.where(kept, 0)] * kept).sum()
