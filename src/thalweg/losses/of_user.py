"""Losses and metrics of the user's own: functions of (output, target)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError
from thalweg.losses.comparison import Comparison
from thalweg.losses.divisors import Divisors
from thalweg.losses.mapped import mapped, single, traced
from thalweg.losses.weighted_mean import Lead, check_weights, weighted_entries, weighted_mean

Found = Tensor | tuple[Tensor, Tensor]
_CLOSE, _ULPS = 1e-4, 4  # the share of the values that a mean may be off by rounding; of short dtypes in their units
_REMEDY = (
    "Either outputs and targets broadcast against each other (give them one shape), or examples are weighted in a way "
    "that cannot be told: return (values, weights), one of each per example or per token"
)
_NAMED = ", or write loss=losses.CrossEntropy(class_weights=..., ignore_index=...)"


@dataclass(frozen=True)
class UserLoss:
    """A loss or a metric of the user's own: `function(output, target)`.

    It returns one number for the batch, a mean or a weighted mean; or one value per example or token, or (values,
    weights) of those. The number of a batch is what the function says, in training too. Where values of examples are
    asked for and the function gives one number, it is called on every example alone, and what it divides by there is
    the weight of the example. Where vmap cannot hold it, it is called member by member and example by example.

    Args:
        name: for tables and figures.
        function: as above.
        unit: of its values.
        kind: "loss" or "metric".
        weighted: whether examples differ in weight; known once it was tried.
        divisor: which of its divisors is the weight, where it gives one number and examples differ in weight.
        comparison: what tells weights where no divisor does.
        counting: outputs and targets of an example that has a weight, where it gives one number.
        random: whether it draws random numbers, so that a second call gives something else.
    """

    name: str
    function: Callable[[Any, Any], Found]
    unit: str = ""
    kind: str = "loss"
    weighted: bool = False
    divisor: int | None = None
    comparison: Comparison | None = field(default=None, compare=False, repr=False)
    counting: tuple[Any, Any] | None = field(default=None, compare=False, repr=False)
    random: bool = False

    @property
    def tells_weights(self) -> bool:
        """Whether it gives one number, and weights of examples are known from that."""
        return self.divisor is not None or self.comparison is not None

    @property
    def remedy(self) -> str:
        """What to write instead of a number that is no mean over examples."""
        return f"{_REMEDY}{_NAMED if self.kind == 'loss' else ''}."

    def mean(self, outputs: Any, targets: Any, lead: Lead = 1) -> Tensor:
        """The mean over the batch: a scalar or (members,).

        Where no example has a weight it is what the function says, and where that is NaN, its gradient is zero.
        """
        if self.tells_weights:
            return self._divided(outputs, targets, lead)
        if lead == 2:
            return mapped(self.mean, outputs, targets)
        found = self.called(outputs, targets)
        if isinstance(found, Tensor):
            return found.mean()
        values, weights = found
        return weighted_mean(values, weights.to(values.dtype), 1)

    def entries(self, outputs: Any, targets: Any, lead: Lead = 1) -> tuple[Tensor, Tensor | None]:
        """One value per example and its weight, or None: (batch,) or (members, batch).

        Raises:
            ModelError: the function gives one number, which is not the (weighted) mean of those of its examples.
        """
        parts = mapped(self._parts, outputs, targets) if lead == 2 else self._parts(outputs, targets)
        values, weights = parts["values"], parts.get("weights")
        if "whole" in parts and not self.random and not traced(values):
            self._check_whole(parts["whole"], values, weights)
        return values, weights

    def singles(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """What a function that gives one number gives for every example alone, and all it divides by there.

        Returns:
            values (batch,) and divisors (batch, divisors), none where their number differs between examples; 0 for an
            example that divides by nothing where others do, and whose value is nothing.
        """

        def one(output: Any, target: Any) -> tuple[Tensor, ...]:
            with Divisors() as divisors:
                value = self.number(output, target)
            return (value, *divisors.found)

        try:
            values, *found = mapped(one, *single(outputs, targets))
        except ValueError:
            values, found = self._unlike(outputs, targets)
        table = [part.to(values.device, torch.float64) for part in found]
        return values, torch.stack(table, 1) if table else torch.empty(len(values), 0)

    def _unlike(self, outputs: Any, targets: Any) -> tuple[Tensor, list[Tensor]]:
        """See `singles`, of a function that does not divide as often for every example."""
        values, found = [], []
        for place in range(len(tree_leaves(targets)[0])):
            with Divisors() as divisors:
                values.append(self.number(*tree_map(lambda leaf, i=place: leaf[i : i + 1], (outputs, targets))))
            found.append(divisors.found)
        most, zero = max(map(len, found)), torch.zeros_like(values[0], dtype=torch.float64)
        if any(len(one) != most and (one or not _is_nothing(value)) for one, value in zip(found, values, strict=True)):
            return torch.stack(values), []
        columns = zip(*(one or [zero] * most for one in found), strict=True)
        return torch.stack(values), [torch.stack([part.to(zero) for part in column]) for column in columns]

    def check(self, outputs: Any, targets: Any) -> bool:
        """Whether it returns values and weights.

        Raises:
            ModelError: what it returns for this batch has no mean over examples, or weights that cannot be meant.
        """
        count, found = len(tree_leaves(targets)[0]), self.called(outputs, targets)
        parts = found if isinstance(found, tuple | list) else (found, None)
        values, weights = parts if len(parts) == 2 else (None, None)
        paired = weights is not None
        if not isinstance(values, Tensor) or (paired and not isinstance(weights, Tensor)):
            msg = (
                f"The {self.kind} {self.name!r} returned {type(found).__name__}; it must return a tensor, or two of "
                "them, (values, weights)."
            )
            raise ModelError(msg)
        if paired and not values.ndim:
            msg = (
                f"The {self.kind} {self.name!r} returned two tensors, which are read as (values, weights), but the "
                f"values have shape () for {count} examples. Return a value and a weight for each, of shape "
                f"({count}, ...); or the loss alone, and pass what else is to be measured as metrics=."
            )
            raise ModelError(msg)
        if values.ndim and len(values) != count:
            msg = (
                f"The {self.kind} {self.name!r} returned shape {tuple(values.shape)} for {count} examples; return a "
                f"mean over the batch (a scalar), or one value per example: shape ({count}, ...)."
            )
            raise ModelError(msg)
        if weights is None:
            return False
        if weights.shape != values.shape:
            msg = (
                f"The {self.kind} {self.name!r} returned weights of shape {tuple(weights.shape)} for values of shape "
                f"{tuple(values.shape)}; give every value a weight, as by weights.expand_as(values)."
            )
            raise ModelError(msg)
        check_weights(self.name, weights)
        return True

    def _parts(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        """Of the examples of a batch "values" and, where they have some, "weights", (batch,) each; and the "whole"."""
        found = self.called(outputs, targets)
        if not isinstance(found, Tensor):
            values, weights = found
            values, weights = weighted_entries(values, weights.to(values.dtype), 1)
            return {"values": values, "weights": weights}
        if found.ndim:
            return {"values": found.flatten(1).double().mean(1) if found.ndim > 1 else found}
        if not self.tells_weights:
            return {"values": mapped(self.number, *single(outputs, targets)), "whole": found}
        values, weights = self._weighed(outputs, targets)
        empty = weights == 0
        if torch.is_grad_enabled() and (traced(empty) or bool(empty.any())):
            # A value that is 0 / 0 has no gradient, so another example takes its place.
            values, _ = self._weighed(*self._without(empty, outputs, targets, 1))
        return {"values": torch.where(empty, 0, values), "weights": weights, "whole": found}

    def number(self, outputs: Any, targets: Any) -> Tensor:
        """What a function that gives one number for a batch gives."""
        found = self.called(outputs, targets)
        return found if isinstance(found, Tensor) else torch.as_tensor(found)

    def called(self, outputs: Any, targets: Any) -> Any:
        """What the function returns, its values as floating numbers: booleans are 0 and 1."""
        found = self.function(outputs, targets)
        if isinstance(found, tuple | list) and len(found) == 2:
            return _floating(found[0]), found[1]
        return _floating(found)

    def _watched(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """The number of a batch, and what the function divides by at its one division that counts."""
        with Divisors() as divisors:
            found = self.number(outputs, targets)
        place = self.divisor or 0
        if not divisors.found and not traced(found) and _is_nothing(found):
            return found, torch.zeros_like(found)  # it found out that nothing counts
        if place >= len(divisors.found):
            msg = (
                f"The {self.kind} {self.name!r} weighs examples by what it divides by, and divides more or less often "
                "in some batches than in others, so its weights cannot be told. Return (values, weights)."
            )
            raise ModelError(msg)
        return found, divisors.found[place].to(found.device, torch.promote_types(found.dtype, torch.float32))

    def _weighed(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """Of every example alone the number and its weight: (batch,) each."""
        if self.comparison is None:
            values, weights = mapped(self._watched, *single(outputs, targets))
        else:
            values = mapped(self.number, *single(outputs, targets))
            weights = self.comparison.weights(self.number, outputs, targets)
        return values, weights.to(values.dtype)

    def _divided(self, outputs: Any, targets: Any, lead: Lead) -> Tensor:
        """The number of a batch, with a gradient of zero where it is 0 / 0 as nothing of it counts."""
        whole, total = self._totaled(outputs, targets, lead)
        nothing = (total == 0) & whole.isnan()
        if not traced(nothing) and not bool(nothing.any()):
            return whole
        again = self._totaled(*self._without(nothing, outputs, targets, lead), lead)[0]
        return torch.where(nothing, torch.nan, again)

    def _totaled(self, outputs: Any, targets: Any, lead: Lead) -> tuple[Tensor, Tensor]:
        """The number of a batch and its whole weight; that may be 1 where the number is none that needs it."""
        if self.comparison is None:
            return mapped(self._watched, outputs, targets) if lead == 2 else self._watched(outputs, targets)
        whole = mapped(self.number, outputs, targets) if lead == 2 else self.number(outputs, targets)
        if not traced(whole) and not bool(whole.isnan().any()):
            return whole, torch.ones_like(whole)
        total = lambda *batch: self.comparison.weights(self.number, *batch).sum()  # noqa: E731
        return whole, mapped(total, outputs, targets) if lead == 2 else total(outputs, targets)

    def _without(self, empty: Tensor, outputs: Any, targets: Any, lead: Lead) -> tuple[Any, Any]:
        """Outputs and targets, those of an example that counts where these are empty."""

        def put(leaf: Tensor, other: Tensor) -> Tensor:
            if leaf.ndim < lead or leaf.shape[lead:] != other.shape[1:]:
                return leaf  # of other lengths: it stays as it is
            shape = [*empty.shape, *(1 for _ in range(leaf.ndim - empty.ndim))]
            return torch.where(empty.reshape(shape), other.to(leaf).reshape((1,) * (lead - 1) + other.shape), leaf)

        return (outputs, targets) if self.counting is None else tree_map(put, (outputs, targets), self.counting)

    def _check_whole(self, whole: Tensor, values: Tensor, weights: Tensor | None) -> None:
        """Raise ModelError where the number of a batch (...) is not the mean of those of its examples (..., batch)."""
        expected, scale, total = mean_of(values, weights)
        wrong = ~agree(whole, expected, scale) & (total > 0)
        if not bool(wrong.any()):
            return
        got, wanted = whole[wrong].flatten()[0], expected[wrong].flatten()[0]
        mean = "mean" if weights is None else "weighted mean"
        msg = (
            f"The {self.kind} {self.name!r} of a batch of {values.shape[-1]} is not the {mean} of those of its "
            f"examples, as it was on the examples it was tried on: {float(got):.6g} against {float(wanted):.6g}. "
            f"{self.remedy}"
        )
        raise ModelError(msg)


def mean_of(values: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """sum(w l) / sum(w), the same of the absolute values, and sum(w) over the last dimension, in float64."""
    values = values.double()
    weights = torch.ones_like(values) if weights is None else weights.double()
    total, parts = weights.sum(-1), torch.where(weights == 0, 0, weights * values)
    some = total.masked_fill(total == 0, 1)
    return parts.sum(-1) / some, parts.abs().sum(-1) / some, total


def _is_nothing(value: Tensor) -> bool:
    return bool(value.isnan() | (value == 0))


def _floating(found: Any) -> Any:
    if not isinstance(found, Tensor) or found.is_floating_point() or found.is_complex():
        return found
    return found.double()


def close(dtype: torch.dtype) -> float:
    """The share of the values that their mean may be off by rounding, in that dtype."""
    return max(_CLOSE, _ULPS * torch.finfo(dtype).eps) if dtype.is_floating_point else _CLOSE


def agree(got: Tensor, expected: Tensor, scale: Tensor) -> Tensor:
    """Whether they are equal to rounding; of numbers that are not finite, whether both are, or the sum overflowed."""
    near = (got.double() - expected).abs() <= (close(got.dtype) * scale).clamp_min(1e-6)
    return near | (~got.isfinite() & ~expected.isfinite()) | got.isinf()
