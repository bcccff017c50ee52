"""Digits of every seed's own, and kernels of infinite width between them, right ones and wrong ones."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.data import Data
from thalweg.studies.ntk.setting import BIAS_STD, WEIGHT_STD, dealt, parity

Array = NDArray[np.float64]
TRAIN, TEST = 24, 64


@dataclass(frozen=True, eq=False)
class Sets:
    """For every seed its own examples, the first 24 of which are trained on.

    Args:
        data: all digits.
        seeds: of one network of every width.
        rows: which examples: (seeds, 88).
        inputs: of these examples.
        targets: of those that are trained on.
    """

    data: Data
    seeds: list[int]
    rows: Int64[Tensor, "seeds n"]
    inputs: Float[Tensor, "seeds n d"]
    targets: Float[Tensor, "seeds train 1"]

    @classmethod
    def of(cls, seeds: list[int], data: Data | None = None) -> "Sets":
        """Those of these seeds, of the digits by parity if not of others."""
        data = data or parity()
        rows = torch.cat(dealt(len(data.train), seeds, TRAIN, TEST), 1)
        inputs, targets = (part[rows] for part in data.train.slice(0, len(data.train)) if isinstance(part, Tensor))
        return cls(data, seeds, rows, inputs, targets[:, :TRAIN])


def analytic(sets: Sets, activation: str, hidden: int = 1) -> dict[str, Tensor]:
    """Kernels of infinite width between all examples and those of training, of every seed: (seeds, 88, 24).

    Besides the tangent kernel and that of the Gaussian process, of one hidden layer there are two readings of the
    lecture's sum over layers of Sigma Sigma-dot, whose factors belong to one term each. Sigma is the covariance before
    the nonlinearity of a layer, and Sigma-dot that of its derivative: in "lecture, layer by layer" under the same
    Sigma, and in "lecture, from the inputs" under that of the layer before, and 1 in the first.
    """
    limit = ntk.over_depth(
        sets.inputs,
        sets.inputs[:, :TRAIN],
        activation=activation,
        weight_std=WEIGHT_STD[activation],
        bias_std=BIAS_STD,
        depths=[hidden],
    )
    found = {"analytic": limit.ntk[0], "NNGP": limit.nngp[0]}
    if hidden > 1:
        return found
    inputs = sets.inputs.double()
    gram = WEIGHT_STD[activation] ** 2 * inputs @ inputs.mT / inputs.shape[-1] + BIAS_STD**2
    own, first = gram.diagonal(dim1=1, dim2=2), gram[:, :, :TRAIN]
    q, other = own[:, :, None], own[:, None, :TRAIN]
    _, change = ntk.dual_of(activation, {}).pair(q, other, ((q + other) / 2 - first).clamp_min(0))
    return found | {
        "lecture, layer by layer": first * change,
        "lecture, from the inputs": first + found["NNGP"] * change,
    }


def distance(kernel: Tensor, other: Tensor, unit: Tensor) -> Array:
    """|kernel - other| / |unit| in the Frobenius norm, among the training examples: (seeds,)."""
    apart, norm = ((one[:, :TRAIN]).norm(dim=(1, 2)) for one in (kernel - other, unit))
    return (apart / norm).numpy()


def as_large(kernel: Tensor, right: Tensor) -> Tensor:
    """A kernel scaled to the trace of the right one, so that it has the right time scale and another shape."""
    traces = [one[:, :TRAIN].diagonal(dim1=1, dim2=2).sum(1) for one in (right, kernel)]
    return kernel * (traces[0] / traces[1])[:, None, None]
