"""Training time: exact paths against steps that are taken one by one, and what scales do."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.generalization.double_descent import (
    gradient_descent,
    least_squares,
    over_training,
    risk_over_training,
    stopped,
)

STEPS = [0, 1, 2, 17, 300]


def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    variances = np.r_[np.ones(6), np.full(2, 0.01)]
    return draw.standard_normal((20, 8)) * np.sqrt(variances), draw.standard_normal(8), variances


def test_the_path_is_that_of_steps() -> None:
    x, beta, _ = problem()
    y = np.stack([x @ beta, np.random.default_rng(1).standard_normal(20)], 1)
    found = gradient_descent(least_squares(x, y), STEPS, rate=0.3)
    theta, path = np.zeros((8, 2)), {}
    for step in range(STEPS[-1] + 1):
        path[step] = theta
        theta = theta - 0.3 / 20 * x.T @ (x @ theta - y)
    np.testing.assert_allclose(found, [path[step] for step in STEPS], atol=1e-12)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("n", [20, 5])
def test_the_risk_is_the_average_over_noise_of_steps(fixed: bool, n: int) -> None:
    """Mean and covariance of the coefficients, step by step: exact to 1e-10."""
    x, beta, variances = problem()
    x, noise, rate = x[:n], 0.7, 0.3
    of_test = x.T @ x / n if fixed else np.diag(variances)
    found = risk_over_training(x, beta, STEPS, rate=rate, noise=noise, variances=None if fixed else variances)
    mean, spread, path = np.zeros(8), np.zeros((8, 8)), {}
    move = np.eye(8) - rate / n * x.T @ x
    response = np.zeros((8, n))  # theta_t = mean + response @ noise
    for step in range(STEPS[-1] + 1):
        spread = noise**2 * response @ response.T
        path[step] = noise**2 + (mean - beta) @ of_test @ (mean - beta) + np.trace(of_test @ spread)
        mean = move @ mean + rate / n * x.T @ x @ beta
        response = move @ response + rate / n * x.T
    np.testing.assert_allclose(found, [path[step] for step in STEPS], rtol=1e-10)


@pytest.mark.parametrize("n", [60, 20])
def test_stopping_early_is_never_far_from_ridge(n: int) -> None:
    """Error of the coefficients at step t is at most 1.69 times that of ridge at n/(rate t) (Ali et al., theorem 2)."""
    rate, noise, steps, ratios, weaker = 1e-3, 0.7, np.unique(np.geomspace(10, 1e6, 60).round()), [], []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        x, beta = draw.standard_normal((n, 40)), draw.standard_normal(40) * draw.uniform(0, 2)
        stopped_early = risk_over_training(x, beta, steps, rate=rate, noise=noise, variances=np.ones(40)) - noise**2
        values, vectors = np.linalg.eigh(x.T @ x / n)
        values = np.maximum(values, 0)
        for found, times in ((ratios, 1.0), (weaker, 0.05)):
            penalty = times / (rate * steps[:, None])
            bias = ((penalty / (values + penalty)) ** 2 * (vectors.T @ beta) ** 2).sum(1)
            spread = noise**2 / n * (values / (values + penalty) ** 2).sum(1)
            found.append(stopped_early / (bias + spread))
    assert np.max(ratios) <= 1.69
    assert np.max(ratios) > 1.1  # so that it is near enough to tell
    assert np.max(weaker) > 1.69


def test_two_scales_descend_twice_and_one_scale_once() -> None:
    steps, seeds = [2, 30, 2_000], range(600, 610)
    two = np.log(over_training(steps, seeds=seeds)["risk"])
    assert ((two[1] - two[0]).mean(), (two[2] - two[1]).mean()) > (0.05, -1)
    assert (two[2] - two[1]).mean() < -0.05
    grid = np.unique(np.geomspace(1, 5_000, 60).round()).astype(int)
    one = over_training(grid, variances=(1.0, 1.0), seeds=seeds)["risk"].mean(1)
    least = int(one.argmin())
    assert (np.diff(one[: least + 1]) < 0).all()
    assert (np.diff(one[least:]) > -1e-9).all()


def test_the_risk_is_around_its_expectation_over_the_noise() -> None:
    curve = over_training([0, 2, 30, 2_000], seeds=range(600, 640))
    off = curve["risk"] - curve["expected risk"]
    assert (np.abs(off.mean(1))[1:] < 4 * off.std(1, ddof=1)[1:] / np.sqrt(40)).all()
    np.testing.assert_allclose(off[0], 0, atol=1e-12)  # before the first step there is no noise in the weights
    assert (off[1:].std(1) > 0).all()


def test_errors_of_the_curve_are_those_of_its_data() -> None:
    curve = over_training([0, 100_000], n=50, inputs=(5, 5), validation=4_000, seeds=range(600, 604))
    start = curve["validation error"][0]
    np.testing.assert_allclose(curve["risk"][0], 1 + 0.15 + 0.5, rtol=1e-12)  # noise and both signals
    assert np.abs(start - 1.65).max() < 5 * 1.65 * np.sqrt(2 / 4_000)
    assert curve["train error"][1].mean() == pytest.approx(1 - 10 / 50, abs=0.25)
    assert curve.figure().panels[0].x.scale == "log"


def test_rules_of_stopping_keep_what_they_say() -> None:
    steps = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    never, late = np.ones(9), np.r_[np.ones(6), np.zeros(3)]
    second = np.array([9, 5, 6, 7, 8, 8, 7, 4, 3.0])  # a second descent that short patience does not see
    once = np.array([9, 5, 4, 3, 3, 3, 4, 5, 6.0])
    kept = stopped(steps, [never, late], [second, once])
    assert {rule: places.tolist() for rule, places in kept.items()} == {
        "first fit": [8, 6],
        "short patience": [1, 3],
        "best on validation": [8, 3],
        "last": [8, 8],
    }
    for bad in (steps[::-1], []):
        with pytest.raises(UsageError, match="ascending steps"):
            stopped(bad, [late[: len(bad)]], [once[: len(bad)]])
    with pytest.raises(UsageError, match=r"errors \(runs, evaluations\)"):
        stopped(steps, late, once)


def test_evaluations_of_a_run_that_diverged_are_never_the_best() -> None:
    lost = np.full(4, np.nan)
    kept = stopped([1, 2, 4, 8, 16], np.ones((2, 5)), [np.r_[3.0, lost], np.r_[np.nan, 4.0, 3.0, 5.0, 6.0]])
    assert kept["best on validation"].tolist() == [0, 2]
    assert kept["short patience"].tolist() == [0, 2]


def test_bad_input_is_said() -> None:
    x, beta, _ = problem()
    for step in (0.5, np.inf):
        with pytest.raises(UsageError, match="whole numbers of at least 0"):
            gradient_descent(least_squares(x, x @ beta), [step], rate=0.1)
    with pytest.raises(UsageError, match="as many coefficients"):
        risk_over_training(x, beta[:3], [1], rate=0.1, noise=1.0)
    with pytest.raises(UsageError, match="of every scale"):
        over_training([1], inputs=(3,))
    with pytest.raises(UsageError, match="at least one seed"):
        over_training([1], seeds=[])
