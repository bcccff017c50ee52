"""The highest points within a ball or a box, by projected gradient ascent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.curvature.neighborhood import Array, Neighborhood, Vectors
from thalweg.errors import check_count
from thalweg.optim.inplace import norms
from thalweg.randomness import generator

_MOMENTUM, _GROWTH = 0.75, 1.5
_LATE, _SETTLED = 4, 0.01  # the last of as many parts of an ascent may add at most this share of its climb


@dataclass(frozen=True, eq=False)
class Region:
    """A set of u to climb in.

    Args:
        steepest: the step of length 1 that rises most along a gradient.
        nearest: the nearest u within a radius.
    """

    steepest: Callable[[Vectors], Vectors]
    nearest: Callable[[Vectors, float], Vectors]


BALL = Region(
    lambda gradient: gradient / norms(gradient).clamp_min(torch.finfo(gradient.dtype).tiny),
    lambda u, radius: u * (radius / norms(u)).clamp_max(1),
)
BOX = Region(torch.sign, lambda u, radius: u.clamp(-radius, radius))


@dataclass(frozen=True, eq=False)
class Highest:
    """What all ascents found: (members, radii) each.

    Args:
        rises: of the loss; NaN where a member is not finite.
        converged: whether the last quarter of the steps of the best ascent added at most 1 % of its climb.
    """

    rises: Array
    converged: NDArray[np.bool_]


def highest(near: Neighborhood, region: Region, radii: Sequence[float], steps: int, restarts: int) -> Highest:
    """The greatest rises of the loss that are found; what is found in a smaller region counts in a larger one."""
    check_count(f"{near.verb} steps", steps)
    check_count(f"{near.verb} restarts", restarts)
    rises = np.zeros((len(near.theta), len(radii)))
    converged = np.zeros(rises.shape, dtype=bool)
    for number, (place, restart) in enumerate(np.ndindex(len(radii), restarts)):

        def tell(step: int, number: int = number) -> None:
            near.tell(f"{near.verb}, steps of ascents", number * steps + step, len(radii) * restarts * steps)

        u, settled = _ascended(near, region, radii[place], steps, restart, tell)
        found = near.losses(u) - near.loss
        better = (found > rises[:, place]) | (restart == 0)
        converged[:, place] = np.where(better, settled, converged[:, place])
        rises[:, place] = np.fmax(rises[:, place], found)
    order = np.argsort(radii)
    for smaller, larger in pairwise(order):
        short = rises[:, larger] < rises[:, smaller]  # then its own ascents have not come as high as they could
        converged[:, larger] &= ~short
        rises[:, larger] = np.maximum(rises[:, larger], rises[:, smaller])
    broken = np.isnan(near.loss)[:, None]
    return Highest(np.where(broken, np.nan, rises), converged & ~broken)


def _ascended(
    near: Neighborhood, region: Region, radius: float, steps: int, restart: int, tell: Callable[[int], None]
) -> tuple[Vectors, NDArray[np.bool_]]:
    """The highest point of one ascent, and whether it had settled: (members,)."""
    stream = generator(near.seed, "ascent", restart)
    draw = torch.randn(near.theta.shape[1], generator=stream, dtype=torch.float64)
    start = radius * region.steepest(draw.to(near.theta) * (near.scale != 0))
    u = torch.zeros_like(start) if restart == 0 else start
    value, gradient = near.gradient(u)
    lost = ~((gradient != 0).any(1, keepdim=True) & gradient.isfinite().all(1, keepdim=True))
    if restart == 0 and lost.any():
        u = torch.where(lost, start, u)
        value, gradient = near.gradient(u)
    before, eta, first, late = u, torch.full_like(value, 2 * radius).to(u), value, value
    for step in range(steps):
        if step == steps - max(1, steps // _LATE):
            late = value
        stepped = region.nearest(u + eta * region.steepest(gradient), radius)
        trial = region.nearest(stepped + _MOMENTUM * (u - before), radius)
        new, following = near.gradient(trial)
        higher = (new > value) & new.isfinite()
        before, u = u, torch.where(higher, trial, u)  # where it is not higher, momentum is zero
        value, gradient = torch.where(higher, new, value), torch.where(higher, following, gradient)
        eta = torch.where(higher, _GROWTH * eta, eta / 2)
        tell(step + 1)
    return u, (value - late <= _SETTLED * (value - first))[:, 0].cpu().numpy()
