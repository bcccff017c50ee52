"""Integrals of the bivariate normal density over the angle between two Gaussians."""

import functools

import numpy as np
import torch
from torch import Tensor

SHORTEST = 1e-30  # the least squared sine that is divided by
FARTHEST = 60.0  # standard deviations from zero: a knot beyond is never met
LEFT, RIGHT, RATIO, NODES = 11, 9, 4.0, 10  # panels that grow from the ends of [0, 1]: F changes at any scale

Term = tuple[float, Tensor, Tensor]  # a factor and two places, in standard deviations


def turned(angle: Tensor, terms: list[Term]) -> tuple[Tensor, Tensor]:
    """int_0^t F(s) ds and int_0^t F(s) (cos s - cos t) ds / 2 for every angle t.

    F(s) = sum of factor * exp(-(a^2 + b^2 - 2 a b cos s) / (2 sin^2 s)) over the terms (factor, a, b). With
    h = sin^2(s / 2) the exponent is -(a - b)^2 / (8 h (1 - h)) - a b / (2 (1 - h)).
    """
    exponents = [
        (factor, _full(-((a - b) ** 2) / 8, angle), _full(a * b / -2, angle))
        for factor, a, b in ((f, a.clamp(-FARTHEST, FARTHEST), b.clamp(-FARTHEST, FARTHEST)) for f, a, b in terms)
    ]
    followed = torch.is_grad_enabled() and any(one.requires_grad for one in (angle, *exponents[0][1:]))
    return (_followed if followed else _in_place)(angle, exponents)


def _full(value: Tensor, angle: Tensor) -> Tensor:
    """In the angles' shape and type."""
    return value.to(angle.dtype).expand(angle.shape)


def _followed(angle: Tensor, exponents: list[Term]) -> tuple[Tensor, Tensor]:
    """So that autograd can follow."""
    whole, lever, height = torch.zeros_like(angle), torch.zeros_like(angle), torch.sin(angle / 2) ** 2
    for place, weight in _rule():
        inner = torch.sin(angle * (place / 2)) ** 2
        left = (1 - inner).clamp_min(SHORTEST)
        apart, along = 1 / (inner * left).clamp_min(SHORTEST), 1 / left
        for factor, far, near in exponents:
            value = weight * factor * torch.exp(far * apart + near * along)
            whole, lever = whole + value, lever + value * (height - inner)
    return whole * angle, lever * angle


def _in_place(angle: Tensor, exponents: list[Term]) -> tuple[Tensor, Tensor]:
    """The same without new memory."""
    whole, lever, height = torch.zeros_like(angle), torch.zeros_like(angle), torch.sin(angle / 2).square_()
    inner, left, apart, value, total = (torch.empty_like(angle) for _ in range(5))
    for place, weight in _rule():
        torch.mul(angle, place / 2, out=inner).sin_().square_()
        torch.neg(inner, out=left).add_(1.0).clamp_min_(SHORTEST)
        torch.mul(inner, left, out=apart).clamp_min_(SHORTEST).reciprocal_()
        left.reciprocal_()
        total.zero_()
        for factor, far, near in exponents:
            torch.mul(far, apart, out=value).addcmul_(near, left).exp_()
            total.add_(value, alpha=weight * factor)
        whole.add_(total)
        lever.addcmul_(total, torch.sub(height, inner, out=inner))
    return whole.mul_(angle), lever.mul_(angle)


@functools.cache
def _rule() -> list[tuple[float, float]]:
    """Places and weights on [0, 1]."""
    left = [0.5 * RATIO**-power for power in reversed(range(LEFT))]
    edges = np.array([0.0, *left, *(1 - 0.5 * RATIO**-power for power in range(1, RIGHT)), 1.0])
    places, weights = np.polynomial.legendre.leggauss(NODES)
    starts, widths = edges[:-1, None], np.diff(edges)[:, None]
    middle = (starts + widths * (1 + places) / 2).ravel().tolist()
    return list(zip(middle, (widths * weights / 2).ravel().tolist(), strict=True))
