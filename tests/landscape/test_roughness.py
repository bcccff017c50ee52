"""How rough lines are: on known curves, and on losses that are convex or are not."""

import numpy as np
import pytest
import torch
from cases import CASE
from curvature.planted import of_matrix
from scipy import optimize

import thalweg as tw
from thalweg import landscape
from thalweg.errors import UsageError
from thalweg.landscape import distance_from_convex
from thalweg.landscape.roughness import convex_envelope

AT = np.linspace(-1, 1, 2_001)


def test_what_is_convex_is_not_rough() -> None:
    lines = np.stack([AT**2, AT**4 + AT, np.abs(AT), 3 * AT])
    assert distance_from_convex(lines) == pytest.approx(0, abs=1e-12)
    assert distance_from_convex(np.stack([[lines, 2 * lines], [lines, lines]])).shape == (2, 2, 4)


def test_the_roughness_of_a_sine() -> None:
    """It is convex until t0 > -1/2, whose tangent goes through the right end: sin(pi t0) = -pi (1 - t0) cos(pi t0)."""
    values = np.sin(np.pi * AT)
    touching = optimize.brentq(lambda t: np.sin(np.pi * t) + np.pi * (1 - t) * np.cos(np.pi * t), -0.5, 0)
    below = np.where(touching < AT, np.sin(np.pi * touching) * (1 - AT) / (1 - touching), values)
    wanted = np.sqrt(((values - below) ** 2).mean()) / 2
    assert distance_from_convex(values[None])[0] == pytest.approx(wanted, rel=1e-3)
    assert distance_from_convex(5 + 7 * values[None])[0] == pytest.approx(wanted, rel=1e-3)


def test_the_roughness_of_a_tent_is_that_of_its_height() -> None:
    """Below 1 - |t| lies 0, and the mean of (1 - |t|)^2 is 1/3."""
    assert distance_from_convex(1 - np.abs(AT)[None])[0] == pytest.approx(3**-0.5, rel=2e-3)


def test_the_hull_lies_below_is_convex_and_touches() -> None:
    values = np.random.default_rng(0).normal(size=60).cumsum()
    below = convex_envelope(values)
    assert (below <= values + 1e-12).all()
    assert (np.diff(below, 2) >= -1e-12).all()
    assert np.isclose(below, values).sum() >= 2
    higher = optimize.linprog(  # no convex function below has a larger sum
        -np.ones(60),
        A_ub=np.concatenate([np.eye(60), -np.diff(np.eye(60), 2, axis=0)]),
        b_ub=np.concatenate([values, np.zeros(58)]),
        bounds=(None, None),
    )
    assert below.sum() == pytest.approx(-higher.fun)


def test_what_is_flat_or_not_finite() -> None:
    lines = np.stack([np.ones(5), [0, 1, np.nan, 1, 0], [0, 1, 1, 1, np.inf]])
    assert distance_from_convex(lines)[0] == 0
    assert np.isnan(distance_from_convex(lines)[1:]).all()


def test_a_convex_quadratic_is_not_rough_and_a_concave_one_is() -> None:
    """Of 1 - t^2, and the 0 below it: the root of the mean of (1 - t^2)^2, by the range 1."""
    bowl, hill = (of_matrix(sign * torch.eye(6, dtype=torch.float64)) for sign in (1, -1))
    bottom, top = (each.initialize(2).with_theta(torch.zeros(2, 6, dtype=torch.float64)) for each in (bowl, hill))
    assert landscape.roughness(bowl, bottom, lines=3, direction="none")["roughness"] == pytest.approx(0, abs=1e-12)
    found = landscape.roughness(hill, top, lines=3, direction="none", resolution=401)
    assert found["roughness"] == pytest.approx((8 / 15) ** 0.5, rel=1e-2)
    assert found.reading.standard_errors["roughness"] == pytest.approx(0, abs=1e-6)
    assert found["loss"].shape == (3, 2, 401)


def test_it_is_the_mean_over_the_lines_of_landscape_line() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population, some = problem.initialize(2), tw.Sample("train", 15)
    found = landscape.roughness(problem, population, lines=4, span=3.0, resolution=21, on=some, seed=5)
    each = []
    for number in range(4):
        direction = landscape.directions.random(population, seed=5, number=number)
        line = landscape.line(problem, population, direction=direction, span=3.0, resolution=21, on=some)
        each.append(distance_from_convex(line["loss"]))
    np.testing.assert_allclose(found["roughness by line"], each, rtol=1e-9)
    np.testing.assert_allclose(found["roughness"], np.mean(each, axis=0), rtol=1e-9)
    assert found.reading.sample_size == 15
    roughest = int(np.argmax(np.array(each)[:, 1]))
    np.testing.assert_array_equal(found.figure(member=1).panels[0].marks[0].y, found["loss"][roughest, 1])


def test_standard_errors_are_the_spread_over_lines() -> None:
    """Over 40 draws of 8 lines each, the mean of the squared errors is the variance of the roughness."""
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    problem = tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (x, torch.arange(20) % 3), dtype=torch.float64)
    population = problem.initialize(1)
    runs = [
        landscape.roughness(problem, population, lines=8, span=4.0, resolution=11, seed=seed, plan="looped")
        for seed in range(40)
    ]
    spread = np.std([run["roughness"][0] for run in runs], ddof=1)
    assert int(runs[0].reading.degrees_of_freedom["roughness"]) == 7
    said = np.mean([run.reading.standard_errors["roughness"][0] ** 2 for run in runs]) ** 0.5
    assert 0.6 < said / spread < 1.5


def test_what_cannot_be_meant() -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match="roughness lines must be a whole number of at least 1; got 0"):
        landscape.roughness(problem, problem.initialize(1), lines=0)
    with pytest.raises(UsageError, match="roughness resolution must be a whole number of at least 3; got 2"):
        landscape.roughness(problem, problem.initialize(1), resolution=2)
    found = landscape.roughness(problem, problem.initialize(1), lines=1, resolution=3)
    assert np.isnan(found.reading.standard_errors["roughness"]).all()
    with pytest.raises(UsageError, match=r"There is no member 1; there are 1 \(0 to 0\)"):
        found.figure(member=1)
