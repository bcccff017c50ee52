"""Lines with bands over a dimension, against what one would compute by hand."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, ReferenceLine
from thalweg.results import Reading, spread

DRAWS = np.exp(np.random.default_rng(0).normal(size=(2, 4, 5)))  # rule, step, seed


def losses(values: np.ndarray = DRAWS, steps: tuple = (1, 2, 3, 4)) -> Reading:
    return Reading(
        "loss",
        {"training_loss": values},
        {"training_loss": ("rule", "step", "seed")},
        {"rule": ["SGD", "Adam"], "step": np.array(steps)},
        {"training_loss": "nats"},
    )


@pytest.mark.parametrize(
    ("center", "by_hand"),
    [
        ("mean", lambda v: v.mean(1)),
        ("median", lambda v: np.median(v, 1)),
        ("geometric mean", lambda v: np.exp(np.log(v).mean(1))),
    ],
)
def test_lines_and_bands_are_those_computed_by_hand(center: str, by_hand) -> None:
    figure = spread(losses(), x="step", over="seed", center=center)
    assert isinstance(figure, Figure)
    (panel,) = figure.panels
    assert [line.label for line in panel.marks] == ["SGD", "Adam"]
    for line, values in zip(panel.marks, DRAWS, strict=True):
        np.testing.assert_array_equal(line.x, [1, 2, 3, 4])
        np.testing.assert_allclose(line.y, by_hand(values))
        np.testing.assert_array_equal(line.low, values.min(1))
        np.testing.assert_array_equal(line.high, values.max(1))
    assert (panel.x.text, panel.y.text, figure.title) == ("step", "training loss (nats)", "loss")
    assert figure.caption == f"{center.capitalize()} of 5 seeds; bands run from the smallest to the largest."


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_the_order_of_dimensions_does_not_matter(order: tuple) -> None:
    dims = tuple(("rule", "step", "seed")[place] for place in order)
    reading = Reading("loss", {"v": DRAWS.transpose(order)}, {"v": dims}, {"rule": ["a", "b"], "step": [1, 2, 3, 4]})
    for line, values in zip(spread(reading, x="step", over="seed").panels[0].marks, DRAWS, strict=True):
        np.testing.assert_array_equal(line.high, values.max(1))


def test_coordinates_are_drawn_in_order() -> None:
    (first, _) = spread(losses(steps=(30, 10, 40, 20)), x="step", over="seed").panels[0].marks
    assert first.x.tolist() == [10, 20, 30, 40]
    np.testing.assert_array_equal(first.low, DRAWS[0][[1, 3, 0, 2]].min(1))


def test_what_is_no_number_is_left_out_and_counted() -> None:
    values = DRAWS.copy()
    values[0, 1, 2] = np.nan
    values[1, 3] = np.nan
    figure = spread(losses(values), x="step", over="seed", caption="Digits.")
    first, second = figure.panels[0].marks
    assert first.y[1] == pytest.approx(np.delete(DRAWS[0, 1], 2).mean())
    assert first.high[1] == np.delete(DRAWS[0, 1], 2).max()
    assert np.isnan([second.y[3], second.low[3], second.high[3]]).all()
    assert figure.caption == (
        "Digits. Mean of 5 seeds; bands run from the smallest to the largest. 6 of 40 values are not numbers and are "
        "left out."
    )


def test_without_a_further_dimension_there_is_one_line() -> None:
    figure = spread(losses().select("rule", "Adam"), x="step", over="seed", title="Adam")
    (line,) = figure.panels[0].marks
    assert (line.label, figure.title) == ("", "Adam")
    np.testing.assert_allclose(line.y, DRAWS[1].mean(1))


def test_axes_can_be_given_and_marks_added() -> None:
    axes = {"x_axis": Axis("step", scale="log"), "y_axis": Axis("loss", limits=(0, 9))}
    figure = spread(losses(), x="step", over="seed", **axes).with_marks(ReferenceLine(1.0))
    (panel,) = figure.panels
    assert (panel.x, panel.y, len(panel.marks)) == (axes["x_axis"], axes["y_axis"], 3)


@pytest.mark.parametrize(
    ("reading", "asked", "fault"),
    [
        (losses(), {"x": "stp"}, "Did you mean 'step'"),
        (losses(), {"over": "step"}, "need two dimensions"),
        (losses(), {"x": "rule"}, "coordinates of 'rule' are names"),
        (losses(), {"center": "mode"}, "center is one of mean, median, geometric mean; got 'mode'"),
        (losses(DRAWS - 5), {"center": "geometric mean"}, "needs positive values"),
        (losses(), {"array": "los"}, "There is no array 'los'"),
        (Reading("r", {"v": [["a"]]}, {"v": ("step", "seed")}), {}, "'v' are text"),
        (
            Reading("r", {"v": np.ones((1, 1, 1, 1))}, {"v": ("step", "seed", "rule", "net")}),
            {},
            r"reading\.select\('rule', value\)",
        ),
    ],
)
def test_what_cannot_be_drawn_so(reading: Reading, asked: dict, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        spread(reading, **({"x": "step", "over": "seed"} | asked))
