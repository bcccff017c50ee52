"""Losses and metrics of the user's own: functions of (output, target)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError
from thalweg.losses.weighted_mean import Lead, check_weights, weighted_entries, weighted_mean

Found = Tensor | tuple[Tensor, Tensor]
_CLOSE = 1e-3  # the share of the values that a mean may be off by rounding
_WEIGHTED = (
    "Either outputs and targets broadcast against each other (give them one shape), or examples are weighted (class "
    "weights, ignore_index, padding): return (values, weights), one of each per example or per token, or write "
    "loss=losses.CrossEntropy(class_weights=..., ignore_index=...)."
)


@dataclass(frozen=True)
class UserLoss:
    """A loss of the user's own: `function(output, target)`.

    It returns a mean over the batch, or one value per example or token, or (values, weights) of those. Where vmap
    cannot hold it, it is called member by member, and a mean example by example where each is asked for.

    Args:
        name: for tables and figures.
        function: as above.
        unit: of its values.
        weighted: whether it returns weights; known once it was tried.
    """

    name: str
    function: Callable[[Any, Any], Found]
    unit: str = ""
    weighted: bool = False

    def mean(self, outputs: Any, targets: Any, lead: Lead = 1) -> Tensor:
        """The mean over the batch: a scalar or (members,)."""
        if lead == 2:
            return _mapped(self.mean, outputs, targets)
        found = self.function(outputs, targets)
        if isinstance(found, Tensor):
            return found.mean()
        values, weights = found
        return weighted_mean(values, weights.to(values.dtype), 1)

    def entries(self, outputs: Any, targets: Any, lead: Lead = 1) -> tuple[Tensor, Tensor | None]:
        """One value per example and its weight, or None: (batch,) or (members, batch); a mean is called on ones."""
        found = _mapped(self._pair, outputs, targets) if lead == 2 else self._pair(outputs, targets)
        return found if len(found) == 2 else (found[0], None)

    def _pair(self, outputs: Any, targets: Any) -> tuple[Tensor, ...]:
        """(values,) or (values, weights) of the examples of a batch: (batch,) each."""
        found = self.function(outputs, targets)
        if not isinstance(found, Tensor):
            values, weights = found
            return weighted_entries(values, weights.to(values.dtype), 1)
        if found.ndim:
            return (found.flatten(1).double().mean(1) if found.ndim > 1 else found,)
        single = lambda tree: tree_map(lambda tensor: tensor.unsqueeze(1), tree)  # noqa: E731
        return (_mapped(self.function, single(outputs), single(targets)),)

    def check(self, outputs: Any, targets: Any) -> bool:
        """Whether it is weighted.

        Raises:
            ModelError: what it returns for this batch has no mean over examples, or weights that cannot be meant.
        """
        count, found = len(tree_leaves(targets)[0]), self.function(outputs, targets)
        parts = found if isinstance(found, tuple | list) else (found, None)
        values, weights = parts if len(parts) == 2 else (None, None)
        paired = weights is not None
        if not isinstance(values, Tensor) or (paired and not isinstance(weights, Tensor)):
            msg = (
                f"The loss {self.name!r} returned {type(found).__name__}; it must return a tensor, or two of them, "
                "(values, weights)."
            )
            raise ModelError(msg)
        if paired and not values.ndim:
            msg = (
                f"The loss {self.name!r} returned two tensors, which are read as (values, weights), but the values "
                f"have shape () for {count} examples. Return a value and a weight for each, of shape ({count}, ...); "
                "or the loss alone, and pass what else is to be measured as metrics=."
            )
            raise ModelError(msg)
        if values.ndim and len(values) != count:
            msg = (
                f"The loss {self.name!r} returned shape {tuple(values.shape)} for {count} examples; return a mean over "
                f"the batch (a scalar), or one value per example: shape ({count}, ...)."
            )
            raise ModelError(msg)
        if weights is None:
            return False
        if weights.shape != values.shape:
            msg = (
                f"The loss {self.name!r} returned weights of shape {tuple(weights.shape)} for values of shape "
                f"{tuple(values.shape)}; give every value a weight, as by weights.expand_as(values)."
            )
            raise ModelError(msg)
        check_weights(self.name, weights)
        return True

    def check_mean(self, outputs: Any, targets: Any) -> None:
        """Raise ModelError when the loss of a batch is not the mean of the losses of its examples.

        Then the value that is evaluated would not be the objective that is trained. It is looked for in the whole
        batch and in half of it, in which examples are others.
        """
        before = torch.get_rng_state()
        count = len(tree_leaves(targets)[0])
        batches = [(outputs, targets)]
        if count > 1:
            batches.append(tree_map(lambda tensor: tensor[: (count + 1) // 2], (outputs, targets)))
        for batch in batches:
            whole = self.mean(*batch)
            if not torch.equal(before, torch.get_rng_state()):
                return  # it draws random numbers, and draws others for each example
            single = tree_map(lambda tensor: tensor.unsqueeze(1), batch)
            each = [part[:, 0].double() for part in _mapped(self._pair, *single)]
            values = each[0]
            weights = each[1] if len(each) == 2 else torch.ones_like(values)
            total = weights.sum()
            if self.weighted and not bool(total):
                continue
            expected = float((weights * values).sum() / total)
            scale = float((weights * values.abs()).sum() / total)
            self._compare(float(whole), expected, scale, len(values))

    def _compare(self, got: float, expected: float, scale: float, count: int) -> None:
        if math.isclose(got, expected, rel_tol=_CLOSE, abs_tol=max(1e-6, _CLOSE * scale)):
            return
        if self.weighted:
            msg = (
                f"The loss {self.name!r} of a batch is not sum(w l) / sum(w) of the values l and weights w of its "
                f"examples, taken one by one: {got:.6g} against {expected:.6g}. Values and weights of an example may "
                "not depend on the others of the batch; leave weights as they are, they are divided by their sum."
            )
            raise ModelError(msg)
        if math.isclose(got, count * expected, rel_tol=_CLOSE, abs_tol=1e-6):
            msg = (
                f"The loss {self.name!r} is not a mean over the batch but a sum: {got:.6g} for {count} examples whose "
                f"mean is {expected:.6g}. Divide by the batch size, or return one value per example."
            )
            raise ModelError(msg)
        msg = (
            f"The loss {self.name!r} of a batch is not the mean of the losses of its examples: {got:.6g} against "
            f"{expected:.6g}. {_WEIGHTED}"
        )
        raise ModelError(msg)

    def lacking(self, outputs: Any, targets: Any) -> Tensor:
        """Which examples have a value of weight 0: (batch,); only asked where it is weighted."""
        return _lacking(self.function(outputs, targets)[1])

    def check_gradient(self, outputs: Any, targets: Any) -> None:
        """Raise ModelError when the gradient by outputs is not finite for an example with a value of weight 0.

        Nothing is said of examples that count in full, nor where there is no gradient: training says what is wrong.
        """
        with torch.enable_grad():
            given = tree_map(lambda leaf: leaf.detach().requires_grad_(leaf.is_floating_point()), outputs)
            leaves = [leaf for leaf in tree_leaves(given) if leaf.requires_grad]
            try:
                values, weights = self.function(tree_map(torch.clone, given), targets)  # it may work in place
                mean = weighted_mean(values, weights.to(values.dtype), 1)
                gradients = torch.autograd.grad(mean, leaves, allow_unused=True)
            except Exception:  # whatever has no derivative
                return
        lacking = _lacking(weights)
        found = [gradient for gradient in gradients if gradient is not None and gradient.shape[:1] == lacking.shape]
        if all(bool(gradient[lacking].isfinite().all()) for gradient in found):
            return
        msg = (
            f"The gradient of the loss {self.name!r} is not finite at values of weight 0: 0 times a derivative that is "
            "infinite or NaN is NaN, and no member could be trained. Where the weight is 0, put something harmless in "
            "place of the target before the loss is computed, as by torch.where(weight > 0, target, 0), and leave the "
            "weight out of the values."
        )
        raise ModelError(msg)

    def check_constant(self, one: Any, other: Any, targets: Any) -> None:
        """Raise ModelError when the weights differ by outputs of other parameters."""
        (_, weights), (_, others) = (self.entries(outputs, targets) for outputs in (one, other))
        if weights is None or others is None or torch.equal(weights, others):
            return
        msg = (
            f"The weights that the loss {self.name!r} returns depend on the parameters of the model, so that sums over "
            "batches would have no common denominator. Take weights from the targets alone (or from what of the inputs "
            "the model passes on), and multiply what depends on the parameters into the values."
        )
        raise ModelError(msg)


def _lacking(weights: Tensor) -> Tensor:
    return (weights == 0).reshape(len(weights), -1).any(1)


def _mapped(function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> Any:
    """The function on each entry of the first dimension: by one call where vmap can, else one by one, as written."""
    try:
        return torch.vmap(function, randomness="different")(outputs, targets)
    except Exception as error:  # such as branches on values, and boolean indices; what is wrong shows below as well
        if isinstance(error, torch.OutOfMemoryError):
            raise
    one = lambda tree, i: tree_map(lambda tensor: tensor[i], tree)  # noqa: E731
    count = len(tree_leaves(targets)[0])
    found = [function(one(outputs, i), one(targets, i)) for i in range(count)]
    return tree_map(lambda *parts: torch.stack(parts), *found)
