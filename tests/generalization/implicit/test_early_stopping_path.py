"""The path of gradient flow against ridge: inequalities that hold in every case, and nulls that break them."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.generalization import implicit
from thalweg.generalization.implicit.early_stopping_path import DISTANCE, RISK_RATIO, SHRINKAGE_RATIO


def _designs() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    found = []
    for seed in range(5):
        draw = np.random.default_rng(seed)
        for d in (50, 90, 200):
            x, beta = draw.normal(size=(100, d)), draw.normal(size=d) / d**0.5
            found.append((x, beta, x @ beta + draw.normal(size=100)))
        x, beta = draw.normal(size=(100, 50)) * np.arange(1, 51) ** -1.0, draw.normal(size=50)
        found.append((x, beta, x @ beta + draw.normal(size=100)))
    return found


def test_the_inequalities_hold_at_every_time_of_every_design() -> None:
    x, beta, y = _designs()[0]
    implicit.early_stopping_path(x, y, coefficients=beta, noise=1.0).figure()
    for x, beta, y in _designs():
        found = implicit.early_stopping_path(x, y, coefficients=beta, noise=1.0)
        assert found["risk ratio"].shape == (2, 300)
        assert found["risk ratio"].max() <= RISK_RATIO
        assert found["shrinkage ratio"].max() <= SHRINKAGE_RATIO
        assert found["relative distance"].max() <= DISTANCE
        assert found["tuned ratio"].max() <= 1.22
        assert (found["final over stopped"] >= 1).all()
        for factor in (0.1, 10.0):
            other = implicit.early_stopping_path(x, y, coefficients=beta, noise=1.0, factor=factor)
            assert other["risk ratio"].max() > RISK_RATIO or other["relative distance"].max() > DISTANCE


def test_the_constants_are_the_largest_there_can_be() -> None:
    z = np.linspace(0.01, 10, 100_001)
    ratio = -np.expm1(-z) * (1 + z) / z
    assert SHRINKAGE_RATIO - 1e-4 < ratio.max() <= SHRINKAGE_RATIO
    assert DISTANCE - 1e-4 < 1 - 1 / ratio.max() <= DISTANCE
    assert RISK_RATIO - 1e-3 < ratio.max() ** 2 <= RISK_RATIO


def test_risks_are_those_of_solutions_that_are_computed() -> None:
    """The mean over many draws of noise: the flow by its matrix exponential, ridge by its normal equations."""
    draw = np.random.default_rng(0)
    for d in (5, 12):
        x, beta = draw.normal(size=(8, d)), draw.normal(size=d)
        y = x @ beta + 0.5 * draw.normal(size=(200_000, 8))
        second = x.T @ x / 8
        s, v = np.linalg.eigh(second)
        found = implicit.early_stopping_path(x, coefficients=beta, noise=0.5, times=[2.0])
        # The flow from 0 is the sum of its own steps: theta_t = int_0^t exp(-second u) du X'y/n.
        grown = v @ np.diag([2.0 if one < 1e-12 else -np.expm1(-one * 2.0) / one for one in s]) @ v.T
        ridge = np.linalg.inv(second + np.eye(d) / 2)
        for name, by in (("flow", grown), ("ridge", ridge)):
            theta = y @ x @ by / 8
            expected = [((theta - beta) ** 2).sum(1).mean(), ((theta @ x.T - x @ beta) ** 2).mean()]
            np.testing.assert_allclose(found[name][:, 0], expected, rtol=0.02)


def test_without_noise_stopping_only_costs() -> None:
    x = np.random.default_rng(0).normal(size=(20, 10))
    found = implicit.early_stopping_path(x, coefficients=np.ones(10), noise=0.0)
    np.testing.assert_allclose(found["final over stopped"], 1)
    assert found["risk ratio"].max() <= RISK_RATIO
    assert found["risk ratio"].min() < 0.01  # one-sided: ridge may have any number of times the risk of the flow


def test_data_without_a_known_truth_has_the_distance_alone() -> None:
    draw = np.random.default_rng(0)
    found = implicit.early_stopping_path(draw.normal(size=(9, 4)), draw.normal(size=9), times=[0.1, 1.0])
    assert sorted(found.reading.arrays) == ["relative distance", "shrinkage ratio"]
    found.figure()


@pytest.mark.parametrize(
    ("x", "more", "sentence"),
    [
        (np.zeros((2, 2)), {}, "all 0"),
        (np.zeros(2), {}, "examples, features"),
        (np.eye(2), {"times": [0.0]}, "above 0"),
        (np.eye(2), {"factor": -1.0}, "above 0"),
        (np.eye(2), {"noise": 1.0}, "give both"),
        (np.eye(2), {"y": [1.0]}, "y is 2 finite"),
        (np.eye(2), {"coefficients": [1.0, 2.0], "noise": -1.0}, "at least 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(x, more, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        implicit.early_stopping_path(x, **more)
