"""The predicted error against kernel regression that is done, and against closed forms."""

import math

import numpy as np
import pytest
import torch
from ntk.planted_kernels import smooth_kernel, sphere

from thalweg.errors import UsageError
from thalweg.ntk import eigenlearning, eigenmodes

MODES, TRIALS = 400, 60
FALLING = np.arange(1, MODES + 1) ** -1.5
TARGET = np.arange(1, MODES + 1) ** -1.0


def _regression(n: int, ridge: float, noise: float, seed: int) -> tuple[float, float]:
    """Test and train error of one draw of Gaussian features, the former exactly from the coefficients."""
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((n, MODES))
    y = features @ TARGET + noise * draw.standard_normal(n)
    kernel = (features * FALLING) @ features.T
    weights = np.linalg.solve(kernel + ridge * np.eye(n), y)
    found = FALLING * (features.T @ weights)
    return float(((found - TARGET) ** 2).sum() + noise**2), float(((kernel @ weights - y) ** 2).mean())


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("ridge", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("n", [30, 120])
def test_it_is_within_ten_percent_on_gaussian_features(n: int, ridge: float, noise: float) -> None:
    found = eigenlearning(FALLING, TARGET, n, ridge=ridge, noise=noise)
    errors = np.array([_regression(n, ridge, noise, seed) for seed in range(TRIALS)])
    mean, error = errors.mean(0), errors.std(0, ddof=1) / TRIALS**0.5
    assert abs(found["test error"][0] / mean[0] - 1) < 0.10
    assert error[0] / mean[0] < 0.04  # so that the tolerance is not noise
    if ridge:
        assert abs(found["train error"][0] / mean[1] - 1) < 0.15
    else:
        assert found["train error"][0] < 1e-12


def test_the_wrong_spectrum_is_not_within_ten_percent() -> None:
    mean = np.mean([_regression(120, 0.05, 0.3, seed)[0] for seed in range(TRIALS)])
    flat = np.full(MODES, FALLING.mean())
    assert abs(eigenlearning(flat, TARGET, 120, ridge=0.05, noise=0.3)["test error"][0] / mean - 1) > 0.3


def test_learnabilities_and_damping_add_up_to_the_examples() -> None:
    for ridge in (0.0, 1e-6, 0.1, 100.0):
        found = eigenlearning(FALLING, TARGET, [1, 10, 399], ridge=ridge)
        spent = found["learnability"].sum(1) + (ridge / found["kappa"] if ridge else 0)
        np.testing.assert_allclose(spent, [1, 10, 399], rtol=1e-9)
        assert ((found["learnability"] >= 0) & (found["learnability"] <= 1)).all()


def test_equal_eigenvalues_have_a_closed_form() -> None:
    """Minimum-norm regression in d dimensions: for n < d each mode is learnt to n / d."""
    d, noise = 50, 0.5
    v = np.full(d, 0.2)
    found = eigenlearning(np.ones(d), v, [10, 40], noise=noise)
    sizes = np.array([10, 40])
    share = sizes / d
    wanted = ((1 - share) ** 2 * (v**2).sum() + noise**2) / (1 - sizes / d)
    np.testing.assert_allclose(found["test error"], wanted, rtol=1e-9)


def test_beyond_all_modes_it_is_least_squares() -> None:
    d, noise = 10, 0.5
    found = eigenlearning(np.ones(d), np.ones(d), [40], noise=noise)
    assert found["test error"][0] == pytest.approx(noise**2 * 40 / 30)
    assert found["train error"][0] == pytest.approx(noise**2 * 30 / 40)


def test_at_as_many_examples_as_modes_noise_is_without_bound_and_nothing_is_nan() -> None:
    found = eigenlearning(np.ones(10), np.ones(10), [9, 10, 11], noise=0.1)
    assert math.isinf(found["test error"][1])
    assert not any(np.isnan(found[name]).any() for name in found.reading.arrays)
    assert found.figure().panels
    clean = eigenlearning(np.ones(10), np.ones(10), [10, 11])
    assert clean["test error"].tolist() == [0, 0]


def test_modes_of_no_eigenvalue_are_never_learnt() -> None:
    found = eigenlearning([1.0, 0.5, 0.0], [0.0, 0.0, 2.0], [1, 2, 1_000], ridge=1e-3)
    assert (found["learnability"][:, 2] == 0).all()
    assert found["test error"][2] == pytest.approx(4, rel=0.01)
    nothing = eigenlearning([0.0, 0.0], [1.0, 2.0], [5])
    assert nothing["test error"][0] == pytest.approx(5)


def test_a_ridge_of_no_size_is_none() -> None:
    without, little = (eigenlearning(FALLING, TARGET, [50], ridge=ridge, noise=0.2) for ridge in (0.0, 1e-12))
    np.testing.assert_allclose(little["test error"], without["test error"], rtol=1e-6)


def test_scales_cancel_and_outputs_add_up() -> None:
    one = eigenlearning(FALLING, TARGET, [20], ridge=0.1)["test error"]
    np.testing.assert_allclose(eigenlearning(7 * FALLING, TARGET, [20], ridge=0.7)["test error"], one, rtol=1e-9)
    several = eigenlearning(FALLING, np.stack([TARGET, 2 * TARGET], 1), [20], ridge=0.1)["test error"]
    np.testing.assert_allclose(several, 5 * one, rtol=1e-9)


def test_eigenmodes_of_many_examples_predict_the_error_on_others() -> None:
    pool, n, ridge = sphere(800, 5, 0), 40, 1e-2
    y = pool[:, 0].sign()
    values, coefficients = eigenmodes(smooth_kernel(pool), y)
    assert (coefficients**2).sum() == pytest.approx(1)
    predicted = eigenlearning(values, coefficients, n, ridge=ridge)["test error"][0]
    errors = []
    for seed in range(40):
        chosen = torch.randperm(800, generator=torch.Generator().manual_seed(seed))[:n]
        own = smooth_kernel(pool[chosen]) + ridge * torch.eye(n, dtype=torch.float64)
        answer = smooth_kernel(pool, pool[chosen]) @ torch.linalg.solve(own, y[chosen])
        errors.append(float((answer - y).square().mean()))
    assert predicted == pytest.approx(np.mean(errors), rel=0.07)


def test_what_is_wrong_is_said() -> None:
    for wrong in (0, [0, 3], [1.5], [], "many"):
        with pytest.raises(UsageError, match="whole numbers of training examples"):
            eigenlearning([1.0], [1.0], wrong)
    with pytest.raises(UsageError, match="none negative"):
        eigenlearning([-1.0], [1.0], 3)
    with pytest.raises(UsageError, match="none negative"):
        eigenlearning([1.0, 2.0], [1.0], 3)
    with pytest.raises(UsageError, match="ridge and noise"):
        eigenlearning([1.0], [1.0], 3, ridge=-1.0)
    with pytest.raises(UsageError, match="one finite kernel"):
        eigenmodes(np.full((2, 2), math.nan), [1.0, 2.0])
