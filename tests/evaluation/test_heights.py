"""Highest points of known curves, between the points at which they are known."""

import numpy as np
import pytest

from thalweg.evaluation import line_heights
from thalweg.evaluation.heights import above_chord, above_higher_end, highest, peak


def test_parabolas_peak_where_they_do() -> None:
    at = np.linspace(0, 1, 9)
    for top in (0.2, 0.31, 0.5, 0.83):
        height, where = peak(3 - 7 * (at - top) ** 2)
        assert height == pytest.approx(3, abs=1e-12)
        assert where == pytest.approx(top, abs=1e-12)


def test_of_a_smooth_curve_the_parabola_is_closer_than_the_grid() -> None:
    at = np.linspace(0, 1, 25)
    tops = np.linspace(0.3, 0.7, 41)
    curves = np.cos(3 * (at - tops[:, None]))
    height, where = peak(curves)
    assert (np.abs(height - 1) <= 1e-5).all()
    assert (np.abs(height - 1) <= np.abs(curves.max(1) - 1) / 10 + 1e-12).all()
    assert np.abs(where - tops).max() < 1e-3 < np.abs(at[curves.argmax(1)] - tops).max()


def test_at_a_kink_and_at_an_end_the_highest_point_is_taken() -> None:
    at = np.linspace(0, 1, 21)
    for curve in (-np.abs(at - 0.512), at**2, 1 - at, np.minimum(at, 0.4)):
        height, where = peak(curve)
        assert height == curve.max()
        assert where == at[curve.argmax()]


def test_what_is_found_is_never_below_the_highest_point_and_little_above() -> None:
    curves = np.random.default_rng(0).normal(size=(2_000, 7))
    height, _ = peak(curves)
    top = curves.max(1)
    assert (height >= top).all()
    assert (height - top <= (top - curves.min(1)) / 8 + 1e-12).all()
    assert (height > top).any()
    assert np.isnan(peak([1.0, np.nan, 2.0])).all()


def test_of_three_points_nothing_tells_a_kink() -> None:
    assert [float(one) for one in peak([0.0, 1.0, 0.5])] == [1.0, 0.5]


def test_above_the_chord_ends_are_zero_to_the_bit() -> None:
    curves = np.random.default_rng(1).normal(size=(50, 9)) * 1e3
    over = above_chord(curves)
    assert not over[:, [0, -1]].any()
    t = np.linspace(0, 1, 9)
    assert over == pytest.approx(curves - (1 - t) * curves[:, :1] - t * curves[:, -1:], abs=1e-9)


def test_of_a_staircase_the_highest_is_one_of_its_points() -> None:
    values = np.array([[0, 2, 3, 3, 0], [0, 1, 3, 2, 2]]) / 360
    found = line_heights(values, "error")
    assert (found.barrier * 360)[0] == pytest.approx(3, abs=1e-12)
    assert found.over_mean * 360 == pytest.approx([3, 2], abs=1e-12)
    assert found.location.tolist() == [0.5, 0.5]
    assert line_heights(values).barrier[0] * 360 == pytest.approx(3 + 1 / 8)  # which no network has
    assert highest(values)[0] * 360 == pytest.approx([3, 3])
    assert np.isnan(line_heights([0.0, np.nan, 1.0], "error").barrier)


def test_two_definitions_and_the_height_above_the_higher_end() -> None:
    slope = np.linspace(0, 1, 5)
    found = line_heights(np.stack([slope, 0 * slope]))
    assert found.barrier.tolist() == [0, 0]
    assert found.over_mean.tolist() == [0.5, 0]
    assert np.isnan(found.location).all()
    assert above_higher_end(np.stack([slope, [0, 3, 0, 0, 1]])).tolist() == [0, 2]
