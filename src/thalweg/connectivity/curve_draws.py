"""Where on a curve the loss is taken at a step: values of t, and the weights of the control points there."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.connectivity.curve import Basis
from thalweg.randomness import generator

_BLOCK = 512  # steps whose t are drawn together


def stratified(u: Float[Tensor, "... draws"]) -> Float[Tensor, "... draws"]:
    """t_i = (i + u) / draws: one point in each of as many equal pieces, all at the same place of their piece."""
    draws = u.shape[-1]
    return (torch.arange(draws) + u[..., :1]) / draws


def antithetic(u: Float[Tensor, "... draws"]) -> Float[Tensor, "... draws"]:
    """t_i = (i + u_i) / draws in the first half of the curve, and 1 - t_i in mirror image; draws are even."""
    draws = u.shape[-1]
    half = (torch.arange(draws // 2) + u[..., : draws // 2]) / draws
    return torch.cat([half, 1 - half], dim=-1)


def uniform(u: Float[Tensor, "... draws"]) -> Float[Tensor, "... draws"]:
    """t_i = u_i, independent of one another."""
    return u


SAMPLINGS = {"stratified": stratified, "antithetic": antithetic, "uniform": uniform}


class Draws:
    """The weights of the control points at the points of a step, of each path by the stream (seed, "t on a curve").

    Args:
        seeds: of each path.
        draws: points a step and path.
        sampling: one of `SAMPLINGS`.
        basis, controls: the weights of so many control points at given t.
    """

    def __init__(self, seeds: Sequence[int], draws: int, sampling: str, basis: Basis, controls: int) -> None:
        self._seeds, self._draws, self._sampling = list(seeds), draws, SAMPLINGS[sampling]
        self._basis, self._controls = basis, controls
        self._block, self._weights = -1, torch.empty(0)

    def __call__(self, step: int) -> Float[Tensor, "paths draws controls"]:
        """The weights at a step."""
        block, within = divmod(step, _BLOCK)
        if block != self._block:
            drawn = {seed: self._drawn(seed, block) for seed in set(self._seeds)}
            t = torch.stack([drawn[seed] for seed in self._seeds], dim=1)
            self._block, self._weights = block, self._basis(self._sampling(t), self._controls)
        return self._weights[within]

    def _drawn(self, seed: int, block: int) -> Float[Tensor, "steps draws"]:
        stream = generator(seed, "t on a curve", block)
        return torch.rand(_BLOCK, self._draws, generator=stream, dtype=torch.float64)
