"""Gaussian processes against dense formulas, brute-force refits and torch's own normal density."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import thalweg as tw

N, TEST, C = 9, 5, 2


def points(seed: int = 0) -> Tensor:
    return torch.randn(N + TEST, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(x: Tensor) -> Tensor:
    return torch.exp(-(torch.cdist(x, x) ** 2) / 2)


def split(whole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return whole[..., :N, :N], whole[..., N:, :N], whole[..., N:, N:]


KERNELS = torch.stack([gaussian(points(0)), gaussian(points(1))])
TARGETS = torch.randn(2, N, C, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_mean_and_covariance_are_those_of_a_joint_normal(noise: float) -> None:
    kernel, cross, own = split(KERNELS)
    found = tw.ntk.posterior(kernel, cross, own, TARGETS, noise=noise)
    for member in range(2):
        inverse = torch.linalg.inv(kernel[member] + noise * torch.eye(N).double())
        mean = cross[member] @ inverse @ TARGETS[member]
        covariance = own[member] - cross[member] @ inverse @ cross[member].T
        np.testing.assert_allclose(found["mean"][member], mean.numpy(), rtol=0, atol=1e-10)
        np.testing.assert_allclose(found["covariance"][member], covariance.numpy(), rtol=0, atol=1e-10)
    assert not found["jitter"].any()
    assert (found["residual"] < 1e-12).all()
    alone = tw.ntk.posterior(kernel, cross, own.diagonal(dim1=1, dim2=2), TARGETS, noise=noise)
    np.testing.assert_allclose(alone["variance"], np.diagonal(found["covariance"], axis1=1, axis2=2), atol=1e-13)
    shared = tw.ntk.posterior(kernel[0], cross[0], own[0], TARGETS, noise=noise)
    assert shared["mean"].shape == (2, TEST, C)
    np.testing.assert_allclose(shared["mean"][0], found["mean"][0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_leave_one_out_is_refitting_without_each(noise: float) -> None:
    kernel, _, _ = split(KERNELS)
    found = tw.ntk.posterior(kernel, None, None, TARGETS, noise=noise)
    for left in range(N):
        rest = [row for row in range(N) if row != left]
        refit = tw.ntk.posterior(
            kernel[:, rest][:, :, rest],
            kernel[:, [left]][:, :, rest],
            kernel[:, [left]][:, :, [left]],
            TARGETS[:, rest],
            noise=noise,
        )
        residual = TARGETS[:, left].numpy() - refit["mean"][:, 0]
        np.testing.assert_allclose(found["leave-one-out residual"][:, left], residual, rtol=0, atol=1e-10)
        variance = refit["covariance"][:, 0, 0] + noise
        np.testing.assert_allclose(found["leave-one-out variance"][:, left], variance, rtol=0, atol=1e-10)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_evidence_is_the_density_of_the_targets(noise: float) -> None:
    kernel, _, _ = split(KERNELS)
    found = tw.ntk.posterior(kernel, None, None, TARGETS, noise=noise)["log marginal likelihood"]
    for member in range(2):
        covariance = kernel[member] + noise * torch.eye(N).double()
        density = torch.distributions.MultivariateNormal(torch.zeros(N).double(), covariance)
        expected = float(density.log_prob(TARGETS[member].T).sum())
        assert found[member] == pytest.approx(expected, rel=1e-10)


def test_gcv_is_that_of_the_smoother() -> None:
    kernel, noise = split(KERNELS)[0], 0.2
    found = tw.ntk.posterior(kernel, None, None, TARGETS, noise=noise)["gcv"]
    for member in range(2):
        off = torch.eye(N).double() - kernel[member] @ torch.linalg.inv(kernel[member] + noise * torch.eye(N).double())
        expected = (off @ TARGETS[member]).square().sum() / N / (off.trace() / N) ** 2
        assert found[member] == pytest.approx(float(expected), rel=1e-9)


def test_a_singular_kernel_is_said_and_gives_numbers() -> None:
    x = points()
    x[3], x[5] = x[0], x[0]
    kernel, cross, own = split(gaussian(x))
    consistent = x[:N].sum(1)
    found = tw.ntk.posterior(torch.stack([kernel, split(KERNELS)[0][0]]), cross, own, consistent)
    assert found["jitter"][0] > 0
    assert found["jitter"][1] == 0
    assert found["residual"][0] < 1e-7
    expected = cross @ torch.linalg.pinv(kernel, rtol=1e-12) @ consistent
    np.testing.assert_allclose(found["mean"][0, :, 0], expected.numpy(), rtol=0, atol=1e-6)
    notes = " ".join(found.reading.notes)
    assert f"rank {N - 2} of {N}" in notes
    assert f"2 of {N} examples have the same features" in notes
    for array in found.reading.arrays.values():
        assert np.isfinite(array).all()
    contradicting = tw.ntk.posterior(kernel, cross, own, torch.arange(N, dtype=torch.float64))
    assert contradicting["residual"][0] > 0.1


def test_effective_rank() -> None:
    for kernel, rank in ((torch.eye(4), 4.0), (torch.ones(4, 4), 1.0), (torch.diag(torch.tensor([2.0, 2, 0, 0])), 2.0)):
        found = tw.ntk.posterior(kernel, None, None, torch.ones(4), noise=1.0)
        assert found["effective rank"][0] == pytest.approx(rank, rel=1e-12)


def test_a_figure_of_leaving_one_out() -> None:
    found = tw.ntk.posterior(split(KERNELS)[0], None, None, TARGETS, noise=0.1)
    scatter = found.figure(member=1).panels[0].marks[1]
    np.testing.assert_allclose(scatter.x, TARGETS[1].ravel())
    np.testing.assert_allclose(scatter.x - scatter.y, found["leave-one-out residual"][1].ravel(), atol=1e-12)
    with pytest.raises(tw.UsageError, match="no member 2"):
        found.figure(member=2)


def linear_prior(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, how far the parameters spread at the start, tangent kernel and prior covariance of all examples."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(N + TEST, 30, generator=draw, dtype=torch.float64)
    spread = torch.rand(30, generator=draw, dtype=torch.float64) + 0.2
    return features, spread, features @ features.T, (features * spread.square()) @ features.T


@pytest.mark.parametrize("time", [0.0, 0.02, math.inf])
def test_the_covariance_of_an_ensemble_is_that_of_trained_members(time: float) -> None:
    """A z-test of every mean and covariance over 6,000 starts, each trained in its parameters."""
    features, spread, tangent, prior = linear_prior(0)
    kernel, cross, _ = split(tangent)
    k, k_cross, k_own = split(prior)
    targets = TARGETS[0, :, 0]
    found = tw.ntk.ensemble(kernel, cross, targets, prior=k, prior_cross=k_cross, prior_own=k_own, time=time)
    starts = 6000
    theta = torch.randn(starts, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * spread
    train = features[:N]
    if math.isinf(time):
        moved = torch.linalg.pinv(train)
    else:  # theta' = -X^T (X theta - y): the part in the rows of X decays
        values, vectors = torch.linalg.eigh(kernel)
        moved = train.T @ vectors @ torch.diag((1 - torch.exp(-values * time)) / values) @ vectors.T
    theta = theta + (targets - theta @ train.T) @ moved.T
    outputs = theta @ features[N:].T
    covariance = torch.tensor(found["covariance"])
    sizes = covariance.diagonal()
    z = (outputs.mean(0) - torch.tensor(found["mean"][:, 0])) / (sizes / starts).sqrt()
    assert z.abs().max() < 4.5
    error = ((sizes[:, None] * sizes + covariance.square()) / starts).sqrt()
    assert ((torch.cov(outputs.T) - covariance) / error).abs().max() < 4.5


def test_an_ensemble_with_the_tangent_kernel_as_its_prior_ends_in_the_posterior() -> None:
    _, _, tangent, prior = linear_prior(3)
    kernel, cross, own = split(tangent)
    given = {"prior": kernel, "prior_cross": cross, "prior_own": own}
    found = tw.ntk.ensemble(kernel, cross, TARGETS[0], **given)
    expected = tw.ntk.posterior(kernel, cross, own, TARGETS[0])
    np.testing.assert_allclose(found["mean"], expected["mean"][0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found["covariance"], expected["covariance"][0], rtol=0, atol=1e-9)
    other = split(prior)
    begun = tw.ntk.ensemble(
        kernel, cross, TARGETS[0], prior=other[0], prior_cross=other[1], prior_own=other[2], time=0.0
    )
    np.testing.assert_allclose(begun["covariance"], other[2].numpy(), rtol=0, atol=1e-12)
    assert not begun["mean"].any()


EYE = torch.eye(3)
WRONG = [
    ({"noise": -1.0}, "noise is a number at least 0"),
    ({"own": torch.eye(2)}, "give cross"),
    ({"cross": torch.ones(2, 3), "own": torch.ones(4)}, r"own is \(2, 2\).*got \(4,\)"),
    ({"kernel": torch.diag(torch.tensor([1.0, 1.0, -1.0]))}, "the smallest of this one is -1"),
    ({"kernel": torch.zeros(3, 3)}, "not 0"),
    ({"kernel": torch.eye(3)[:, :, None, None], "targets": torch.ones(3, 1)}, "blocks of outputs"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_makes_no_sense(change: dict, message: str) -> None:
    given = {"kernel": EYE, "cross": None, "own": None, "targets": torch.ones(3)}
    with pytest.raises(tw.UsageError, match=message):
        tw.ntk.posterior(**{**given, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": torch.stack([EYE, EYE])}, "got members or blocks"),
        ({"cross": torch.ones(1, 3)}, "of the same examples"),
        ({"time": -1.0}, "time is a number of at least 0"),
        ({"prior_own": torch.ones(3)}, r"prior_own is \(2, 2\)"),
    ],
)
def test_ensembles_that_make_no_sense(change: dict, message: str) -> None:
    given = {"kernel": EYE, "cross": torch.ones(2, 3), "targets": torch.ones(3)}
    prior = {"prior": EYE, "prior_cross": torch.ones(2, 3), "prior_own": torch.eye(2)}
    with pytest.raises(tw.UsageError, match=message):
        tw.ntk.ensemble(**{**given, **prior, **change})
