"""Both renderers draw the same: data, gaps, colors, axes. Warnings are errors here, so drawing must be clean."""

import html
import re

import matplotlib as mpl
import matplotlib.style
import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.colors import to_hex

from thalweg.errors import UsageError
from thalweg.figures import (
    Axis,
    Bars,
    Contour,
    Density,
    Figure,
    HeatMap,
    Histogram,
    Line,
    ReferenceLine,
    Scatter,
    SurfacePlot,
    TrajectoryLine,
    style,
    to_plotly,
)

X = np.linspace(0.1, 3, 40)
WAVE = np.where((X > 1) & (X < 1.5), np.nan, np.sin(X) + 1.5)
SIDE = np.linspace(-1, 1, 9)
BOWL = SIDE[:, None] ** 2 + 3 * SIDE**2 + 0.1
HOLED = np.where(BOWL > 3.5, np.nan, BOWL)

FIGURES = {
    "lines": Figure.of(
        "Loss $5$ & <b>",
        [
            Line(X, WAVE, low=WAVE - 2, high=WAVE + 1, label="SGD"),
            Line(X, WAVE + 1, label="Adam"),
            ReferenceLine(2, label="limit"),
        ],
        Axis("step"),
        Axis("loss", "nats"),
    ),
    "log lines": Figure.of(
        "t",
        [
            Line(X, WAVE - 1, low=WAVE - 3, high=WAVE, label="SGD"),
            ReferenceLine(1, "vertical", label="here"),
            ReferenceLine(-1),
        ],
        Axis("lr", scale="log"),
        Axis("loss", scale="log"),
    ),
    "short line": Figure.of("t", [Line([1, 2, 3], [1, np.inf, 2], label="a")], Axis("x", limits=(0, 4)), Axis("y")),
    "scatter": Figure.of(
        "t", [Scatter(X, WAVE, error=0.1 * X, label="a"), Scatter(X, WAVE, color=X)], z=Axis("c", "s")
    ),
    "log scatter": Figure.of("t", [Scatter(X, WAVE, color=np.append(X[:-1], -1))], z=Axis("c", scale="log")),
    "race": Figure.of(
        "t",
        [Contour(SIDE, SIDE, HOLED), TrajectoryLine(X, WAVE, label="a"), TrajectoryLine([0, 1], [1, 0], label="b")],
    ),
    "heat map": Figure.of(
        "t", [HeatMap(SIDE, SIDE, HOLED), Contour(SIDE, SIDE, HOLED), Line(SIDE, SIDE, label="path")]
    ),
    "log heat map": Figure.of("t", [HeatMap(SIDE, SIDE, HOLED), Contour(SIDE, SIDE, HOLED)], z=Axis("z", scale="log")),
    "contour": Figure.of("t", [Contour(SIDE, SIDE, HOLED, levels=[1, 1.5, 3])]),
    "log contour": Figure.of("t", [Contour(SIDE, SIDE, HOLED)], z=Axis("z", scale="log")),
    "surface": Figure.of("t", [SurfacePlot(SIDE, SIDE, HOLED)], z=Axis("loss", "nats")),
    "log surface": Figure.of("t", [SurfacePlot(SIDE, SIDE, HOLED)], z=Axis("loss", scale="log")),
    "histogram": Figure.of(
        "t", [Histogram(WAVE, label="a"), Histogram(X, bins=7, label="b"), ReferenceLine(1, "vertical")]
    ),
    "log histogram": Figure.of("t", [Histogram(WAVE, bins=50)], y=Axis("count", scale="log")),
    "density": Figure.of("t", [Density(X, WAVE, label="a"), Density.estimate(X, label="b")]),
    "log density": Figure.of("t", [Density(X, WAVE, label="a")], y=Axis("density", scale="log")),
    "bars": Figure.of(
        "t",
        [Bars("ab", [1, np.nan], low=[0, 1], high=[3, 2], label="m"), Bars("bc", [2, 3], label="n"), ReferenceLine(2)],
    ),
    "nothing but NaN": Figure.of("t", [Line(X, X * np.nan, low=X * np.nan, high=X, label="a"), Scatter(X, X * np.nan)]),
    "grid of NaN": Figure.of("t", [HeatMap(SIDE, SIDE, BOWL * np.nan), Contour(SIDE, SIDE, BOWL * np.nan)]),
    "flat grid": Figure.of("t", [HeatMap(SIDE, SIDE, BOWL * 0 + 1), Contour(SIDE, SIDE, BOWL * 0 + 1)]),
    "log grid of nothing": Figure.of("t", [HeatMap(SIDE, SIDE, -BOWL)], z=Axis("z", scale="log")),
    "surface of NaN": Figure.of("t", [SurfacePlot(SIDE, SIDE, BOWL * np.nan)]),
    "one cell": Figure.of("t", [HeatMap([0], [0], [[1.0]])]),
    "two surfaces": Figure.of(
        "t",
        [SurfacePlot(SIDE, SIDE, BOWL), SurfacePlot(SIDE, SIDE, BOWL + 20)],
        Axis(limits=(-2, 2)),
        z=Axis("z", limits=(0, 9)),
    ),
    "no bars": Figure.of("t", [Bars([], []), ReferenceLine(1, label="here")]),
    "no density": Figure.of("t", [Density([], []), Density(X, X * np.nan)], y=Axis(scale="log")),
    "no way": Figure.of("t", [TrajectoryLine([], []), TrajectoryLine([0, 1], [1, 2]), TrajectoryLine([np.nan], [1])]),
    "levels without a logarithm": Figure.of("t", [Contour(SIDE, SIDE, BOWL, levels=[0, 1])], z=Axis(scale="log")),
    "columns from right to left": Figure.of("t", [HeatMap(SIDE[::-1], SIDE, BOWL), Contour(SIDE[::-1], SIDE, BOWL)]),
    "no value": Figure.of("t", [Histogram([]), Histogram([np.nan], density=True)]),
}
FIGURES["row"] = Figure.row([FIGURES["lines"], FIGURES["heat map"], FIGURES["surface"], FIGURES["bars"]], title="All")


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_matplotlib_draws_without_a_warning(figure: Figure) -> None:
    canvas = figure.to_matplotlib()
    canvas.savefig("/dev/null", format="png", dpi=40)
    panels = [axes for axes in canvas.axes if axes.get_label() != "<colorbar>"]
    assert len(panels) == len(figure.panels)


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize("columns", [None, 1])
def test_plotly_takes_every_figure(figure: Figure, columns: int | None) -> None:
    drawn = figure.to_plotly(columns=columns)
    text = drawn.to_json()
    assert "Infinity" not in text
    assert "NaN" not in text
    assert drawn.layout.autosize
    assert drawn.layout.width is None
    assert drawn.layout.paper_bgcolor == drawn.layout.plot_bgcolor == "rgba(0,0,0,0)"


