"""The generic picture of a reading: what is drawn for which dimensions, and which intervals."""

import numpy as np
import pytest
from scipy import stats

from thalweg.errors import UsageError
from thalweg.figures import Bars, Contour, HeatMap, Line
from thalweg.results import Reading

NORMAL = stats.norm.ppf(0.975)


def test_one_numeric_dimension_is_a_line_with_its_interval() -> None:
    lr = np.logspace(-4, 0, 5)
    loss, error = np.array([1, 2, np.nan, 4, 5.0]), np.full(5, 0.5)
    reading = Reading("sweep", {"loss": loss}, {"loss": ("lr",)}, {"lr": lr}, {"loss": "nats"}, {"loss": error})
    figure = reading.figure()
    (line,) = figure.panels[0].marks
    assert isinstance(line, Line)
    np.testing.assert_array_equal(line.x, lr)
    np.testing.assert_array_equal(line.y, loss)
    np.testing.assert_allclose(line.low, loss - NORMAL * error)
    np.testing.assert_allclose(line.high, loss + NORMAL * error)
    assert (figure.panels[0].x.scale, figure.panels[0].y.text) == ("log", "loss (nats)")


def test_a_second_dimension_is_one_line_per_entry() -> None:
    values = np.arange(6.0).reshape(2, 3)
    named = Reading("r", {"v": values}, {"v": ("arm", "step")}, {"arm": ["dense", "ticket"], "step": [0, 10, 20]})
    assert [line.label for line in named.figure().panels[0].marks] == ["dense", "ticket"]
    np.testing.assert_array_equal(named.figure().panels[0].marks[1].y, values[1])
    turned = Reading("r", {"v": values.T}, {"v": ("step", "member")}, {"step": [0, 10, 20]})
    assert [line.label for line in turned.figure().panels[0].marks] == ["member 0", "member 1"]
    np.testing.assert_array_equal(turned.figure().panels[0].marks[1].y, values[1])


def test_two_numeric_dimensions_are_a_heat_map_with_contours() -> None:
    values = np.arange(12.0).reshape(3, 4)
    reading = Reading("plane", {"loss": values}, {"loss": ("b", "a")}, {"a": np.arange(4.0), "b": np.arange(3.0)})
    heat_map, contour = reading.figure().panels[0].marks
    assert isinstance(heat_map, HeatMap)
    assert isinstance(contour, Contour)
    np.testing.assert_array_equal(heat_map.z, values)
    assert (len(heat_map.x), len(heat_map.y)) == (4, 3)
    assert (reading.figure().panels[0].x.label, reading.figure().panels[0].y.label) == ("a", "b")


def test_coordinates_are_drawn_in_order_whatever_order_they_came_in() -> None:
    rates, steps = [0.1, 0.001, 0.01], [3, 1, 2]
    values = np.add.outer(np.log10(rates), np.multiply(10, steps))
    reading = Reading(
        "r", {"v": values}, {"v": ("lr", "step")}, {"lr": rates, "step": steps}, standard_errors={"v": values / 10}
    )
    (heat_map, *_) = reading.figure().panels[0].marks
    assert heat_map.y.tolist() == [0.001, 0.01, 0.1]
    np.testing.assert_array_equal(heat_map.z, np.add.outer([-3, -2, -1], [10, 20, 30]))
    (line,) = reading.select("step", 1).figure().panels[0].marks
    assert line.x.tolist() == [0.001, 0.01, 0.1]
    np.testing.assert_array_equal(line.y, [7, 8, 9])
    np.testing.assert_allclose(line.high - line.y, NORMAL * line.y / 10)


@pytest.mark.parametrize("dims", [("seed", "lr"), ("lr", "seed")])
def test_seeds_are_names_of_lines_and_no_scale(dims: tuple) -> None:
    seeds, rates = np.array([7, 900, 3]), np.array([0.1, 0.001, 0.01])
    values = np.add.outer(seeds, rates)
    reading = Reading("r", {"v": values if dims[0] == "seed" else values.T}, {"v": dims}, {"seed": seeds, "lr": rates})
    lines = reading.figure().panels[0].marks
    assert [line.label for line in lines] == ["seed 3", "seed 7", "seed 900"]
    for line, seed in zip(lines, (3, 7, 900), strict=True):
        np.testing.assert_array_equal(line.y, seed + line.x)


