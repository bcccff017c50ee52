"""Figures on the page: interactive where scripts run, a picture until then and in print."""

import base64
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thalweg.report.markup import element, embedded, text
from thalweg.results import Contour, Figure, HeatMap, Surface, matplotlib, plotly


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
    spatial = any(isinstance(mark, Surface) for part in figure.parts for mark in part.marks)
    title = element("strong", text(figure.title)) if figure.title else ""
    untitled = replace(figure, title="")
    picture = element(
        "figure",
        f'<img alt="{text(figure.description)}" src="{_picture(untitled)}">',
        element("div", class_="plot", role="group", aria_label=figure.description),
        element("button", "Draw in 3-D", type="button", hidden=True) if spatial else "",
        element("figcaption", title, " " if title and figure.caption else "", text(figure.caption)),
        id=name,
        data_plot=f"{name}-data",
        data_spatial=spatial,
    )
    data = element("script", embedded(_description(untitled)), type="application/json", id=f"{name}-data")
    return Drawing(picture, data)


def _description(figure: Figure) -> dict[str, Any]:
    """What Plotly draws: traces, the layout, and the layout for a narrow page where that differs."""
    wide = _plain(plotly.render(figure))
    if not figure.panels:
        return wide
    narrow = _plain(plotly.render(figure, columns=1))
    return wide | {"narrow": narrow}


def _plain(drawn: Any) -> dict[str, Any]:
    described = json.loads(drawn.to_json())
    return {name: described[name] for name in ("data", "layout", "frames") if name in described}


def _picture(figure: Figure) -> str:
    """A PNG as a data URI."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        matplotlib.save(figure, path)
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _flat(figure: Figure) -> Figure | None:
    """The surfaces of a figure as maps; None when it has none, or has flat grids already."""
    marks = [mark for part in figure.parts for mark in part.marks]
    if not any(isinstance(mark, Surface) for mark in marks) or any(isinstance(m, HeatMap | Contour) for m in marks):
        return None
    parts = [_map(part) for part in figure.parts if any(isinstance(mark, Surface) for mark in part.marks)]
    if len(parts) == 1:
        return replace(parts[0], title=figure.title, caption="The same, seen from above.")
    return Figure.row(parts, title=figure.title, caption="The same, seen from above.")


def _map(part: Figure) -> Figure:
    surface = next(mark for mark in part.marks if isinstance(mark, Surface))
    grid = (surface.x, surface.y, surface.z)
    marks = (HeatMap(*grid, label=surface.label), Contour(*grid, label=surface.label))
    return replace(part, marks=marks, alt="", caption="")
