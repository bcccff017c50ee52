"""Norms on kernels, against torch's norms of features: the moments of finitely many channels are exact."""

import pytest
import torch
import torch.nn.functional as F
from features_at_positions import distances, gram, random_values, second_moments
from torch import Tensor

from thalweg.ntk.normalization import (
    Norm,
    affine_terms,
    fixed_norm,
    layer_norm,
    normalized,
    normalized_tangent,
    rms_norm,
)
from thalweg.ntk.spatial import diagonal

SIZES, EPS = (3, 2), 0.1
KINDS = ["layer", "layer over positions", "rms", "rms over positions", "fixed"]


def features(seed: int) -> Tensor:
    """With means, which differ between inputs and positions."""
    values = random_values(2, SIZES, seed)
    return values * (1 + seed) + 0.3 * values[..., :1]


def norm_of(kind: str, values: Tensor) -> Norm:
    q, mean = second_moments(values), values.mean(-1)
    positions = "positions" in kind
    if kind.startswith("layer"):
        return layer_norm(q, mean, eps=EPS, positions=positions)
    return rms_norm(q, mean, eps=EPS, positions=positions) if kind.startswith("rms") else fixed_norm(q, mean, eps=EPS)


def norm_by_torch(kind: str, values: Tensor) -> Tensor:
    over = values.shape[1:] if "positions" in kind else values.shape[-1:]
    if kind.startswith("layer"):
        return F.layer_norm(values, over, eps=EPS)
    if kind.startswith("rms"):
        return F.rms_norm(values, over, eps=EPS)
    channels = torch.nn.BatchNorm1d(values.shape[-1], eps=EPS).double().eval()
    return channels(values.flatten(1, 2).mT).mT.reshape(values.shape).detach()


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_norm_of_features(kind):
    x, y = features(0), features(1)
    u, v = norm_by_torch(kind, x), norm_by_torch(kind, y)
    norm, other = norm_of(kind, x), norm_of(kind, y)
    torch.testing.assert_close(norm.normalized_q, second_moments(u), rtol=0, atol=1e-12)
    torch.testing.assert_close(norm.normalized_mean, u.mean(-1), rtol=0, atol=1e-12)
    found = normalized(distances(x, y), norm, other, full=True)
    torch.testing.assert_close(found, distances(u, v), rtol=0, atol=1e-12)
    equal = normalized(diagonal(distances(x, y), 2), norm, other, full=False)
    torch.testing.assert_close(equal, diagonal(found, 2), rtol=0, atol=1e-12)
    own = torch.stack([distances(one[None], one[None])[0, 0] for one in x])
    truth = torch.stack([distances(one[None], one[None])[0, 0] for one in u])
    torch.testing.assert_close(normalized(own, norm, norm, full=True), truth, rtol=0, atol=1e-12)


def test_group_norm_of_one_group_is_the_norm_over_positions():
    x = features(0)
    by_torch = F.group_norm(x.movedim(-1, 1), 1, eps=EPS).movedim(1, -1)
    torch.testing.assert_close(norm_of("layer over positions", x).normalized_q, second_moments(by_torch))


@pytest.mark.parametrize("kind", KINDS)
def test_tangent_kernel_is_scaled_as_the_covariance(kind):
    """Where nothing is centered, the covariance of what is scaled is that of the tangent kernel."""
    x, y = (one - one.mean(-1, keepdim=True) for one in (features(0), features(1)))
    u, v = norm_by_torch(kind, x), norm_by_torch(kind, y)
    norm, other = norm_of(kind, x), norm_of(kind, y)
    found = normalized_tangent(gram(x, y), norm, other, full=True)
    torch.testing.assert_close(found, gram(u, v), rtol=0, atol=1e-12)
    equal = normalized_tangent(diagonal(gram(x, y), 2), norm, other, full=False)
    torch.testing.assert_close(equal, diagonal(found, 2), rtol=0, atol=1e-12)


def test_before_a_nonlinearity_means_are_zero():
    q = torch.rand(2, 4, dtype=torch.float64)
    assert torch.equal(layer_norm(q, eps=EPS).inverse, rms_norm(q, eps=EPS).inverse)
    assert not layer_norm(q, eps=EPS).normalized_mean.any()


@pytest.mark.parametrize("per_position", [False, True])
def test_trained_gain_and_shift(per_position):
    """Against the Gram matrix of gradients by autograd, of outputs that read each channel with weight +- 1."""
    x, y = features(0)[:, :, 0], features(1)[:, :, 0]
    u, v = (F.layer_norm(one, one.shape[-1:], eps=EPS) for one in (x, y))
    shape = u.shape[1:] if per_position else u.shape[-1:]
    gain = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    signs = torch.tensor([1.0, -1, -1, 1, -1, 1, 1], dtype=torch.float64)

    def gradients(values: Tensor) -> Tensor:
        rows = []
        for output in ((gain * values + shift) @ signs / len(signs) ** 0.5).flatten():
            rows.append(
                torch.cat([one.flatten() for one in torch.autograd.grad(output, (gain, shift), retain_graph=True)])
            )
        return torch.stack(rows).reshape(*values.shape[:2], -1)

    truth = torch.einsum("apg,bqg->abpq", gradients(u), gradients(v))
    found = affine_terms(gram(u, v), 1, full=True, per_position=per_position)
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-12)
    equal = affine_terms(diagonal(gram(u, v), 1), 1, full=False, per_position=per_position)
    torch.testing.assert_close(equal, diagonal(truth, 1), rtol=0, atol=1e-12)
    assert not affine_terms(gram(u, v), 1, full=True, gain=0.0, shift=0.0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_distance_keeps_its_digits_in_float32(kind):
    """Inputs 1e-4 apart, also in length: moments in float64 and distances in float32 are right to 3e-6."""
    x = features(0)
    y = 1.0001 * x + 1e-4 * features(1)
    truth = diagonal(distances(norm_by_torch(kind, x), norm_by_torch(kind, y)), 2)
    found = normalized(diagonal(distances(x, y), 2).float(), norm_of(kind, x), norm_of(kind, y), full=False)
    assert found.dtype == torch.float32
    assert ((found.double() - truth) / truth).abs().max() < 3e-6


def test_constant_features_are_mapped_to_zero():
    norm = layer_norm(torch.ones(1, 2), torch.ones(1, 2), eps=0.0)
    assert bool(norm.inverse.isfinite().all())
    assert not norm.normalized_q.any()
