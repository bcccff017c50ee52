"""Weights of examples by comparison with one example: of a mean that does not show what it divides by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.losses.mapped import mapped

_NOTHING = 1e3  # units of rounding below which a weight is zero


@dataclass(frozen=True, eq=False)
class Comparison:
    """The weight of an example i in units of that of a reference r, from the mean L over both of them.

        L = (w_i l_i + w_r l_r) / (w_i + w_r),    so that    w_i / w_r = (l_r - L) / (L - l_i)

    Weights are of the data, so the outputs may be any: of several the ones that make l_i and l_r differ most are taken,
    and the weights are the same for all members. What is no floating number (a mask that the model passes on) stays.

    >>> import torch
    >>> from thalweg.losses.comparison import Comparison
    >>> def mean(output, target):
    ...     return (output * target).sum() / target.sum()
    >>> reference, probes = (torch.tensor([0.0]), torch.tensor([2.0])), torch.tensor([1.0, 5.0])
    >>> comparison = Comparison.of(mean, reference, probes, torch.float64)
    >>> comparison.weights(mean, torch.zeros(3), torch.tensor([1.0, 6.0, 0.0]))
    tensor([0.5000, 3.0000, 0.0000], dtype=torch.float64)

    Args:
        reference: outputs and targets of one example that has a weight, (1, ...).
        probes: outputs of a few examples.
        value: of the reference alone.
    """

    reference: tuple[Any, Any]
    probes: Any
    value: float

    @classmethod
    def of(
        cls, function: Callable[[Any, Any], Tensor], reference: tuple[Any, Any], probes: Any, dtype: torch.dtype
    ) -> "Comparison":
        """With outputs in that dtype."""
        outputs, targets = _cast(reference[0], dtype), reference[1]
        return cls((outputs, targets), _cast(probes, dtype), float(function(outputs, targets)))

    def weights(self, function: Callable[[Any, Any], Tensor], outputs: Any, targets: Any) -> Tensor:
        """In units of the reference's: (batch,); NaN where they cannot be told."""
        count = len(tree_leaves(self.probes)[0])

        def one(output: Any, target: Any) -> tuple[Tensor, Tensor]:
            alone, both = [], []
            for place in range(count):
                own = tree_map(lambda leaf, probe, place=place: _probe(leaf, probe[place]), output, self.probes)
                example = tree_map(lambda leaf: leaf.unsqueeze(0), (own, target))
                pair = tree_map(lambda leaf, other: torch.cat([leaf, other.to(leaf)]), example, self.reference)
                alone.append(function(*example))
                both.append(function(*pair))
            return torch.stack(alone), torch.stack(both)

        with torch.no_grad():
            alone, both = mapped(one, outputs, targets)
            apart = (alone - self.value).abs().nan_to_num(-1, -1, -1)
            best = apart.argmax(1, keepdim=True)
            far, mean = alone.gather(1, best).squeeze(1), both.gather(1, best).squeeze(1)
            weights = (self.value - mean) / (mean - far)
            small = weights.abs() < _NOTHING * torch.finfo(weights.dtype).eps
            nothing = alone.isnan().all(1) & both.isfinite().any(1)
            return torch.where(small | nothing, 0, weights)


def _cast(tree: Any, dtype: torch.dtype) -> Any:
    return tree_map(lambda leaf: leaf.detach().to(dtype) if leaf.is_floating_point() else leaf, tree)


def _probe(leaf: Tensor, probe: Tensor) -> Tensor:
    return probe if leaf.is_floating_point() else leaf
