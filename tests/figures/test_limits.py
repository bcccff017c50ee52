"""What of its marks a panel shows, and from where to where, is the same in both renderers."""

import numpy as np
import pytest

from thalweg.figures import (
    Axis,
    Bars,
    Density,
    Figure,
    Histogram,
    Line,
    ReferenceLine,
    Scatter,
    SurfacePlot,
    TrajectoryLine,
    limits,
)

X = np.linspace(0.1, 3, 40)
SIDE = np.linspace(-1, 1, 9)
BOWL = SIDE[:, None] ** 2 + 3 * SIDE**2 + 0.1
SURFACES = Figure.of(
    "t",
    [SurfacePlot(SIDE, SIDE, BOWL), SurfacePlot(SIDE, SIDE, BOWL + 20)],
    Axis(limits=(-2, 2)),
    z=Axis("z", limits=(0, 9)),
)


def test_areas_are_filled_down_to_the_axis_and_not_across_gaps() -> None:
    heights, gap = [4.0, 2.0, np.nan, 0.0, 1.0, 3.0], 2
    linear = Figure.of("t", [Density(np.arange(6), heights, label="a")])
    area, curve = linear.to_plotly().data
    assert (area.fill, curve.fill) == ("toself", None)
    assert np.flatnonzero(np.isnan(area.y)).tolist() == [2 * gap + 1]
    assert area.y[gap : 2 * gap].tolist() == [0, 0]
    log = Figure.of("t", [Density(np.arange(6), heights, label="a")], y=Axis(scale="log"))
    area, _ = log.to_plotly().data
    assert np.nanmin(area.y) == pytest.approx(0.1)  # a decade below the least, which the axis does not show
    assert log.to_plotly().layout.yaxis.range[0] > -0.5
    polygons = log.to_matplotlib().axes[0].collections[0].get_paths()
    assert sum(len(path.to_polygons()) for path in polygons) == 2


def test_empty_bins_are_empty_on_a_log_axis() -> None:
    figure = Figure.of("t", [Histogram([0.5, 0.6, 3.5], bins=[0, 1, 2, 3, 4])], y=Axis(scale="log"))
    (drawn,) = figure.to_plotly().data
    assert drawn.fill == "toself"
    corners = set(zip(drawn.x[np.isfinite(drawn.y)], drawn.y[np.isfinite(drawn.y)].round(9), strict=True))
    assert corners == {(0, 2), (1, 2), (0, 0.1), (1, 0.1), (3, 1), (4, 1), (3, 0.1), (4, 0.1)}
    low, high = (10**end for end in figure.to_plotly().layout.yaxis.range)
    assert 0.1 < low < 1 < 2 < high
    assert figure.to_matplotlib().axes[0].get_ylim() == pytest.approx((low, high))


def test_a_band_below_zero_leaves_a_log_axis_at_its_foot() -> None:
    line = Line([1, 2, 3], [1, 0.1, 0.01], low=[0.5, -0.1, -1], high=[2, 1, 0.5], label="a")
    free = Figure.of("t", [line], y=Axis(scale="log"))
    low, high = limits.band(line, *free.panels)
    assert low.tolist() == [0.5, 0.001, 0.001]
    assert high.tolist() == [2, 1, 0.5]
    limited = Figure.of("t", [line], y=Axis(scale="log", limits=(1e-4, 10)))
    assert limits.band(line, *limited.panels)[0].tolist() == [0.5, 1e-4, 1e-4]
    assert limited.to_matplotlib().axes[0].get_ylim() == (1e-4, 10)


def test_surfaces_of_a_panel_share_colors_and_keep_limits() -> None:
    figure = SURFACES
    space, bar = figure.to_matplotlib().axes
    assert [surface.get_clim() for surface in space.collections] == [(0, 9), (0, 9)]
    assert bar.get_ylim() == (0, 9)
    assert (space.get_xlim(), space.get_zlim()) == ((-2, 2), (0, 9))
    scene = figure.to_plotly().layout.scene
    assert (scene.xaxis.range, scene.yaxis.range, scene.zaxis.range) == ((-2, 2), None, (0, 9))
    free = Figure.of("t", [SurfacePlot(SIDE, SIDE, BOWL), SurfacePlot(SIDE, SIDE, BOWL + 20)])
    ends = (BOWL.min(), BOWL.max() + 20)
    assert [surface.get_clim() for surface in free.to_matplotlib().axes[0].collections] == [ends, ends]
    logarithms = Figure.of("t", free.panels[0].marks, z=Axis(scale="log", limits=(0.01, 100)))
    assert logarithms.to_matplotlib().axes[0].get_zlim() == (-2, 2)
    assert logarithms.to_plotly().layout.scene.zaxis.range == (-2, 2)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_points_without_a_color_are_gaps(scale: str) -> None:
    colors = [1, np.nan, np.inf, 2, -1]
    figure = Figure.of("t", [Scatter(np.arange(5), np.ones(5), color=colors)], z=Axis(scale=scale))
    shown = [0, 3, 4] if scale == "linear" else [0, 3]
    drawn = figure.to_plotly().data[0].x
    assert drawn[np.isfinite(drawn)].tolist() == shown
    offsets = figure.to_matplotlib().axes[0].collections[0].get_offsets()
    assert offsets[~np.ma.getmaskarray(offsets).any(1) & np.isfinite(offsets).all(1), 0].tolist() == shown


