"""How far a line is from a parabola, how high a barrier, and by which power of the width they fall: on known curves."""

import numpy as np
import pytest

from thalweg.studies.landscape import widths

AT = np.linspace(-1, 1, 2_001)


def test_the_distance_from_a_parabola() -> None:
    quartic = np.sqrt(np.mean((AT**4 - 6 / 7 * AT**2 + 3 / 35) ** 2))  # less its parabola: Legendre's polynomial
    lines = np.stack([2 + AT + AT**2, AT**4, -(AT**2)])
    found = widths.bent(lines)
    assert found[0] == pytest.approx(0, abs=1e-12)
    assert found[1] == pytest.approx(quartic, rel=1e-2)
    assert found[2] == pytest.approx(np.sqrt(np.mean((AT**2 - 1 / 3) ** 2)), rel=1e-2)  # the best convex one is flat


def test_barriers_of_double_wells() -> None:
    wells = (AT**2 - 1) ** 2
    tilted = wells + AT
    assert widths.barrier(np.stack([wells, tilted, AT**2])) == pytest.approx([1, 1, 0], abs=1e-12)


def test_slopes_are_the_exponents_of_power_laws() -> None:
    sizes = (8, 16, 32, 64)
    planted = np.array([-1.5, 0.0, 2.0])
    values = 3 * np.array(sizes, dtype=float)[:, None] ** planted
    assert widths.slopes(sizes, values) == pytest.approx(planted)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.3, (4, 400)))
    found = widths.slopes(sizes, values[:, :1] * noise)
    assert abs(found.mean() + 1.5) < 4 * found.std() / 400**0.5