def test_numbers_that_come_twice_are_no_scale() -> None:
    values = np.arange(6.0).reshape(2, 3)
    twice = Reading("r", {"v": values}, {"v": ("lr", "step")}, {"lr": [0.1, 0.1], "step": [0, 1, 2]})
    assert [(line.label, line.y.tolist()) for line in twice.figure().panels[0].marks] == [
        ("lr 0.1", [0, 1, 2]),
        ("lr 0.1", [3, 4, 5]),
    ]
    both = Reading("r", {"v": values}, {"v": ("lr", "step")}, {"lr": [0.1, 0.1], "step": [0, 1, 1]})
    assert all(isinstance(line, Line) for line in both.figure().panels[0].marks)


def test_text_dimensions_and_scalars_are_bars() -> None:
    figure = Reading("r", {"other": 1.0, "trace": 7.25}).figure("trace")
    assert isinstance(figure.panels[0].marks[0], Bars)
    assert figure.panels[0].marks[0].values.tolist() == [7.25]
    values = np.arange(4.0).reshape(2, 2)
    two = Reading("r", {"v": values}, {"v": ("arm", "net")}, {"arm": ["a", "b"], "net": ["mlp", "cnn"]})
    assert [(bars.label, bars.values.tolist()) for bars in two.figure().panels[0].marks] == [
        ("mlp", [0, 2]),
        ("cnn", [1, 3]),
    ]


def test_what_cannot_be_drawn_says_what_to_write() -> None:
    cube = Reading("r", {"v": np.ones((2, 2, 2))}, {"v": ("a", "b", "c")})
    with pytest.raises(UsageError, match=r"reading\.select\('a', value\)"):
        cube.figure()
    with pytest.raises(UsageError, match="is text"):
        Reading("r", {"v": ["a"]}, {"v": ("i",)}).figure()


def student(degrees: object) -> Reading:
    values = np.array([1.0, 2.0, 4.0])
    return Reading(
        "r", {"v": values}, {"v": ("step",)}, {"step": [0, 1, 2]}, standard_errors={"v": values / 10},
        degrees_of_freedom={"v": degrees},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("degrees", "words"),
    [
        (3, "by Student's t with 3 degrees of freedom: estimates plus or minus 3.18 standard errors."),
        (1, "by Student's t with 1 degree of freedom: estimates plus or minus 12.7 standard errors."),
        ([2, 3, 5], "by Student's t with 2 to 5 degrees of freedom."),
        ([2, np.inf, 5], "by Student's t with 2 or more degrees of freedom."),
        (np.inf, "estimates plus or minus 1.96 standard errors."),
    ],
)
def test_intervals_are_students_and_the_caption_says_so(degrees: object, words: str) -> None:
    figure = student(degrees).figure()
    (line,) = figure.panels[0].marks
    half = stats.t.ppf(0.975, degrees) * line.y / 10
    np.testing.assert_allclose(line.low, line.y - half)
    np.testing.assert_allclose(line.high, line.y + half)
    assert figure.caption.endswith(words)


def test_each_entry_has_its_own_degrees_of_freedom_whatever_the_order() -> None:
    values = np.arange(1.0, 7).reshape(2, 3)
    degrees = np.array([[3, 1, 2], [6, 4, 5]])
    reading = Reading(
        "r", {"v": values}, {"v": ("arm", "step")}, {"arm": ["a", "b"], "step": [30, 10, 20]},
        standard_errors={"v": np.ones((2, 3))}, degrees_of_freedom={"v": degrees},
    )  # fmt: skip
    for line, start in zip(reading.figure().panels[0].marks, (1, 4), strict=True):
        np.testing.assert_allclose(line.high - line.y, stats.t.ppf(0.975, np.arange(start, start + 3)))
    turned = Reading(
        "r", {"v": values.T}, {"v": ("net", "arm")}, {"arm": ["a", "b"], "net": ["x", "y", "z"]},
        standard_errors={"v": np.ones((3, 2))}, degrees_of_freedom={"v": degrees.T},
    )  # fmt: skip
    for bars, of_arm in zip(turned.figure().panels[0].marks, degrees, strict=True):
        np.testing.assert_allclose(bars.high - bars.values, stats.t.ppf(0.975, of_arm))


def test_a_mean_over_four_seeds_is_drawn_with_three_degrees_of_freedom() -> None:
    draws = np.random.default_rng(0).normal(size=(4, 3))
    reading = Reading("r", {"v": draws}, {"v": ("seed", "step")}, {"step": [0, 1, 2]})
    figure = reading.mean("seed").figure()
    (line,) = figure.panels[0].marks
    for place in range(3):
        low, high = stats.ttest_1samp(draws[:, place], 0).confidence_interval(0.95)
        assert (line.low[place], line.high[place]) == pytest.approx((low, high))
    assert "Student's t with 3 degrees of freedom" in figure.caption