def test_an_error_bar_is_where_it_is_said_to_be() -> None:
    figure = Figure.of("t", [Bars("ab", [1, 2], low=[0.5, 2.2], high=[0.8, 2.6])])
    axes = figure.to_matplotlib().axes[0]
    ends = [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()]
    assert ends == [[0.5, 0.8], [2.2, 2.6]]
    assert [cap.get_ydata().tolist() for cap in axes.lines] == [[0.5, 2.2], [0.8, 2.6]]
    error = figure.to_plotly().data[0].error_y
    np.testing.assert_allclose(np.add([1, 2], error.array), [0.8, 2.6])
    np.testing.assert_allclose(np.subtract([1, 2], error.arrayminus), [0.5, 2.2])


def test_a_rule_outside_the_limits_is_not_drawn() -> None:
    figure = Figure.of("t", [Line([1, 2], [1, 2]), ReferenceLine(10, label="far")], y=Axis(limits=(0, 3)))
    axes = figure.to_matplotlib().axes[0]
    assert (len(axes.lines), len(axes.texts)) == (1, 0)
    layout = figure.to_plotly().layout
    assert (len(layout.shapes), len(layout.annotations)) == (0, 0)


def test_points_that_no_stroke_reaches_are_shown() -> None:
    lonely = np.where(np.arange(40) % 10 == 5, 1.0, np.nan)
    figure = Figure.of("t", [Line(X, lonely, low=lonely - 1, high=lonely + 1)])
    single = np.flatnonzero(np.isfinite(lonely))
    axes = figure.to_matplotlib().axes[0]
    assert axes.lines[0].get_markevery() == single.tolist()
    segments = [segment for drawn in axes.collections[1:] for segment in drawn.get_segments()]
    np.testing.assert_array_equal(segments, [[(X[i], 0), (X[i], 2)] for i in single])
    *_, interval, line = figure.to_plotly().data
    assert line.mode == "lines+markers"
    assert np.flatnonzero(line.marker.size).tolist() == single.tolist()
    assert interval.y[np.isfinite(interval.y)].tolist() == [0, 2] * len(single)
    whole = Figure.of("t", [Line(X, X, label="a")])  # else the legend shows a marker that the line does not have
    assert whole.to_matplotlib().axes[0].lines[0].get_marker() == "None"
    assert whole.to_plotly().data[0].mode == "lines"


def test_a_trajectory_that_got_lost_has_its_dot_where_it_was_last() -> None:
    figure = Figure.of("t", [TrajectoryLine([0, 1, 2, np.nan], [5, 6, 7, 8])])
    assert figure.to_matplotlib().axes[0].lines[0].get_markevery() == [2]
    drawn = figure.to_plotly()
    assert (drawn.data[1].x.tolist(), drawn.data[1].y.tolist()) == ([2], [7])
    assert [step.args[0]["x"][0][0] for step in drawn.layout.sliders[0].steps] == [0, 1, 2, 2]


def test_a_rule_is_within_the_axis() -> None:
    figure = Figure.of("t", [Line([1, 2], [1, 2]), ReferenceLine(10), ReferenceLine(-5, "vertical", label="there")])
    drawn = figure.to_plotly()
    assert {(shape.y0, shape.y1) for shape in drawn.layout.shapes} == {(10, 10), (0, 1)}
    unseen = [trace for trace in drawn.data if trace.marker.opacity == 0]
    assert [(trace.x[0], trace.y[0]) for trace in unseen] == [(1, 10), (-5, 1)]
    axes = figure.to_matplotlib().axes[0]
    assert axes.get_ylim()[1] > 10
    assert axes.get_xlim()[0] < -5


def test_an_axis_may_span_more_powers_of_ten_than_numbers_do() -> None:
    values = np.array([1e-300, 1.0, 1e300])
    figure = Figure.of("all", [Line(values, values)], Axis("x", scale="log"), Axis("y", scale="log"))
    low, high = figure.to_plotly().layout.yaxis.range or (-300, 300)
    assert np.isfinite([low, high]).all()
