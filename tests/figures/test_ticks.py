"""Level lines, ticks and the numbers beside them."""

import numpy as np
import pytest

from thalweg.figures import Axis, Contour, Figure, HeatMap, Line, ReferenceLine, ticks

SIDE = np.linspace(-1, 1, 9)
BOWL = SIDE[:, None] ** 2 + 3 * SIDE**2 + 0.1
HOLED = np.where(BOWL > 3.5, np.nan, BOWL)
MAP = Figure.of("t", [HeatMap(SIDE, SIDE, HOLED), Contour(SIDE, SIDE, HOLED), Line(SIDE, SIDE, label="path")])
UNEVEN = Figure.of("t", [Contour(SIDE, SIDE, HOLED, levels=[1, 1.5, 3])])
LOG_MAP = Figure.of("t", MAP.panels[0].marks[:2], z=Axis("z", scale="log"))


def test_levels_are_round_and_inside() -> None:
    contour = MAP.panels[0].marks[1]
    chosen = ticks.levels(contour, Axis())
    assert 5 <= len(chosen) <= 12
    assert np.nanmin(HOLED) < chosen.min() < chosen.max() < np.nanmax(HOLED)
    np.testing.assert_allclose(chosen, np.round(chosen, 1))
    wide = Contour(SIDE, SIDE, 10.0 ** (4 * BOWL))
    np.testing.assert_allclose(np.log10(ticks.levels(wide, Axis(scale="log"))) % 0.5, 0, atol=1e-9)
    # Both renderers draw these.
    drawn = MAP.to_matplotlib().axes[0].collections[1]
    np.testing.assert_allclose(drawn.levels, chosen)
    contours = MAP.to_plotly().data[1].contours
    np.testing.assert_allclose(np.arange(contours.start, contours.end, contours.size), chosen)


def test_uneven_levels_are_drawn_one_by_one() -> None:
    drawn = UNEVEN.to_plotly().data
    assert [(trace.contours.start, trace.contours.end) for trace in drawn] == [(1, 1), (1.5, 1.5), (3, 3)]


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1050, 1100, 1150], ["1050", "1100", "1150"]),
        ([-0.25, 0, 0.25], ["\N{MINUS SIGN}0.25", "0", "0.25"]),
        ([1 / 3, 2 / 3, 100], ["0.333", "0.667", "100"]),
        ([123456.7, 123456.8], ["123456.7", "123456.8"]),
        ([1e5, 2e5], ["10^5", "2\N{MIDDLE DOT}10^5"]),
        ([2e-7, 3e-7], ["2\N{MIDDLE DOT}10^\N{MINUS SIGN}7", "3\N{MIDDLE DOT}10^\N{MINUS SIGN}7"]),
    ],
)
def test_numbers_beside_each_other_can_be_told_apart(values: list, written: list) -> None:
    assert ticks.numerals(np.array(values, dtype=float), "^", "") == written


def test_a_number_at_a_log_axis_keeps_its_digits() -> None:
    dot, minus = "\N{MIDDLE DOT}", "\N{MINUS SIGN}"
    given = (950, 999.9, 1200, 1500, 0.0025, 0.0075, 1e-5)
    assert [ticks.power(value, "^", "") for value in given] == [
        "950", "10^3", f"1.2{dot}10^3", f"1.5{dot}10^3", f"2.5{dot}10^{minus}3", f"7.5{dot}10^{minus}3", f"10^{minus}5",
    ]  # fmt: skip


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_contours_say_their_levels(scale: str) -> None:
    figure = Figure.of("t", [Contour(SIDE, SIDE, 1000 + 150 * BOWL, levels=[1050, 1150, 1350])], z=Axis(scale=scale))
    texts = {text.get_text() for text in figure.to_matplotlib().axes[0].texts}
    assert texts == {"1050", "1150", "1350"}
    drawn = figure.to_plotly().data
    assert [trace.contours.start for trace in drawn] == [1050, 1150, 1350]
    assert all(trace.contours.showlabels for trace in drawn)
    for trace in drawn:
        # The line is where z is the level, and straight between points in what the axis shows.
        level, z = trace.contours.start, 1000 + 150 * BOWL
        expected = z if scale == "linear" else level * (1 + np.log(z / level))
        np.testing.assert_allclose(trace.z, expected, rtol=1e-6)
        assert trace.contours.size * 1e-6 + level > level  # else Plotly draws none


