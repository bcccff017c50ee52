"""The volume of simplexes in space of any dimension, and by which gradient it grows."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.connectivity.descent import Found


def log_volume(vertices: Float[Tensor, "... vertices parameters"]) -> Float[Tensor, "..."]:
    """log Vol = log det(E E^T) / 2 - log n!, E the n edges from the first vertex; -inf where they span less.

    It is what the determinant of Cayley and Menger gives from the distances.
    """
    edges = (vertices[..., 1:, :] - vertices[..., :1, :]).double()
    return torch.linalg.slogdet(edges @ edges.mT).logabsdet / 2 - math.lgamma(edges.shape[-2] + 1)


class VolumeGradient:
    """Changes the gradients of trained vertices so that besides the loss the volume counts.

        loss - weight log(sum over simplexes of Vol),    d log Vol / dE = (E E^T)^-1 E

    The i-th simplex has the i-th fixed corner and all trained vertices.

    Args:
        weight: of the logarithm.
        fixed: corners that are not trained, which come first among the control rows.
    """

    def __init__(self, weight: float, fixed: int) -> None:
        self._weight, self._fixed = weight, fixed

    def __call__(self, found: Found) -> None:
        """Subtract the gradient of weight log(sum of Vol), in place."""
        control = found.control.transpose(0, 1)
        corners, trained = control[:, : self._fixed], control[:, self._fixed :]
        simplexes = torch.cat([corners[:, :, None], trained[:, None].expand(-1, self._fixed, -1, -1)], dim=2)
        edges = (simplexes[:, :, 1:] - simplexes[:, :, :1]).double()
        share = torch.softmax(log_volume(simplexes), dim=1)  # of each simplex in the sum of volumes
        growth = torch.linalg.solve(edges @ edges.mT, edges) * share[..., None, None]
        found.gradient.sub_(growth.sum(1).transpose(0, 1).to(found.gradient), alpha=self._weight)
