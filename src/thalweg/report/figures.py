"""Figures on the page: interactive where scripts run, a picture until then and in print."""

import base64
from dataclasses import dataclass, replace

from thalweg.figures import Axis, Contour, Figure, HeatMap, Panel, SurfacePlot, to_plotly
from thalweg.figures.limits import color_ends
from thalweg.figures.style import spatial
from thalweg.markup import element, embedded, text


@dataclass(frozen=True)
class Drawing:
    """A figure as HTML, and the data its script needs.

    Args:
        html: the <figure>, or two side by side.
        data: the <script> with Plotly's description of each.
    """

    html: str
    data: str


def drawing(figure: Figure, name: str) -> Drawing:
    """The figure under the id `name`; beside a surface that has no flat grid with it, its map."""
    flat = _flat(figure)
    if flat is None:
        return _drawing(figure, name)
    both = [_drawing(flat, f"{name}-flat"), _drawing(figure, name)]
    pair = element("div", *(one.html for one in both), class_="pair")
    return Drawing(pair, "\n".join(one.data for one in both))


def _drawing(figure: Figure, name: str) -> Drawing:
    title = element("strong", text(figure.title)) if figure.title else ""
    untitled = figure.untitled()
    drawn = to_plotly.arrangements(untitled.panels, untitled.title)
    heights = [[least, layout["height"]] for least, layout in drawn["layouts"]]
    picture = element(
        "figure",
        f'<img alt="{text(figure.description)}" src="{_picture(untitled)}">',
        element("div", class_="plot", role="group", aria_label=figure.description),
        element("button", "Draw in 3-D", type="button", hidden=True) if any(map(spatial, figure.panels)) else "",
        element("figcaption", title, " " if title and figure.caption else "", text(figure.caption)),
        id=name,
        data_plot=f"{name}-data",
        data_heights=embedded(heights),
        data_spatial=any(map(spatial, figure.panels)),
    )
    data = element(
        "script",
        embedded(drawn),
        type="application/json",
        id=f"{name}-data",
    )
    return Drawing(picture, data)


def _picture(figure: Figure) -> str:
    """A PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(figure.png()).decode()


def _flat(figure: Figure) -> Figure | None:
    """The surfaces of a figure as maps; None when it has none, or has flat grids already."""
    marks = [mark for panel in figure.panels for mark in panel.marks]
    if not any(map(spatial, figure.panels)) or any(isinstance(mark, HeatMap | Contour) for mark in marks):
        return None
    maps = [each for panel in figure.panels for each in _maps(panel)]
    if len(maps) == 1:
        maps = [replace(maps[0], title=figure.title)]
    return Figure.row(maps, title=figure.title, caption="The same, seen from above.")


def _maps(panel: Panel) -> list[Panel]:
    """A map of each surface of a panel, in which a color means the same as in the panel."""
    surfaces = [mark for mark in panel.marks if isinstance(mark, SurfacePlot)]
    low, high = color_ends(panel)
    if len(surfaces) > 1 and low < high:
        panel = replace(panel, z=replace(panel.z or Axis(), limits=(low, high)))
    return [
        replace(
            panel,
            title=": ".join(name for name in (panel.title, mark.label if len(surfaces) > 1 else "") if name),
            marks=tuple(kind(mark.x, mark.y, mark.z, label=mark.label) for kind in (HeatMap, Contour)),
        )
        for mark in surfaces
    ]
