"""Layer norm and RMS norm on kernels: every input's features u become inverse (u - center).

With many channels the statistics of a norm are the moments that are carried anyway: the second moments q and, after
a nonlinearity, the means m, both of shape (n, *S). Distances are those of `spatial`; q and m in float64 keep the
digits of distances in float32.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.ntk.spatial import beside, inputs_of

__all__ = ["Norm", "affine_terms", "fixed_norm", "layer_norm", "normalized", "normalized_tangent", "rms_norm"]


@dataclass(frozen=True)
class Norm:
    """What a norm does to each input, and the moments before it.

    Args:
        inverse: one over the standard deviation, (n, *S).
        center: what is subtracted, (n, *S).
        q: second moments before the norm, (n, *S).
        mean: means before the norm, (n, *S).

    >>> import torch
    >>> from thalweg.ntk.normalization import layer_norm
    >>> norm = layer_norm(torch.tensor([[4.0]]), torch.tensor([[0.0]]), eps=0.0)
    >>> norm.inverse, norm.normalized_q, norm.normalized_mean
    (tensor([[0.5000]]), tensor([[1.]]), tensor([[0.]]))
    """

    inverse: Tensor
    center: Tensor
    q: Tensor
    mean: Tensor

    @property
    def centered_q(self) -> Tensor:
        """Second moments of u - center."""
        return (self.q - 2 * self.mean * self.center + self.center**2).clamp(min=0)

    @property
    def normalized_q(self) -> Tensor:
        """Second moments after the norm, (n, *S)."""
        return self.inverse**2 * self.centered_q

    @property
    def normalized_mean(self) -> Tensor:
        """Means after the norm, (n, *S)."""
        return self.inverse * (self.mean - self.center)


def layer_norm(q: Tensor, mean: Tensor | None = None, *, eps: float, positions: bool = False) -> Norm:
    """Layer norm over the channels, or over channels and positions, as also one group of group norm takes it.

    Args:
        q: second moments, (n, *S).
        mean: means, (n, *S); None before a nonlinearity, where they are 0.
        eps: added to the variance.
        positions: whether the statistics are those of all positions together.

    >>> import torch
    >>> from thalweg.ntk.normalization import layer_norm
    >>> layer_norm(torch.tensor([[1.0, 7.0]]), eps=0.0, positions=True).inverse
    tensor([[0.5000, 0.5000]])
    """
    mean = torch.zeros_like(q) if mean is None else mean
    center = _over_positions(mean) if positions else mean
    second = _over_positions(q) if positions else q
    return Norm(_inverse(second - center**2, eps), center, q, mean)


def rms_norm(q: Tensor, mean: Tensor | None = None, *, eps: float, positions: bool = False) -> Norm:
    """RMS norm: as `layer_norm`, without the mean.

    >>> import torch
    >>> from thalweg.ntk.normalization import rms_norm
    >>> rms_norm(torch.tensor([[4.0]]), torch.tensor([[1.0]]), eps=0.0).normalized_mean
    tensor([[0.5000]])
    """
    mean = torch.zeros_like(q) if mean is None else mean
    second = _over_positions(q) if positions else q
    return Norm(_inverse(second, eps), torch.zeros_like(q), q, mean)


def fixed_norm(q: Tensor, mean: Tensor | None = None, *, eps: float) -> Norm:
    """Batch norm that reads its fresh statistics, mean 0 and variance 1: the factor 1 / sqrt(1 + eps).

    >>> import torch
    >>> from thalweg.ntk.normalization import fixed_norm
    >>> fixed_norm(torch.tensor([[4.0]]), eps=3.0).normalized_q
    tensor([[1.]])
    """
    mean = torch.zeros_like(q) if mean is None else mean
    return Norm(_inverse(torch.ones_like(q), eps), torch.zeros_like(q), q, mean)


def normalized(distance: Tensor, norm: Norm, other: Norm, *, full: bool) -> Tensor:
    """Distances after a norm, from those before it.

        D_c   = D - (m - m') (c - c') + (c - c')^2 / 2                       of u - c and v - c'
        D_out = a b D_c + (a - b) ((a + b) (q_c - q_c') + (a - b) (q_c + q_c')) / 4

    with the inverse standard deviations a, b and the second moments q_c of what is centered.

    Args:
        distance: (n1, n2, *S, *S) if full, (n1, n2, *S) if not; or an own block, (n, *S, *S).
        norm: of the first inputs; `other`: of the second.
        full: whether the block has both positions.

    Returns:
        A new block. The covariance after the norm is (q + q') / 2 - D_out of `normalized_q`.

    >>> import torch
    >>> from thalweg.ntk.normalization import layer_norm, normalized
    >>> q, other = torch.tensor([[1.0]]), torch.tensor([[4.0]])  # v = 2 u: nothing is left between them
    >>> norms = layer_norm(q, eps=0.0), layer_norm(other, eps=0.0)
    >>> normalized(torch.tensor([[[0.5]]]), *norms, full=False)
    tensor([[[0.]]])
    """
    axes = norm.q.dim() - 1
    inputs = inputs_of(distance, axes, full)

    def both(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return beside(first, second, inputs=inputs, axes=axes, full=full)

    a, b = both(norm.inverse, other.inverse)
    m, m_other = both(norm.mean, other.mean)
    c, c_other = both(norm.center, other.center)
    q, q_other = both(norm.centered_q, other.centered_q)
    moved = c - c_other
    centered = moved * (moved / 2 - (m - m_other))
    gap = a - b
    stretched = gap * ((a + b) * (q - q_other) + gap * (q + q_other)) / 4
    return ((distance + centered) * (a * b) + stretched).to(distance).clamp_(min=0)


def normalized_tangent(tangent: Tensor, norm: Norm, other: Norm, *, full: bool) -> Tensor:
    """Tangent kernels after a norm, a b Theta, without the terms of a trained gain and shift (`affine_terms`).

    The derivatives of the statistics vanish with many channels. Arguments as of `normalized`.

    >>> import torch
    >>> from thalweg.ntk.normalization import layer_norm, normalized_tangent
    >>> norm = layer_norm(torch.tensor([[4.0]]), eps=0.0)
    >>> normalized_tangent(torch.tensor([[[1.0]]]), norm, norm, full=False)
    tensor([[[0.2500]]])
    """
    axes = norm.q.dim() - 1
    inputs = inputs_of(tangent, axes, full)
    a, b = beside(norm.inverse, other.inverse, inputs=inputs, axes=axes, full=full)
    return (tangent * (a * b)).to(tangent)


def affine_terms(
    covariance: Tensor, axes: int, *, full: bool, gain: float = 1.0, shift: float = 1.0, per_position: bool = False
) -> Tensor:
    """What a trained gain (at 1) and shift (at 0) add to the tangent kernel: gain K + shift, K after the norm.

    Args:
        covariance: K after the norm and before gain and shift, a block.
        axes: spatial axes.
        full: whether the block has both positions.
        gain: 1 if the gain is trained, 0 if not; `shift` likewise.
        per_position: whether every position has its own gain and shift: then they add at equal positions only.

    >>> import torch
    >>> from thalweg.ntk.normalization import affine_terms
    >>> affine_terms(torch.full((1, 1, 2, 2), 0.5), axes=1, full=True, per_position=True)
    tensor([[[[1.5000, 0.0000],
              [0.0000, 1.5000]]]])
    """
    terms = gain * covariance + shift
    if not (full and per_position):
        return terms
    sizes = covariance.shape[covariance.dim() - axes :]
    equal = torch.eye(sizes.numel(), dtype=covariance.dtype, device=covariance.device)
    return terms * equal.reshape(*sizes, *sizes)


def _over_positions(moments: Tensor) -> Tensor:
    """The mean over positions, at every position."""
    return moments.mean(tuple(range(1, moments.dim())), keepdim=True).expand_as(moments)


def _inverse(variance: Tensor, eps: float) -> Tensor:
    """One over the standard deviation; of a constant without `eps` a finite number, so that it is mapped to 0."""
    return (variance + eps).clamp(min=torch.finfo(variance.dtype).tiny).rsqrt()
