"""How rough a line is, how high a barrier, and by which power of the width they fall: on known curves."""

import numpy as np
import pytest
from scipy import optimize

from thalweg.studies.landscape import widths

AT = np.linspace(-1, 1, 2_001)


def test_what_is_convex_is_not_rough() -> None:
    lines = np.stack([AT**2, AT**4 + AT, np.abs(AT), 3 * AT])
    assert widths.roughness(lines) == pytest.approx(0, abs=1e-12)
    assert widths.roughness(np.stack([[lines, 2 * lines], [lines, lines]])).shape == (2, 2, 4)


def test_the_roughness_of_a_sine() -> None:
    """It is convex until t0 > -1/2, whose tangent goes through the right end: sin(pi t0) = -pi (1 - t0) cos(pi t0)."""
    values = np.sin(np.pi * AT)
    touching = optimize.brentq(lambda t: np.sin(np.pi * t) + np.pi * (1 - t) * np.cos(np.pi * t), -0.5, 0)
    below = np.where(touching < AT, np.sin(np.pi * touching) * (1 - AT) / (1 - touching), values)
    wanted = np.sqrt(((values - below) ** 2).mean()) / 2
    assert widths.roughness(values[None])[0] == pytest.approx(wanted, rel=1e-3)
    assert widths.roughness(5 + 7 * values[None])[0] == pytest.approx(wanted, rel=1e-3)


def test_the_roughness_of_a_tent_is_that_of_its_height() -> None:
    """Below 1 - |t| lies 0, and the mean of (1 - |t|)^2 is 1/3."""
    assert widths.roughness(1 - np.abs(AT)[None])[0] == pytest.approx(3**-0.5, rel=2e-3)


def test_the_hull_lies_below_is_convex_and_touches() -> None:
    values = np.random.default_rng(0).normal(size=60).cumsum()
    below = widths.hull(values)
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
