"""Panels, titles and legends have room."""

import numpy as np
import pytest

from thalweg.figures import Axis, Figure, HeatMap, Line, to_plotly

X = np.linspace(0.1, 3, 40)
SIDE = np.linspace(-1, 1, 9)
BOWL = SIDE[:, None] ** 2 + 3 * SIDE**2 + 0.1


@pytest.mark.parametrize(
    "labels", [[f"s{i}" for i in range(1, 8)], [f"a label of thirty-five letters, no. {i:3d}" for i in range(14)]]
)
def test_a_legend_fits_and_leaves_its_plot_room(labels: list) -> None:
    canvas = Figure.of("t", [Line(X, X, label=label) for label in labels], Axis("x"), Axis("y")).to_matplotlib()
    canvas.savefig("/dev/null", format="png")
    (legend,) = canvas.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= canvas.bbox.width
    assert canvas.axes[0].get_window_extent().height > 2 * canvas.dpi
    high = Figure.of("t", [Line(X, X, label=label) for label in labels]).to_plotly().layout.height
    assert (high > 600) == (len(labels) == 14)


def test_a_row_of_many_panels_is_broken_and_titles_are_wrapped() -> None:
    title = "a title of many letters that is longer than any panel is wide, and then some more"
    panels = [Figure.of(title, [HeatMap(SIDE, SIDE, BOWL)], Axis("x"), Axis("y"), Axis("z")) for _ in range(4)]
    canvas = Figure.row(panels, title=f"{title}; {title}").to_matplotlib()
    canvas.savefig("/dev/null", format="png")
    assert canvas.get_figwidth() <= 8
    texts = [axes._left_title for axes in canvas.axes if axes.get_label() != "<colorbar>"] + [canvas._suptitle]
    assert len(texts) == 5
    boxes = [text.get_window_extent() for text in texts]
    assert all(box.x0 >= 0 and box.x1 <= canvas.bbox.width for box in boxes)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    headings = Figure.row(panels).to_plotly().layout.annotations
    assert max(len(line) for heading in headings for line in heading.text.split("<br>")) <= 28


def test_panels_side_by_side_are_of_one_width() -> None:
    grid, plain = Figure.of("a", [HeatMap(SIDE, SIDE, BOWL)], z=Axis("loss")), Figure.of("b", [Line(X, X)])
    row = Figure.row([grid, plain, grid])
    layout = row.to_plotly().layout
    domains = [layout.xaxis.domain, layout.xaxis2.domain, layout.xaxis3.domain]
    np.testing.assert_allclose(np.diff(domains, axis=1), np.diff(domains[0])[0])
    assert layout.coloraxis.colorbar.x < domains[1][0] - 0.1  # room for the bar's ticks and title, and the next label
    stacked = row.to_plotly(columns=1).layout
    heights = [stacked.yaxis.domain, stacked.yaxis2.domain, stacked.yaxis3.domain]
    np.testing.assert_allclose(np.diff(heights, axis=1), np.diff(heights[0])[0])
    crowd = Figure.row([grid] * 8).to_plotly().layout
    assert crowd.xaxis8.domain[1] - crowd.xaxis8.domain[0] > 0.04
    assert (
        to_plotly.least_width(row.panels, 3)
        > to_plotly.least_width(row.panels, 2)
        > to_plotly.least_width(row.panels, 1)
    )
