"""The angle between two Gaussians, from their distance, with all its digits where they nearly coincide."""

import math
from typing import Any

import torch
from torch import Tensor

from thalweg.ntk.dual.distances import length, ratio

SMALL = {torch.float32: 0.3, torch.float64: 0.15}  # angles below which sin t - t cos t has lost digits
SERIES = (1 / 3, 1 / 30, 1 / 840, 1 / 45360, 1 / 3991680, 1 / 518918400)  # of it over t^3, with alternating signs
TERMS = {torch.float32: 3, torch.float64: 6}


def arc(q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """The angle t and sqrt(q q') (sin t - t cos t), of the distance's dtype; t = pi / 2 where q or q' is zero.

    1 - cos t = (D - (sqrt(q) - sqrt(q'))^2 / 2) / sqrt(q q'), and t = 2 atan(sqrt((1 - cos t) / (1 + cos t))).
    """
    if torch.is_grad_enabled() and any(one.requires_grad for one in (q, other, distance)):
        return _Arc.apply(q, other, distance)  # type: ignore[return-value]
    return _arc(q, other, distance)


def _arc(q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Both in few passes, in place on what was made here."""
    x, y = (one.clamp_min(0).sqrt().to(distance.dtype) for one in (q, other))
    lengths, versine = x * y, x - y
    if versine.shape != distance.shape:
        lengths, versine, distance = torch.broadcast_tensors(lengths, versine, distance)
        versine = versine.clone()
    torch.addcmul(distance, versine, versine, value=-0.5, out=versine).div_(lengths).clamp_(0.0, 2.0)
    if any(bool((one <= 0).any()) for one in (q, other)):  # rare, and dear to look for in every pair
        versine.masked_fill_(lengths == 0, 1.0)
    low, high = versine.sqrt(), torch.rsub(versine, 2.0).sqrt_()
    angle = torch.atan2(low, high).mul_(2.0)
    lost = low.mul_(high).addcmul_(angle, versine.sub_(1.0))  # sin t - t cos t
    if angle.numel() and float(angle.amin()) < SMALL[angle.dtype]:
        lost = torch.where(angle < SMALL[angle.dtype], _series(angle), lost)
    return angle, lost.mul_(lengths)


def _series(angle: Tensor) -> Tensor:
    """Sin t - t cos t = t^3 / 3 - t^5 / 30 + ..., of small angles."""
    square = angle * angle
    *higher, last = SERIES[: TERMS[angle.dtype]]
    total = torch.full_like(angle, last)
    for term in reversed(higher):
        total.mul_(square).neg_().add_(term)
    return total.mul_(square).mul_(angle)


class _Arc(torch.autograd.Function):
    """Both with gradients that stay finite: zero takes the place of what is infinite at t = 0 and t = pi."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        angle, lost = _arc(q, other, distance)
        ctx.save_for_backward(q, other, distance, angle)
        return angle, lost

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """With K = (q + q') / 2 - D: dt / dD = 1 / (sqrt(q q') sin t), d lost / dD = t."""
        q, other, distance, angle = ctx.saved_tensors
        of_angle, of_lost = gradients
        x, y = length(q), length(other)
        sine = angle.sin()
        straight = angle > math.pi - torch.finfo(angle.dtype).eps ** 0.5  # the sine of it is rounding
        steep = of_angle * ratio(1.0, (x * y * sine).masked_fill(straight, 0.0))
        of_q = [
            -0.5 * (steep * ratio(distance + (a - b) / 2, a) + of_lost * (angle - sine * ratio(c, d)))
            for a, b, c, d in ((q, other, y, x), (other, q, x, y))
        ]
        of_distance = steep + of_lost * angle
        shapes = (q, other, distance)
        return tuple(g.to(o.dtype).sum_to_size(o.shape) for g, o in zip((*of_q, of_distance), shapes, strict=True))
