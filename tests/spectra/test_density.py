"""Spectral densities: moments, known laws, mass where eigenvalues are."""

import numpy as np
import pytest
import torch
from spectra.planted import matrix_of, members_of, operator_of, with_nan

from thalweg.errors import UsageError
from thalweg.randomness import generator
from thalweg.spectra import density, from_matrix


def test_a_probe_has_the_first_moments_of_its_own_vector() -> None:
    """v^T A^k v for k up to 2 steps - 1, exactly: what makes it a quadrature of Gauss's."""
    matrix, steps = matrix_of(np.linspace(-1, 1.5, 50)), 6
    A = from_matrix(matrix)
    found = density(A, steps=steps, probes=2, seed=4)
    for probe in range(2):
        v = torch.randn(50, generator=generator(4, "spectrum", probe), dtype=torch.float64)
        v, power = v / v.norm(), v / v.norm()
        for order in range(2 * steps):
            got = (found.weights[0, probe] * found.nodes[0, probe] ** order).sum()
            assert got == pytest.approx(float(v @ power), abs=1e-10)
            power = matrix @ power


def test_moments_are_those_of_the_spectrum_within_their_errors() -> None:
    values = np.linspace(-1, 2, 200)
    A = operator_of(values)
    found = density(A, steps=20, probes=30)
    for order in (0, 1, 2, 3):
        moment = found.moment(order)
        assert abs(moment.mean[0] - (values**order).mean()) <= 4 * moment.standard_error[0] + 1e-12


def test_marchenko_and_pasturs_law() -> None:
    """The covariance of 600 Gaussian features over 1,800 examples: a sup distance below 0.02."""
    n, d = 1_800, 600
    x = torch.randn(n, d, generator=generator(0, "inputs"), dtype=torch.float64)
    found = density(from_matrix(x.T @ x / n), steps=80, probes=12)
    ratio = d / n
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    at = np.linspace(low, high, 2_001)
    law = np.sqrt((high - at) * (at - low)) / (2 * np.pi * ratio * at)
    wanted = np.concatenate([[0], np.cumsum((law[1:] + law[:-1]) / 2 * np.diff(at))])
    assert np.abs(found.cumulative(at).mean[0] - wanted).max() < 0.02


def test_a_matrix_without_full_rank_has_its_mass_at_zero() -> None:
    values = np.concatenate([np.zeros(70), np.linspace(1, 2, 30)])
    A = operator_of(values)
    found = density(A, steps=40, probes=40)
    share = found.cumulative([-0.5, 0.5, 3.0])
    assert share.mean[0, 0] == pytest.approx(0, abs=1e-12)
    assert abs(share.mean[0, 1] - 0.7) <= 4 * share.standard_error[0, 1]
    assert share.mean[0, 2] == pytest.approx(1, abs=1e-12)


def test_repeated_eigenvalues_end_a_probe_early_and_keep_their_weight() -> None:
    A = operator_of(np.array([1.0] * 6 + [3.0] * 4))
    found = density(A, steps=30, probes=60)
    assert np.nansum(found.weights, axis=2) == pytest.approx(1)
    share = found.cumulative([2.0])
    assert abs(share.mean[0, 0] - 0.6) <= 4 * share.standard_error[0, 0]


def test_members_are_those_alone_and_a_density_integrates_to_one() -> None:
    matrices = members_of(members=2)
    A = from_matrix(matrices)
    found, alone = density(A, steps=43, probes=3), density(A[1], steps=43, probes=3)
    assert found.moment(3).mean[1] == pytest.approx(alone.moment(3).mean[0], rel=1e-9)
    exact = np.linalg.eigvalsh(matrices[1].numpy())
    assert np.nanmax(found.nodes[1]) == pytest.approx(exact.max(), rel=1e-8)
    at = np.linspace(exact.min() - 1, exact.max() + 1, 4_001)
    smooth = found.smoothed(at, 0.05)
    assert np.trapezoid(smooth.mean[0], at) == pytest.approx(1, abs=1e-6)
    assert smooth.mean.shape == smooth.standard_error.shape == (2, 4_001)
    figure = found.figure(1)
    assert figure.panels[0].y.scale == "log"
    assert found.reading.cost.hvps == 2 * 3 * 43
    assert found["active"].tolist() == [43, 43]


def test_a_member_that_is_not_finite_is_nan_and_leaves_the_others() -> None:
    """Neither has one without active entries a spectrum."""
    A = from_matrix(members_of())
    pruned = A.block(torch.arange(3)[:, None] != torch.ones(43))
    assert np.isnan(density(pruned, steps=4).moment(0).mean).tolist() == [False, True, False]
    found, alone = density(from_matrix(with_nan(members_of())), steps=8), density(A, steps=8)
    at = np.linspace(-1, 3, 5)
    for estimate in (found.moment(0), found.moment(2), found.cumulative(at), found.smoothed(at, 0.1)):
        for values in (estimate.mean, estimate.standard_error):
            assert np.isnan(values[1]).all()
            assert np.isfinite(values[[0, 2]]).all()
    np.testing.assert_allclose(found.moment(2).mean[[0, 2]], alone.moment(2).mean[[0, 2]], rtol=1e-9)
    with pytest.raises(UsageError, match="Member 1 is not finite, so it has no spectrum"):
        found.figure(1)
    with pytest.raises(UsageError, match=r"There is no member 3; the density has 3 \(0 to 2\)"):
        found.figure(3)


@pytest.mark.parametrize("probes", [2, 4])
def test_bands_hold_what_they_say(probes: int) -> None:
    """The density where half of the eigenvalues are, as a figure draws it, over 120 seeds: to three standard errors."""
    values = np.concatenate([np.linspace(0.48, 0.52, 15), np.linspace(-1, 2, 15)])
    A = operator_of(values)
    width = 0.02 * 3
    held = []
    for seed in range(120):
        line = density(A, steps=30, probes=probes, seed=seed).figure().panels[0].marks[0]
        place = int(np.argmin(np.abs(np.asarray(line.x) - 0.5)))
        exact = np.exp(-(((line.x[place] - values) / width) ** 2) / 2).mean() / (width * (2 * np.pi) ** 0.5)
        held.append(line.low[place] <= exact <= line.high[place])
    assert abs(np.mean(held) - 0.95) <= 3 * (0.05 * 0.95 / 120) ** 0.5


def test_what_cannot_be_meant() -> None:
    A = from_matrix(members_of())
    with pytest.raises(UsageError, match="density steps must be a whole number of at least 1; got 0"):
        density(A, steps=0)
    with pytest.raises(UsageError, match=r"density seed must be a whole number such as 0; got 1.5"):
        density(A, seed=1.5)
    found = density(A, steps=3, probes=1)
    assert np.isnan(found.moment(1).standard_error).all()
    with pytest.raises(UsageError, match="smoothed width must be above 0; got 0"):
        found.smoothed(np.zeros(2), 0)


def test_a_density_is_drawn_where_numpy_raises_at_underflow() -> None:
    found = density(operator_of(np.linspace(-1, 2, 40)), steps=6, probes=2)
    with np.errstate(all="raise"):
        assert found.figure().title == "spectral density of the matrix"
