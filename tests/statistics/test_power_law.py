"""Exponents of planted power laws, and of the line nearest in logarithms."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.statistics import exponents


def test_exponents_of_planted_power_laws() -> None:
    sizes = (8, 32, 64, 256)
    powers, scales = np.array([0.5, -1.5, 0.0]), np.array([3.0, 100.0, 0.2])
    values = scales * np.array(sizes, dtype=float)[:, None] ** powers
    np.testing.assert_allclose(exponents(sizes, values), powers, atol=1e-12)
    assert exponents((8, 256), values[[0, -1]]) == pytest.approx(powers)


def test_of_noise_it_is_that_of_the_line_nearest_in_logarithms() -> None:
    values = np.array([[4.0], [16.0], [64.0]])
    x, y = np.log([4, 8, 64]), np.log(values[:, 0])
    wanted = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert exponents((4, 8, 64), values) == pytest.approx([wanted])


def test_what_has_no_exponent() -> None:
    found = exponents((1, 2), [[1.0, 1.0], [np.nan, 2.0]])
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1)
    with pytest.raises(UsageError, match="above 0"):
        exponents((1, 2), [[1.0], [0.0]])
    with pytest.raises(UsageError, match="at least two sizes"):
        exponents((2, 2), [[1.0], [1.0]])
    with pytest.raises(UsageError, match="a row of values"):
        exponents((1, 2, 3), [[1.0], [1.0]])
