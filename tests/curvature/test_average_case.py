"""Sharpness on average against traces that are known, with errors that cover, those of rounding too."""

import numpy as np
import pytest
import torch
from curvature.planted import away, matrix_of, quadratic

import thalweg as tw
from thalweg.curvature import average_case_sharpness
from thalweg.randomness import generator

INDEFINITE = np.array([-9.0, *np.linspace(-1, 1, 30), 5.0])


def test_gradients_cancel_in_averages() -> None:
    problem = quadratic(np.linspace(0.1, 3, 60))
    member = away(problem, 1)
    found = [
        average_case_sharpness(problem, where, samples=8) for where in (member, member.with_theta(0 * member.theta))
    ]
    np.testing.assert_allclose(found[0]["sharpness"], found[1]["sharpness"], rtol=1e-9)


@pytest.mark.parametrize("samples", [64, 501])
def test_the_average_case_of_a_quadratic_is_its_trace(samples: int) -> None:
    """radius^2 tr A / (2 d), within 4 standard errors, whatever the gradient."""
    spectrum = np.linspace(-1, 2, 80)
    problem, radii = quadratic(spectrum), [0.05, 2.0]
    population = away(problem, 3)
    wanted = np.array(radii) ** 2 * spectrum.sum() / (2 * 80)
    for seed in range(3):
        found = average_case_sharpness(problem, population, radius=radii, samples=samples, seed=seed)
        z = (found["sharpness"] - wanted) / found.reading.standard_errors["sharpness"]
        assert (np.abs(z) < 4).all()
        assert found.reading.cost.forwards == 3 * (2 * 2 * (samples // 2) + 9)


def test_the_adaptive_average_weighs_curvature_by_squares_of_parameters() -> None:
    problem, matrix = quadratic(INDEFINITE), matrix_of(INDEFINITE)
    theta = away(problem, 3).theta.clone()
    theta[:, :4] = 0  # these stay, and d does not count them
    population = problem.initialize(3).with_theta(theta)
    found = average_case_sharpness(problem, population, radius=0.3, adaptive=True, samples=600)
    wanted = 0.09 / (2 * (theta.shape[1] - 4)) * (theta.square() * matrix.diagonal()).sum(1).numpy()
    assert (np.abs(found["sharpness"] - wanted) < 4 * found.reading.standard_errors["sharpness"]).all()


def test_standard_errors_are_what_averages_scatter_by() -> None:
    problem = quadratic(np.linspace(0, 3, 30))
    member = away(problem, 1)
    found = [average_case_sharpness(problem, member, samples=12, seed=seed) for seed in range(150)]
    values = np.array([one["sharpness"][0] for one in found])
    scatter = values.std()
    assert abs(values.mean() - 0.05**2 * 45 / 60) < 4 * scatter / 150**0.5
    assert np.mean([one.reading.standard_errors["sharpness"][0] for one in found]) == pytest.approx(scatter, rel=0.2)


def test_what_rounding_makes_is_within_the_errors() -> None:
    """In a small ball differences in single precision are rounding; that of the loss at theta is in all of them."""
    x = torch.randn(300, 4, generator=generator(0, "x"), dtype=torch.float64)
    exact = tw.Problem(lambda: tw.nets.mlp(4, 30, 3), (x, torch.arange(300) % 3), dtype=torch.float64)
    coarse = tw.Problem(lambda: tw.nets.mlp(4, 30, 3), (x.float(), torch.arange(300) % 3))
    population, radii = coarse.initialize(6), [1e-4, 1e-3, 0.3]
    wanted = average_case_sharpness(exact, population.to(dtype=torch.float64), radius=radii, samples=200)
    distances = []
    for seed in range(4):
        found = average_case_sharpness(coarse, population, radius=radii, samples=40, seed=seed)
        error = np.hypot(found.reading.standard_errors["sharpness"], wanted.reading.standard_errors["sharpness"])
        distances.append(np.abs(found["sharpness"] - wanted["sharpness"]) / error)
        assert (found.reading.standard_errors["sharpness"][:, 0] > 3 * wanted["sharpness"][:, 0]).all()
    assert np.max(distances) < 5  # errors of few samples
    assert np.sqrt(np.mean(np.square(distances))) < 1.6
    assert found.reading.degrees_of_freedom["sharpness"] == 19
