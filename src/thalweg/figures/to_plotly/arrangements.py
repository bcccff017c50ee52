"""A figure for a width that is not known yet: traces, and a layout for each number of panels side by side."""

import json
from collections.abc import Sequence
from typing import Any

from thalweg.figures.panel import Panel
from thalweg.figures.to_plotly.render import least_width, render


def arrangements(panels: Sequence[Panel], title: str) -> dict[str, Any]:
    """What Plotly draws: traces and layouts, each with the pixels of width it needs, the widest first."""
    count = len(panels)
    columns = sorted({1, min(2, count), count}, reverse=True)
    drawn = {each: json.loads(str(render(panels, title, columns=each).to_json())) for each in columns}
    layouts = [[least_width(panels, each) if each > 1 else 0, one["layout"]] for each, one in drawn.items()]
    # The traces are the same in all of them.
    return {"data": drawn[1]["data"], "layouts": layouts}