def traces(figure: Figure, name: str) -> list[go.Scatter]:
    return [trace for trace in figure.to_plotly().data if trace.name == name]


def test_a_gap_stays_a_gap() -> None:
    figure = FIGURES["lines"]
    (line,) = (trace for trace in traces(figure, "SGD") if trace.showlegend)
    np.testing.assert_array_equal(line.y, WAVE)
    assert not line.connectgaps
    drawn = figure.to_matplotlib().axes[0].lines[0]
    np.testing.assert_array_equal(drawn.get_ydata(), WAVE)


def test_the_band_is_broken_where_the_line_is() -> None:
    figure = FIGURES["lines"]
    (outline,) = (trace for trace in traces(figure, "SGD") if trace.fill == "toself")
    hole = np.isnan(WAVE)
    before, after = np.flatnonzero(hole)[[0, -1]]
    first, second = 2 * before + 1, 2 * (len(X) - after - 1) + 1
    assert len(outline.x) == first + 1 + second
    assert np.isnan(outline.y[first])
    # Each piece runs along the upper end, back along the lower one, and to where it began.
    np.testing.assert_allclose(outline.y[:before], WAVE[:before] + 1)
    np.testing.assert_allclose(outline.y[before : 2 * before][::-1], WAVE[:before] - 2)
    assert outline.y[first - 1] == outline.y[0]
    np.testing.assert_allclose(outline.x[first + 1 :][: second // 2], X[after + 1 :])
    polygons = figure.to_matplotlib().axes[0].collections[0].get_paths()
    assert sum(len(path.to_polygons()) for path in polygons) == 2


def test_a_log_axis_shows_only_what_is_positive() -> None:
    figure = FIGURES["log lines"]
    (line,) = (trace for trace in traces(figure, "SGD") if trace.showlegend)
    expected = np.where(WAVE - 1 > 0, WAVE - 1, np.nan)
    np.testing.assert_array_equal(line.y, expected)
    np.testing.assert_array_equal(figure.to_matplotlib().axes[0].lines[0].get_ydata(), expected)
    (outline,) = (trace for trace in traces(figure, "SGD") if trace.fill == "toself")
    smallest = np.nanmin(np.concatenate([expected, WAVE]))
    assert np.nanmin(outline.y) == smallest / 10  # cut below what the axis shows, not dropped
    layout = figure.to_plotly().layout
    assert 10 ** layout.yaxis.range[0] == pytest.approx(figure.to_matplotlib().axes[0].get_ylim()[0])
    assert smallest / 2 < 10 ** layout.yaxis.range[0] < smallest
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "log")
    assert len(layout.shapes) == 1  # a rule at -1 has no place on it


def test_both_renderers_give_a_series_the_same_color_and_dash() -> None:
    lines = [Line(X, X * k, label=str(k)) for k in range(1, 10)]
    figure = Figure.of("t", lines)
    drawn = figure.to_matplotlib().axes[0].lines
    interactive = figure.to_plotly().data
    looks = set()
    for line, trace in zip(drawn, interactive, strict=True):
        assert to_hex(line.get_color()).upper() == trace.line.color
        assert (line.get_linestyle() == "-") == (trace.line.dash == "solid")
        looks.add((trace.line.color, trace.line.dash))
    assert len(looks) == 9  # past the seven colors, the dash tells lines apart


def test_series_can_be_told_apart_in_grey() -> None:
    assert len({look.dash for look in style.SERIES}) == len(style.SERIES)
    assert len({look.marker for look in style.SERIES}) == len(style.SERIES)
    assert len({look.hatch for look in style.SERIES}) == len(style.SERIES)
    assert {look.marker for look in style.SERIES} == set(style.MARKERS)


def test_a_label_looks_the_same_in_every_panel_and_is_listed_once() -> None:
    first = Figure.of("a", [Line(X, X, label="SGD"), Line(X, X, label="Adam")])
    second = Figure.of("b", [Line(X, X), Line(X, X, label="Adam"), Line(X, X, label="SGD")])
    row = Figure.row([first, second])
    left, right = style.styles(row.panels)
    assert (right[1], right[2]) == (left[1], left[0])
    assert right[0] not in left
    listed = [trace.name for trace in row.to_plotly().data if trace.showlegend]
    assert listed == ["SGD", "Adam"]
    (legend,) = row.to_matplotlib().legends
    assert [text.get_text() for text in legend.get_texts()] == ["SGD", "Adam"]


def test_marks_on_a_grid_avoid_its_blue() -> None:
    assert style.styles(FIGURES["heat map"].panels)[0][2].color != style.SERIES[0].color


@pytest.mark.parametrize("kind", ["heat map", "surface"])
def test_colors_span_the_values_and_the_map_is_perceptual(kind: str) -> None:
    drawn = FIGURES[kind].to_plotly()
    axis = drawn.layout.coloraxis
    assert (axis.cmin, axis.cmax) == (np.nanmin(HOLED), np.nanmax(HOLED))
    np.testing.assert_array_equal(drawn.data[0].z, HOLED)
    # Plotly's viridis and Matplotlib's are the same map.
    first, last = axis.colorscale[0][1], axis.colorscale[-1][1]
    assert first == to_hex(mpl.colormaps[style.GRID_MAP](0.0))
    assert last == to_hex(mpl.colormaps[style.GRID_MAP](1.0))


def test_bars_stand_at_their_category() -> None:
    figure = FIGURES["bars"]
    axes = figure.to_matplotlib().axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]
    centers = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert [round(center) for center in centers] == [0, 1, 1, 2]
    assert list(figure.to_plotly().layout.xaxis.categoryarray) == ["a", "b", "c"]
    error = figure.to_plotly().data[0].error_y
    assert (error.array[0], error.arrayminus[0]) == (2, 1)


