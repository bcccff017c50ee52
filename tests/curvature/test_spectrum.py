"""Spectral densities: moments, known laws, mass where eigenvalues are."""

import numpy as np
import pytest
import torch
from cases import CASE
from curvature.planted import matrix_of, of_matrix, quadratic
from torch import nn

import thalweg as tw
from thalweg.curvature import Operator, spectrum
from thalweg.errors import UsageError
from thalweg.randomness import generator


def test_a_probe_has_the_first_moments_of_its_own_vector() -> None:
    """v^T A^k v for k up to 2 steps - 1, exactly: what makes it a quadrature of Gauss's."""
    matrix, steps = matrix_of(np.linspace(-1, 1.5, 50)), 6
    problem = of_matrix(matrix)
    found = spectrum(problem, problem.initialize(1), steps=steps, probes=2, seed=4)
    for probe in range(2):
        v = torch.randn(50, generator=generator(4, "spectrum", probe), dtype=torch.float64)
        v, power = v / v.norm(), v / v.norm()
        for order in range(2 * steps):
            got = (found.weights[0, probe] * found.nodes[0, probe] ** order).sum()
            assert got == pytest.approx(float(v @ power), abs=1e-10)
            power = matrix @ power


def test_moments_are_those_of_the_spectrum_within_their_errors() -> None:
    values = np.linspace(-1, 2, 200)
    problem = quadratic(values)
    found = spectrum(problem, problem.initialize(1), steps=20, probes=30)
    for order in (0, 1, 2, 3):
        mean, error = found.moment(order)
        assert abs(mean[0] - (values**order).mean()) <= 4 * error[0] + 1e-12


def test_marchenko_and_pasturs_law() -> None:
    """The Hessian of a linear model on Gaussian inputs, 600 features and 1,800 examples: a sup distance below 0.02."""
    n, d = 1_800, 600
    x = torch.randn(n, d, generator=generator(0, "inputs"), dtype=torch.float64)
    problem = tw.Problem(lambda: nn.Linear(d, 1, bias=False), (x, x[:, :1]), "squared_error", dtype=torch.float64)
    found = spectrum(problem, problem.initialize(1), steps=80, probes=12)
    ratio = d / n
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    at = np.linspace(low, high, 2_001)
    law = np.sqrt((high - at) * (at - low)) / (2 * np.pi * ratio * at)
    wanted = np.concatenate([[0], np.cumsum((law[1:] + law[:-1]) / 2 * np.diff(at))])
    got, _ = found.cumulative(2 * at)  # the Hessian of a squared error is 2 X^T X / n
    assert np.abs(got[0] - wanted).max() < 0.02


def test_a_matrix_without_full_rank_has_its_mass_at_zero() -> None:
    values = np.concatenate([np.zeros(70), np.linspace(1, 2, 30)])
    problem = quadratic(values)
    found = spectrum(problem, problem.initialize(1), steps=40, probes=40)
    mean, error = found.cumulative(np.array([-0.5, 0.5, 3.0]))
    assert mean[0, 0] == pytest.approx(0, abs=1e-12)
    assert abs(mean[0, 1] - 0.7) <= 4 * error[0, 1]
    assert mean[0, 2] == pytest.approx(1, abs=1e-12)


def test_repeated_eigenvalues_end_a_probe_early_and_keep_their_weight() -> None:
    problem = quadratic(np.array([1.0] * 6 + [3.0] * 4))
    found = spectrum(problem, problem.initialize(1), steps=30, probes=60)
    assert np.nansum(found.weights, axis=2) == pytest.approx(1)
    mean, error = found.cumulative(np.array([2.0]))
    assert abs(mean[0, 0] - 0.6) <= 4 * error[0, 0]


def test_members_are_those_alone_and_a_density_integrates_to_one() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(2)
    found = spectrum(problem, population, steps=43, probes=3)
    alone = spectrum(problem, population[1], steps=43, probes=3)
    order = 3
    assert found.moment(order)[0][1] == pytest.approx(alone.moment(order)[0][0], rel=1e-9)
    operator = Operator(problem, population[1])
    dense = torch.cat([operator(row[None]) for row in torch.eye(43, dtype=torch.float64)])
    exact = np.linalg.eigvalsh(((dense + dense.T) / 2).numpy())
    assert np.nanmax(found.nodes[1]) == pytest.approx(exact.max(), rel=1e-8)
    at = np.linspace(exact.min() - 1, exact.max() + 1, 4_001)
    density, error = found.density(at, 0.05)
    assert np.trapezoid(density[0], at) == pytest.approx(1, abs=1e-6)
    assert error.shape == density.shape == (2, 4_001)
    figure = found.figure(1)
    assert figure.panels[0].y.scale == "log"
    assert found.reading.cost.hvps == 2 * 3 * 43


def test_a_member_that_is_not_finite_is_nan_and_leaves_the_others() -> None:
    """Neither has one of which nothing lives a spectrum."""
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    theta = population.theta.clone()
    theta[1, 5] = torch.nan
    pruned = population.with_mask(torch.arange(3)[:, None] != torch.ones(43))
    assert np.isnan(spectrum(problem, pruned, steps=4).moment(0)[0]).tolist() == [False, True, False]
    found, alone = (spectrum(problem, where, steps=8) for where in (population.with_theta(theta), population))
    at = np.linspace(-1, 3, 5)
    for values in (*found.moment(0), *found.moment(2), *found.cumulative(at), *found.density(at, 0.1)):
        assert np.isnan(values[1]).all()
        assert np.isfinite(values[[0, 2]]).all()
    np.testing.assert_allclose(found.moment(2)[0][[0, 2]], alone.moment(2)[0][[0, 2]], rtol=1e-9)
    with pytest.raises(UsageError, match="Member 1 is not finite, so it has no spectrum"):
        found.figure(1)
    with pytest.raises(UsageError, match=r"There is no member 3; the spectrum has 3 \(0 to 2\)"):
        found.figure(3)


@pytest.mark.parametrize("probes", [2, 4])
def test_bands_hold_what_they_say(probes: int) -> None:
    """The density where half of the eigenvalues are, as a figure draws it, over 120 seeds: to three standard errors."""
    values = np.concatenate([np.linspace(0.48, 0.52, 15), np.linspace(-1, 2, 15)])
    problem = quadratic(values)
    member, width = problem.initialize(1), 0.02 * 3
    held = []
    for seed in range(120):
        line = spectrum(problem, member, steps=30, probes=probes, seed=seed).figure().panels[0].marks[0]
        place = int(np.argmin(np.abs(np.asarray(line.x) - 0.5)))
        exact = np.exp(-(((line.x[place] - values) / width) ** 2) / 2).mean() / (width * (2 * np.pi) ** 0.5)
        held.append(line.low[place] <= exact <= line.high[place])
    assert abs(np.mean(held) - 0.95) <= 3 * (0.05 * 0.95 / 120) ** 0.5


def test_what_cannot_be_meant() -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match="spectrum steps must be a whole number of at least 1; got 0"):
        spectrum(problem, problem.initialize(1), steps=0)
    with pytest.raises(UsageError, match=r"spectrum seed must be a whole number such as 0; got 1.5"):
        spectrum(problem, problem.initialize(1), seed=1.5)
    found = spectrum(problem, problem.initialize(1), steps=3, probes=1)
    assert np.isnan(found.moment(1)[1]).all()
    with pytest.raises(UsageError, match="density width must be above 0; got 0"):
        found.density(np.zeros(2), 0)
