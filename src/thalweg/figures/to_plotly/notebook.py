"""A figure as the output of a notebook's cell: a picture, drawn anew as soon as Plotly is there.

Measured: Plotly's script is 4.8 MB, and 2.0 MB packed as it is here; a figure of two panels without it is 0.1 to 0.3
MB, most of it the pictures. So the script comes with the first figure of a kernel alone, and the whole page uses it,
where the front end says which cell is run, as JupyterLab, Notebook 7 and VS Code do. Where it does not, nobody could
say whether the output that had the script is still there, and in Colab every output is a page of its own: there each
figure brings it.
"""

import base64
import functools
import gzip
import hashlib
import sys
from collections.abc import Sequence
from importlib import resources
from typing import Any

from thalweg.figures.panel import Panel
from thalweg.figures.style import INK, spatial
from thalweg.figures.to_plotly.arrangements import arrangements
from thalweg.figures.to_plotly.render import CONFIG, FONT
from thalweg.markup import element, embedded, text
from thalweg.notebook import cell, shell


class Library:
    """Which output brings Plotly's script: the first of a kernel, and that cell's again when it is run again.

    Every output brings it where nothing is known of the page, without a kernel or without the cell's id, and where each
    is a page of its own, in Colab.
    """

    def __init__(self) -> None:
        self.brought: tuple[Any, Any] | None = None  # by which cell, and at which of its runs

    def due(self) -> bool:
        """Whether the output that is made now has to bring it; asked once an output."""
        here = shell()
        if here is None:
            return True
        said = cell()
        now = said.get("cellId"), here.execution_count
        if now[0] is None or "google.colab" in sys.modules:
            return True
        if self.brought is not None:
            place, run = self.brought
            again = place == now[0] and run != now[1]
            if not again and place not in said.get("deletedCells", ()):
                return False
        self.brought = now
        return True


LIBRARY = Library()


def output(panels: Sequence[Panel], title: str, *, caption: str, description: str, picture: bytes) -> str:
    """HTML that shows the picture, a PNG, and in its place the interactive figure where scripts run."""
    drawn = arrangements(panels, title) | {"spatial": any(map(spatial, panels))}
    figure = embedded(drawn)
    name = hashlib.sha256(figure.encode()).hexdigest()[:16]
    arguments = [embedded(name), figure, embedded(CONFIG), embedded(_packed() if LIBRARY.due() else "")]
    script = _asset("notebook.js").replace("/* fit.js */", FIT)
    source = "data:image/png;base64," + base64.b64encode(picture).decode()
    return element(
        "figure",
        f'<img alt="{text(description)}" src="{source}" style="max-width:min(100%,44rem)">',
        element("div", role="group", aria_label=description),
        element("figcaption", text(caption), style=f"font:0.92em/1.45 {FONT};max-width:45rem") if caption else "",
        # Notebooks may be dark, and ink on a figure is not.
        style=f"margin:0;padding:0.5rem;background:#fff;color:{INK}",
        data_thalweg=name,
    ) + element("script", f"{script.rstrip()}({','.join(arguments)});")


def _asset(name: str) -> str:
    return resources.files("thalweg.figures.to_plotly").joinpath(name).read_text(encoding="utf-8")


FIT = _asset("fit.js")  # for every script that draws


@functools.cache
def _packed() -> str:
    """Plotly's script, gzipped, in base64."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
