"""Panels, titles and legends have room."""

import numpy as np
import pytest

from thalweg.figures import Axis, Figure, HeatMap, Line, to_matplotlib, to_plotly

X = np.linspace(0.1, 3, 40)
SIDE = np.linspace(-1, 1, 9)
BOWL = SIDE[:, None] ** 2 + 3 * SIDE**2 + 0.1


@pytest.mark.parametrize(
    "labels", [[f"s{i}" for i in range(1, 8)], [f"a label of thirty-five letters, no. {i:3d}" for i in range(14)]]
)
def test_a_legend_fits_and_leaves_its_plot_room(labels: list) -> None:
    canvas = to_matplotlib.render(Figure.of("t", [Line(X, X, label=label) for label in labels], Axis("x"), Axis("y")))
    canvas.savefig("/dev/null", format="png")
    (legend,) = canvas.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= canvas.bbox.width
    assert canvas.axes[0].get_window_extent().height > 2 * canvas.dpi
    high = to_plotly.render(Figure.of("t", [Line(X, X, label=label) for label in labels])).layout.height
    assert (high > 600) == (len(labels) == 14)


def test_a_row_of_many_panels_is_broken_and_titles_are_wrapped() -> None:
    title = "a title of many letters that is longer than any panel is wide, and then some more"
    panels = [Figure.of(title, [HeatMap(SIDE, SIDE, BOWL)], Axis("x"), Axis("y"), Axis("z")) for _ in range(4)]
    canvas = to_matplotlib.render(Figure.row(panels, title=f"{title}; {title}"))
    canvas.savefig("/dev/null", format="png")
    assert canvas.get_figwidth() <= 8
    texts = [axes._left_title for axes in canvas.axes if axes.get_label() != "<colorbar>"] + [canvas._suptitle]
    assert len(texts) == 5
    boxes = [text.get_window_extent() for text in texts]
    assert all(box.x0 >= 0 and box.x1 <= canvas.bbox.width for box in boxes)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    headings = to_plotly.render(Figure.row(panels)).layout.annotations
    assert max(len(line) for heading in headings for line in heading.text.split("<br>")) <= 28


def test_panels_side_by_side_are_of_one_width() -> None:
    grid, plain = Figure.of("a", [HeatMap(SIDE, SIDE, BOWL)], z=Axis("loss")), Figure.of("b", [Line(X, X)])
    row = Figure.row([grid, plain, grid])
    layout = to_plotly.render(row).layout
    domains = [layout.xaxis.domain, layout.xaxis2.domain, layout.xaxis3.domain]
    np.testing.assert_allclose(np.diff(domains, axis=1), np.diff(domains[0])[0])
    assert layout.coloraxis.colorbar.x < domains[1][0] - 0.1  # room for the bar's ticks and title, and the next label
    stacked = to_plotly.render(row, columns=1).layout
    heights = [stacked.yaxis.domain, stacked.yaxis2.domain, stacked.yaxis3.domain]
    np.testing.assert_allclose(np.diff(heights, axis=1), np.diff(heights[0])[0])
    crowd = to_plotly.render(Figure.row([grid] * 8)).layout
    assert crowd.xaxis8.domain[1] - crowd.xaxis8.domain[0] > 0.04
    assert to_plotly.least_width(row, 3) > to_plotly.least_width(row, 2) > to_plotly.least_width(row, 1)