@pytest.mark.parametrize(
    "given", [[0.75, 0.8, 0.85, 0.9, 0.95, 1], [7.5, 8, 8.5, 9, 9.5, 10], [0.25, 0.5, 0.75, 1], [-10, -7.5, -5, 5, 10]]
)
def test_labels_of_contours_are_the_levels_on_the_page_too(given: list[float]) -> None:
    z = np.linspace(min(given) - 1, max(given) + 1, SIDE.size**2).reshape(SIDE.size, SIDE.size)
    for trace in Figure.of("t", [Contour(SIDE, SIDE, z, levels=given)]).to_plotly().data:
        decimals = int(trace.contours.labelformat.removeprefix(".").removesuffix("~f"))
        steps = trace.contours.size if trace.contours.end > trace.contours.start else np.inf
        for level in [level for level in given if trace.contours.start <= level <= trace.contours.end]:
            assert abs(round(level, decimals) - level) <= min(steps, abs(level)) / 100


def test_a_log_color_bar_is_labelled_with_values() -> None:
    axis = LOG_MAP.to_plotly().layout.coloraxis
    assert axis.cmin == pytest.approx(np.log10(np.nanmin(HOLED)))
    assert axis.cmax == pytest.approx(np.log10(np.nanmax(HOLED)))
    shown = dict(zip(axis.colorbar.ticktext, axis.colorbar.tickvals, strict=True))
    assert shown["1"] == 0
    assert ticks.decades(1e-9, 1e9).tolist() == pytest.approx([1e-9, 1e-6, 1e-3, 1, 1e3, 1e6, 1e9])
    assert ticks.decades(1.5, 30).tolist() == [2, 5, 10, 20]
    assert ticks.decades(2.2, 4.5).tolist() == [2.5, 3, 3.5, 4, 4.5]
    assert ticks.decades(3, 3).tolist() == [3]
    assert ticks.decades(1, 1e11).tolist() == pytest.approx([1, 1e2, 1e4, 1e6, 1e8, 1e10])


def test_a_log_axis_within_a_decade_keeps_plotlys_ticks() -> None:
    short = Figure.of("t", [Line([1, 2, 4], [3, 4, 5])], Axis(scale="log"), Axis(scale="log"))
    assert short.to_plotly().layout.xaxis.dtick is None
    banded = Figure.of("t", [Line([1, 2], [3, 4], low=[1e-12, 2], high=[5, 5])], y=Axis(scale="log"))
    assert banded.to_plotly().layout.yaxis.dtick == 2


def test_logarithms_of_limits_and_annotations() -> None:
    limits = Figure.of(
        "t",
        [Line([1, 2], [1, 2]), ReferenceLine(100, label="l")],
        Axis("x", scale="log", limits=(0.1, 10)),
        Axis("y", scale="log"),
    )
    layout = limits.to_plotly().layout
    assert layout.xaxis.range == (-1, 1)
    assert layout.annotations[0].y == 2  # Plotly wants the exponent here,
    assert layout.shapes[0].y0 == 100  # and the value there.
    assert limits.to_matplotlib().axes[0].get_xlim() == (0.1, 10)


def test_ticks_of_a_log_axis_over_few_decades_do_not_run_into_each_other() -> None:
    line = Line([6.7, 20, 60], [1, 2, 3])
    axes = Figure.of("few", [line], Axis("step", scale="log")).to_matplotlib().axes[0]
    axes.figure.canvas.draw()
    minor, major = ([tick.get_text() for tick in axes.xaxis.get_ticklabels(minor=which)] for which in (True, False))
    assert {"20", "50"} <= {*minor} <= {"20", "50", "5", "2", "100", ""}
    assert "10" in major
    many = Figure.of("many", [Line([1, 1_000], [1, 2])], Axis("step", scale="log")).to_matplotlib().axes[0]
    many.figure.canvas.draw()
    assert any("10^{3}" in tick.get_text() for tick in many.xaxis.get_ticklabels())


def test_a_small_map_of_things_that_are_counted_has_a_tick_for_each() -> None:
    table = np.eye(3)
    figure = Figure.of("pairs", [HeatMap([0, 1, 2], [0, 1, 2], table)])
    axes = figure.to_matplotlib().axes[0]
    assert axes.get_xticks().tolist() == axes.get_yticks().tolist() == [0, 1, 2]
    assert list(figure.to_plotly().layout.yaxis.tickvals) == [0, 1, 2]
    fine = Figure.of("grid", [HeatMap([0, 0.5, 1], [0, 0.5, 1], table)])
    assert fine.to_plotly().layout.yaxis.tickvals is None
