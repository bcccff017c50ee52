"""The mean sum(w l) / sum(w), the pair that an example has of it, and what weights may be."""

import math

import torch
from torch import Tensor

from thalweg.errors import ModelError

Lead = int  # leading dimensions of outputs: 1 is (batch, ...), 2 is (members, batch, ...)


def weighted_mean(values: Tensor, weights: Tensor, lead: Lead) -> Tensor:
    """sum(w l) / sum(w) over examples and positions: a scalar or (members,).

    Where all weights are zero it is NaN and its gradient is zero. Values and their derivatives must be finite where the
    weight is zero, too: the gradient of a value there is 0 times its derivatives, NaN where one is infinite or NaN.

    Args:
        values, weights: of one shape, (lead..., positions...).
    """
    first = lead - 1
    sums, total = _times(values, weights).flatten(first).sum(-1), weights.flatten(first).sum(-1)
    nothing = total == 0
    return torch.where(nothing, torch.nan, sums / total.masked_fill(nothing, 1))


def weighted_entries(values: Tensor, weights: Tensor, lead: Lead) -> tuple[Tensor, Tensor]:
    """Of every example sum(w l) / sum(w) over its positions, and sum(w): (lead...) each.

    Where all weights of an example are zero, its value is 0.
    """
    sums, total = _times(values, weights), weights
    if values.ndim > lead:
        sums, total = sums.flatten(lead).sum(-1), total.flatten(lead).sum(-1)
    return sums / total.masked_fill(total == 0, 1), total


def check_weights(name: str, weights: Tensor) -> None:
    """Raise ModelError at weights that are negative or not finite."""
    if not bool(((weights >= 0) & (weights < math.inf)).all()):
        worst = weights[~((weights >= 0) & (weights < math.inf))].flatten()[0].item()
        msg = f"The weights of {name!r} must be finite and not negative; among them is {worst:g}."
        raise ModelError(msg)


def _times(values: Tensor, weights: Tensor) -> Tensor:
    return torch.where(weights == 0, 0, weights * values)
