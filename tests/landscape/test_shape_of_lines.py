"""How far a line is from a parabola on known curves."""

import numpy as np
import pytest

from thalweg.landscape import distance_from_parabola

AT = np.linspace(-1, 1, 2_001)


def test_the_distance_from_a_parabola() -> None:
    quartic = np.sqrt(np.mean((AT**4 - 6 / 7 * AT**2 + 3 / 35) ** 2))  # less its parabola: Legendre's polynomial
    found = distance_from_parabola(np.stack([2 + AT + AT**2, AT**4, -(AT**2)]))
    assert found[0] == pytest.approx(0, abs=1e-12)
    assert found[1] == pytest.approx(quartic, rel=1e-2)
    assert found[2] == pytest.approx(np.sqrt(np.mean((AT**2 - 1 / 3) ** 2)), rel=1e-2)  # the best convex one is flat


def test_it_has_no_unit_and_keeps_shapes() -> None:
    lines = np.random.default_rng(0).normal(size=(2, 3, 9))
    found = distance_from_parabola(lines)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(distance_from_parabola(5 + 7 * lines), found)
    lines[0, 1, 4] = np.nan
    assert np.isnan(distance_from_parabola(lines)).tolist() == [[False, True, False], [False] * 3]
    assert distance_from_parabola(np.ones(5)) == 0