def test_text_is_text_in_both() -> None:
    figure = FIGURES["lines"]
    assert figure.to_plotly().layout.title.text == "Loss $5$ &amp; &lt;b&gt;"
    canvas = figure.to_matplotlib()
    title = canvas.axes[0].get_title(loc="left")
    assert title == r"Loss \$5\$ & <b>"


def test_nothing_is_fetched_or_sent(tmp_path) -> None:
    page = FIGURES["row"].save(tmp_path / "row.html").read_text()
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "http" not in markup
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)
    assert '"showSendToCloud": false' in page
    assert to_plotly.CONFIG["plotlyServerURL"] == ""  # rendering leaves the shared settings alone
    assert html.escape(FIGURES["row"].description) in page


def test_users_own_matplotlib_settings_are_left_alone() -> None:
    before = dict(mpl.rcParams)
    FIGURES["lines"].to_matplotlib()
    assert dict(mpl.rcParams) == before


def test_panels_stack_on_a_narrow_page() -> None:
    wide, narrow = FIGURES["row"].to_plotly().layout, FIGURES["row"].to_plotly(columns=1).layout
    assert wide.xaxis2.domain[0] > wide.xaxis.domain[1]
    assert narrow.xaxis2.domain == narrow.xaxis.domain
    assert narrow.yaxis2.domain[1] < narrow.yaxis.domain[0]
    assert narrow.height > 3 * wide.height
    with pytest.raises(UsageError, match="at least one column"):
        FIGURES["row"].to_plotly(columns=0)


