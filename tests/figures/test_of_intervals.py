"""Marks of intervals hold the numbers of the intervals."""

import numpy as np

from thalweg.figures import interval_bars, interval_line
from thalweg.statistics import Interval

ENDS = {"one": Interval(1.0, 0.5, 2.0, 5, "planted"), "other": Interval(-1.0, -3.0, 0.0, 5, "planted")}


def test_a_line_goes_through_estimates_within_its_band() -> None:
    line = interval_line([8, 16], list(ENDS.values()), label="arm")
    assert (line.x.tolist(), line.y.tolist(), line.label) == ([8, 16], [1, -1], "arm")
    assert (line.low.tolist(), line.high.tolist()) == ([0.5, -3], [2, 0])


def test_bars_are_named_and_have_the_ends() -> None:
    bars = interval_bars(ENDS)
    assert (bars.labels, bars.values.tolist()) == (("one", "other"), [1, -1])
    assert (bars.low.tolist(), bars.high.tolist()) == ([0.5, -3], [2, 0])


def test_what_is_unknown_stays_so() -> None:
    unknown = Interval(np.nan, np.nan, np.nan, 0, "none")
    assert np.isnan(interval_line([1], [unknown]).y).all()
