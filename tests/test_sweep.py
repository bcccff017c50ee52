import numpy as np
import pytest

from thalweg import sweep
from thalweg.errors import UsageError


def test_values_keep_their_order_and_axis() -> None:
    got = sweep.values([3, 1, 2], axis="size")
    assert (got.points, got.axis, len(got)) == ((3.0, 1.0, 2.0), "size", 3)


def test_log_has_equal_ratios_and_exact_ends() -> None:
    points = np.array(sweep.log(1e-5, 1e-1, 9).points)
    np.testing.assert_allclose(points[1:] / points[:-1], 10**0.5, rtol=1e-12)
    assert (points[0], points[-1]) == (1e-5, 1e-1)


def test_linear_has_equal_differences_and_exact_ends() -> None:
    points = np.array(sweep.linear(-1, 2, 7).points)
    np.testing.assert_allclose(np.diff(points), 0.5)
    assert (points[0], points[-1]) == (-1, 2)


def test_one_value() -> None:
    assert sweep.log(0.1, 10, 1).points == (0.1,)
    assert sweep.linear(0.1, 10, 1).points == (0.1,)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: sweep.values([]), "at least one value; got none"),
        (lambda: sweep.values([1.0, float("nan")]), r"finite values; got \[1.0, nan\]"),
        (lambda: sweep.values([float("inf")]), r"finite values; got \[inf\]"),
        (lambda: sweep.log(0, 1, 3), "0 < low <= high; got low=0, high=1"),
        (lambda: sweep.log(1, 0.1, 3), "0 < low <= high; got low=1, high=0.1"),
        (lambda: sweep.log("a", 1, 2), "sweep.log low must be a number; got 'a'"),
        (lambda: sweep.values([True]), r"A sweep takes a list of numbers; got \[True\]"),
        (lambda: sweep.log(0.1, 1, 0), "count must be a whole number of at least 1; got 0"),
        (lambda: sweep.linear(0, 1, -2), "count must be a whole number of at least 1; got -2"),
    ],
)
def test_sweeps_that_cannot_be_meant(build: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build()
