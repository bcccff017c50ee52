"""Random features: what their kernels tend to, and that curves over their number are paired."""

import numpy as np
import pytest

from thalweg.errors import DataError, UsageError
from thalweg.generalization.double_descent import FourierFeatures, ReluFeatures


def test_the_kernel_of_fourier_features_tends_to_a_gaussian() -> None:
    x, number = np.random.default_rng(0).standard_normal((20, 5)), 20_000
    phi = FourierFeatures(5, number, scale=0.7, seed=1)(x)
    distances = ((x[:, None] - x[None]) ** 2).sum(2)
    exact = np.exp(-(0.7**2) * distances / 2)
    # each product is a mean of terms within -2 to 2, so of a variance of at most 4 / number
    assert (np.abs(phi @ phi.T - exact) < 5 * np.sqrt(4 / number)).all()


def test_the_kernel_of_relu_features_tends_to_that_of_arc_cosines() -> None:
    d, number = 40, 20_000
    x = np.random.default_rng(0).standard_normal((10, d))
    x *= np.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True)
    phi = ReluFeatures(d, number, seed=1)(x)
    angle = np.arccos(np.clip(x @ x.T / d, -1, 1))
    exact = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)  # Cho and Saul, 2009
    assert np.abs(phi @ phi.T - exact).max() < 0.03


@pytest.mark.parametrize("made", [lambda n: FourierFeatures(3, n, 1.0, 5), lambda n: ReluFeatures(3, n, 5)])
def test_fewer_features_are_the_first_of_more(made) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3))
    most = made(200)(x) * np.sqrt(200)
    for number in (1, 63, 64, 65, 150):
        np.testing.assert_allclose(made(number)(x) * np.sqrt(number), most[:, :number], rtol=1e-13)
    assert not np.allclose(most, FourierFeatures(3, 200, 1.0, 6)(x) * np.sqrt(200))


def test_bad_input_is_said() -> None:
    with pytest.raises(UsageError, match="scale must be a finite number above 0; got 0"):
        FourierFeatures(3, 5, 0.0)
    with pytest.raises(UsageError, match="number must be a whole number of at least 1; got 0"):
        ReluFeatures(3, 0)
    with pytest.raises(UsageError, match=r"examples of 3 numbers, shape \(examples, 3\); got \(2, 4\)"):
        ReluFeatures(3, 5)(np.zeros((2, 4)))
    with pytest.raises(DataError, match="not finite"):
        ReluFeatures(3, 5)(np.full((2, 3), np.nan))