def test_cells_of_a_heat_map_end_halfway_as_the_axis_measures_it() -> None:
    rates, widths = [1e-3, 1e-2, 1e-1], [8, 16]
    figure = Figure.of("t", [HeatMap(rates, widths, np.ones((2, 3)))], x=Axis("lr", scale="log"), y=Axis("width"))
    (mesh,) = figure.to_matplotlib().axes[0].collections
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], 10.0 ** np.array([-3.5, -2.5, -1.5, -0.5]))
    np.testing.assert_allclose(corners[:, 0, 1], [4, 12, 20])


def test_dots_move_along_their_trajectories_and_wait_at_the_end():
    drawn = FIGURES["race"].to_plotly()
    heads = [index for index, trace in enumerate(drawn.data) if trace.type == "scatter" and trace.mode == "markers"]
    assert len(heads) == 2
    assert all("meta" not in trace.to_plotly_json() for trace in drawn.data)
    (slider,) = drawn.layout.sliders
    assert len(slider.steps) == len(X)
    for number, step in enumerate(slider.steps):
        places, moved = step.args
        assert list(moved) == heads
        reached = X[: number + 1][np.isfinite(WAVE[: number + 1])]  # in a gap it waits
        np.testing.assert_array_equal(places["x"][0], reached[-1:])
        np.testing.assert_array_equal(places["x"][1], [0.0] if number == 0 else [1.0])
    assert slider.active == len(X) - 1
    assert not FIGURES["lines"].to_plotly().layout.sliders


def test_a_slider_draws_everything_anew_and_no_frame_takes_maps_away():
    """Plotly's frames draw their own traces alone, and heat maps and contours are gone while they play."""
    drawn = Figure.of("t", [HeatMap(SIDE, SIDE, BOWL), TrajectoryLine(X, X)]).to_plotly()
    assert not drawn.frames
    assert not drawn.layout.updatemenus
    assert {step.method for step in drawn.layout.sliders[0].steps} == {"restyle"}


def test_long_trajectories_have_a_bounded_number_of_moments():
    x = np.linspace(0, 1, 10_001)
    drawn = Figure.of("t", [TrajectoryLine(x, x)]).to_plotly()
    (slider,) = drawn.layout.sliders
    assert len(slider.steps) == 60
    assert slider.steps[-1].args[0]["x"] == [[1.0]]


