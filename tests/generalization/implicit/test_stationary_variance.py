"""The closed form of the stationary variance against a recursion and against runs."""

import math

import pytest

from thalweg.errors import UsageError
from thalweg.generalization import implicit

CASES = [(2.0, 0.1, 0.0), (1.0, 1.5, 0.0), (0.5, 0.3, 0.9), (3.0, 0.9, 0.5)]


@pytest.mark.parametrize(("curvature", "rate", "momentum"), CASES)
def test_the_closed_form_is_the_fixed_point_of_the_recursion(curvature: float, rate: float, momentum: float) -> None:
    given = {"noise": 2.5, "batch_size": 3, "momentum": momentum}
    found = implicit.variance_over_steps(2_000, curvature, rate, **given)
    assert math.isclose(found[-1], implicit.stationary_variance(curvature, rate, **given), rel_tol=1e-12)
    assert found[1] == pytest.approx(rate**2 * 2.5 / 3)


@pytest.mark.parametrize(("curvature", "rate", "momentum"), CASES)
def test_runs_have_the_variance_that_is_said(curvature: float, rate: float, momentum: float) -> None:
    found = implicit.simulated_variance(curvature, rate, momentum=momentum, noise=2.5, batch_size=3, steps=1_000)
    expected = implicit.stationary_variance(curvature, rate, momentum=momentum, noise=2.5, batch_size=3)
    assert found == pytest.approx(expected, rel=0.03)


def test_published_numbers() -> None:
    assert implicit.stationary_variance(1.0, 0.1) == pytest.approx(0.1 / 1.9)
    small = implicit.stationary_variance(1.0, 1e-6, batch_size=4, momentum=0.9)
    assert small == pytest.approx(1e-6 / 4 / 2 / 0.1, rel=1e-5)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="a rate below 2"):
        implicit.stationary_variance(1.0, 2.0)
    assert implicit.stationary_variance(1.0, 2.0, momentum=0.5) > 0
    with pytest.raises(UsageError, match="momentum in"):
        implicit.stationary_variance(1.0, 0.1, momentum=1.0)
    with pytest.raises(UsageError, match="noise of at least 0"):
        implicit.stationary_variance(1.0, 0.1, noise=-1.0)
    with pytest.raises(UsageError, match="batch_size"):
        implicit.stationary_variance(1.0, 0.1, batch_size=0)
