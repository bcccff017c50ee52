"""A network written down, not trained, that fits any labels."""

import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor, nn

from thalweg.arguments import in_words
from thalweg.errors import DataError
from thalweg.randomness import generator

_DIRECTIONS = 64
_EXACT = 1e-6  # of the range of the labels, by which a fitted one may be off


class FittingNetwork(nn.Module):
    """What `fitting_network` returns: f(x) = sum_j w_j relu(a . x - b_j).

    Args:
        direction: a: (inputs,).
        thresholds: b: (n,).
        weights: w: (n,).
    """

    def __init__(self, direction: Tensor, thresholds: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.direction, self.thresholds, self.weights = map(nn.Parameter, (direction, thresholds, weights))

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, " batch"]:
        """One number an example."""
        return (x.flatten(1) @ self.direction).unsqueeze(1).sub(self.thresholds).relu() @ self.weights


@in_words
def fitting_network(x: ArrayLike | Tensor, labels: ArrayLike | Tensor, *, seed: int = 0) -> FittingNetwork:
    """A two-layer ReLU network with 2n + d weights that gives n different inputs any labels whatever.

        f(x) = sum_j w_j relu(a . x - b_j)

    a is a direction along which all inputs differ, which almost every direction is. Sorted along it, the thresholds lie
    at the points before: relu(a . x_i - b_j) is then triangular, and w are the changes of slope that lead from each
    label to the next.

    >>> import torch
    >>> import thalweg as tw
    >>> train = tw.data.digits().subset(train=200).train
    >>> labels = torch.randint(10, (200,), generator=torch.Generator().manual_seed(0))
    >>> net = tw.generalization.bounds.fitting_network(train.inputs, labels)
    >>> bool((net(train.inputs.double()).round() == labels).all()), sum(p.numel() for p in net.parameters())
    (True, 464)

    Args:
        x: inputs, flattened where they have several axes: (n, ...).
        labels: numbers, such as classes: (n,).
        seed: of 64 directions, of which the one is taken along which the nearest two inputs are farthest apart.

    Raises:
        DataError: shapes that do not fit; inputs that are the same, or so near along all of the directions that numbers
            of float64 do not fit them.

    Cost: 64 products of a vector with the inputs, and sorting.

    References:
        Zhang et al. (2017), arXiv:1611.03530, theorem 1.
    """
    points = torch.as_tensor(x).detach().double()
    targets = torch.as_tensor(labels).detach().double()
    if points.ndim < 2 or targets.shape != points.shape[:1] or not len(points):
        msg = (
            f"fitting_network takes n inputs (n, ...) and a number for each, (n,); got {tuple(points.shape)} and "
            f"{tuple(targets.shape)}."
        )
        raise DataError(msg)
    points = points.flatten(1)
    draws = torch.randn(points.shape[1], _DIRECTIONS, generator=generator(seed, "fitting"), dtype=torch.float64)
    along = points @ (draws / draws.norm(dim=0))
    gaps = along.sort(dim=0).values.diff(dim=0)
    best = int(gaps.amin(0).argmax()) if len(points) > 1 else 0
    z, order = along[:, best].sort()
    # The first threshold lies as far below the first point as points lie apart in the mean.
    step = (z[-1] - z[0]) / max(len(z) - 1, 1)
    thresholds = torch.cat([z[:1] - (step if step > 0 else 1.0), z[:-1]])
    y = targets[order]
    slopes = torch.diff(y, prepend=y.new_zeros(1)) / (z - thresholds)
    weights = torch.diff(slopes, prepend=slopes.new_zeros(1))
    direction = draws[:, best] / draws[:, best].norm()
    found = FittingNetwork(direction, thresholds, weights)
    with torch.no_grad():
        off = (found(points) - targets).abs().max()
    if not off <= _EXACT * max(1.0, float(targets.abs().max())):  # NaN too, of points that coincide
        msg = (
            f"fitting_network needs {len(points):,} different inputs, which float64 can tell apart along a random "
            f"direction; the nearest two are {float(gaps.amin(0).max()):.3g} apart. Leave out copies of an example, or "
            "try another seed."
        )
        raise DataError(msg)
    return found