@pytest.mark.parametrize(
    "below",
    [HeatMap(SIDE, SIDE, BOWL), Bars("ab", [1, 2])],
    ids=["heat map", "bars"],
)
def test_rules_are_above_what_would_hide_them(below: HeatMap | Bars) -> None:
    axes = Figure.of("t", [ReferenceLine(0.5), below]).to_matplotlib().axes[0]
    hiding = [*axes.collections, *axes.patches]
    assert min(line.get_zorder() for line in axes.lines) > max(artist.get_zorder() for artist in hiding)


def test_a_band_is_above_the_map_it_is_drawn_on() -> None:
    marks = [HeatMap(SIDE, SIDE, BOWL), Line(SIDE, SIDE, low=SIDE - 0.1, high=SIDE + 0.1)]
    mesh, band = Figure.of("t", marks).to_matplotlib().axes[0].collections
    assert mesh.get_zorder() < band.get_zorder()


def test_users_own_matplotlib_settings_do_not_show(tmp_path) -> None:
    figure = FIGURES["lines"]
    first = figure.save(tmp_path / "first.png").read_bytes()
    with mpl.rc_context({**mpl.style.library["dark_background"], "savefig.bbox": "tight", "lines.antialiased": False}):
        assert figure.save(tmp_path / "second.png").read_bytes() == first


def test_categories_are_text_in_plotly() -> None:
    drawn = Figure.of("t", [Bars(["a<b>", "c"], [1, 2]), ReferenceLine(1.5)]).to_plotly()
    assert drawn.data[0].x == ("a&lt;b&gt;", "c")
    assert drawn.layout.xaxis.categoryarray == ("a&lt;b&gt;", "c")
    assert drawn.data[1].x == ("a&lt;b&gt;",)


@pytest.mark.parametrize("low", [1.0, 7.0, 0.02])
def test_numbers_at_a_log_axis_are_whole_whatever_it_spans(low: float) -> None:
    """Plotly writes a bare 2 for 0.02 between two powers of ten, unless a format is given."""
    for decades in (0.3, 0.9, 1.5, 3.0):
        ends = [low, low * 10**decades]
        log = Axis("rate", scale="log")
        flat = Figure.of("Log", [Line(ends, ends)], log, log).to_plotly().layout
        deep = Figure.of("Log", [SurfacePlot(ends, ends, np.outer(ends, ends))], log, log, log).to_plotly().layout
        for axis in (flat.xaxis, flat.yaxis, deep.scene.xaxis, deep.scene.zaxis):
            assert axis.tickformat or float(axis.dtick).is_integer()


def test_a_figure_draws_as_many_powers_of_ten_as_can_be_read() -> None:
    log = Axis("loss", scale="log")
    layout = Figure.of("Log", [Line([1e-20, 1.0], [1e-20, 1.0])], log, log).to_plotly().layout
    assert layout.xaxis.dtick == 2


def test_names_are_the_ticks_of_an_axis_and_hollow_points_are_outlines() -> None:
    marks = [Scatter([0.1, 10.0], [0, 1], label="filled"), Scatter([1.0], [1], label="hollow", hollow=True)]
    figure = Figure.of("Rows", marks, Axis("bound", scale="log"), Axis(names=["lower $x$", "upper <b>"]))
    canvas, page = figure.to_matplotlib(), figure.to_plotly()
    (axes,) = canvas.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"lower \$x\$", "upper <b>"]
    assert axes.get_ylim() == (-0.5, 1.5)
    filled, hollow = axes.collections
    assert len(hollow.get_facecolor()) == 0
    assert to_hex(hollow.get_edgecolor()[0]) == page.data[1].marker.line.color.lower()
    assert to_hex(filled.get_facecolor()[0]) == page.data[0].marker.color.lower()
    assert list(page.layout.yaxis.ticktext) == ["lower $x$", html.escape("upper <b>")]
    again = Figure.from_json(figure.to_json())
    assert again.panels[0].y.names == ("lower $x$", "upper <b>")
    assert again.panels[0].marks[1].hollow


def test_names_are_of_places_on_a_linear_axis() -> None:
    with pytest.raises(UsageError, match="linear axis"):
        Axis(scale="log", names=["a"])
    with pytest.raises(UsageError, match="hollow, or show a value"):
        Scatter([1.0], [1.0], color=[2.0], hollow=True)
