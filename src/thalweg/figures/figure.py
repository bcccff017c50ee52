"""A figure: one panel, or several side by side under a title, with what is said about them."""

import base64
import dataclasses
import io
import json
import os
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.arguments import in_words
from thalweg.errors import StorageError, UsageError, check_type
from thalweg.figures.document import panel_from_document, panel_to_document
from thalweg.figures.marks import Mark
from thalweg.figures.panel import UNNAMED, Axis, Panel, is_single
from thalweg.notebook import shell
from thalweg.storage.atomic import explaining, replacing
from thalweg.storage.encoding import parsed

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure as Canvas

_OF_TEXT = {"www-browser", "links", "elinks", "lynx", "w3m"}  # browsers that draw nothing
_SHOWN = 0.6  # pixels of a notebook for one of a picture, which is made for print too


@dataclass(frozen=True, eq=False, repr=False)
class Figure:
    """Panels side by side, with title, caption and description; made by `Figure.of` and `Figure.row`.

    >>> from thalweg.figures import Axis, Figure, Line
    >>> Figure.of("Loss", [Line([0, 1, 2], [3, 2, 1])], Axis("step"), Axis("loss", "nats")).description
    'Loss: loss (nats) against step (line).'

    Args:
        panels: at least one. The title of a single panel is the figure's.
        title: one line.
        caption: sentences that belong below it.
        alt: what it shows, for those who cannot see it; made from titles and labels when not given.

    Raises:
        UsageError: there is nothing to draw.
    """

    panels: tuple[Panel, ...]
    title: str = ""
    caption: str = ""
    alt: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "panels", tuple(self.panels))
        for name in ("title", "caption", "alt"):
            check_type(f"The {name} of a figure", getattr(self, name), str, "text")
        if not self.panels:
            msg = f"The figure {self.title!r} cannot be drawn: it has no panels."
            raise UsageError(msg)
        for panel in self.panels:
            check_type("A panel of a figure", panel, Panel, "a Panel or a Figure, as in Figure.row([a, b])")

    @classmethod
    def of(
        cls,
        title: str,
        marks: Sequence[Mark],
        x: Axis = UNNAMED,
        y: Axis = UNNAMED,
        z: Axis | None = None,
        *,
        caption: str = "",
        alt: str = "",
    ) -> "Figure":
        """A figure of one panel: marks on one set of axes.

        Args:
            title: one line.
            marks: what is drawn, the first at the bottom.
            x: the horizontal axis.
            y: the vertical axis.
            z: what color and height show.
            caption: sentences that belong below it.
            alt: what it shows, for those who cannot see it; made from title and labels when not given.

        Raises:
            UsageError: there are no marks, or marks that cannot share axes.

        Example:
            >>> import thalweg as tw
            >>> line = tw.figures.Line([0, 1, 2], [2.0, 1.0, 0.5], label="SGD")
            >>> figure = tw.figures.Figure.of("Loss", [line], tw.figures.Axis("step"), tw.figures.Axis("loss"))
            >>> figure.description
            'Loss: loss against step (line SGD).'
        """
        return cls((Panel(title, marks, x, y, z),), title, caption, alt)

    @classmethod
    def row(cls, figures: Sequence["Figure | Panel"], *, title: str = "", caption: str = "", alt: str = "") -> "Figure":
        """Several side by side under one title; the panels of a row among them are taken one by one.

        Args:
            figures: figures and panels, from left to right.
            title: over all of them.
            caption: sentences that belong below; the figures' own, joined, when not given.
            alt: what it shows, for those who cannot see it; made from the figures' own when not given.

        Raises:
            UsageError: there are none.

        Example:
            >>> import thalweg as tw
            >>> a, b = (tw.figures.Figure.of(name, [tw.figures.Line([0, 1], [0, 1])]) for name in "ab")
            >>> [panel.title for panel in tw.figures.Figure.row([a, b], title="Both").panels]
            ['a', 'b']
        """
        parts = list(figures)
        whole = [part for part in parts if isinstance(part, Figure)]
        caption = caption or " ".join(figure.caption for figure in whole if figure.caption)
        if not alt and any(figure.alt for figure in whole):
            alt = " ".join([f"{title}."] * bool(title) + [part.description for part in parts])
        panels = [panel for part in parts for panel in (part.panels if isinstance(part, Figure) else (part,))]
        return cls(tuple(panels), title, caption, alt)

    def with_marks(self, *more: Mark, title: str | None = None) -> "Figure":
        """The same with further marks on top, and with another title where given.

        Raises:
            UsageError: the figure has several panels, or the marks cannot share its axes.

        Example:
            >>> import thalweg as tw
            >>> figure = tw.figures.Figure.of("Loss", [tw.figures.Line([0, 1], [2.0, 1.0])])
            >>> marked = figure.with_marks(tw.figures.ReferenceLine(1.5, label="target"), title="Loss and target")
            >>> marked.title, len(marked.panels[0].marks)
            ('Loss and target', 2)
        """
        if len(self.panels) > 1:
            count = len(self.panels)
            msg = f"with_marks needs a figure of one panel, and {self.title!r} has {count}; mark one before Figure.row."
            raise UsageError(msg)
        (panel,) = self.panels
        single = is_single(self.panels, self.title)
        title = self.title if title is None else title
        panel = dataclasses.replace(panel, marks=(*panel.marks, *more), title=title if single else panel.title)
        return dataclasses.replace(self, panels=(panel,), title=title)

    def untitled(self) -> "Figure":
        """The same without its title, for a place that has written it already; panels side by side keep theirs."""
        panels = self.panels
        if is_single(panels, self.title):
            panels = (dataclasses.replace(panels[0], title=""),)
        return dataclasses.replace(self, panels=panels, title="")

    @property
    def description(self) -> str:
        """`alt`, or sentences made from titles, axes and labels."""
        if self.alt:
            return self.alt
        over = [] if is_single(self.panels, self.title) or not self.title else [f"{self.title}."]
        return " ".join([*over, *(panel.description for panel in self.panels)])

    def to_plotly(self, *, columns: int | None = None) -> "go.Figure":
        """The figure as Plotly's, with `columns` panels side by side (all of them when not given)."""
        from thalweg.figures.to_plotly import render

        return render(self.panels, self.title, columns=columns)

    def to_matplotlib(self) -> "Canvas":
        """The figure as Matplotlib's, outside pyplot's list of open figures."""
        from thalweg.figures.to_matplotlib import render

        return render(self.panels, self.title)

    def show(self) -> None:
        """Open it: in the notebook, else in the browser.

        Raises:
            UsageError: there is neither.
        """
        if shell() is not None:
            from IPython.display import display  # pyrefly: ignore

            display(self)
            return
        try:
            browser = webbrowser.get()
        except webbrowser.Error:
            browser = None
        if browser is None or getattr(browser, "name", "") in _OF_TEXT:
            msg = 'There is no browser here to show a figure in; write .save("figure.html") or .save("figure.png").'
            raise UsageError(msg)
        from thalweg.figures.to_plotly import CONFIG

        self.to_plotly().show(renderer="browser", config=dict(CONFIG))

    def png(self) -> bytes:
        """What `save` writes into a .png."""
        from thalweg.figures.to_matplotlib import save

        written = io.BytesIO()
        save(self.panels, self.title, written, ".png", description=self.description)
        return written.getvalue()

    def __repr__(self) -> str:
        count = len(self.panels)
        marks = sum(len(panel.marks) for panel in self.panels)
        size = f"{count} panel{'s' * (count != 1)}, {marks} mark{'s' * (marks != 1)}"
        return f'Figure({self.title!r}, {size}; .show(), or .save("figure.html"))'

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """For notebooks: interactive where scripts run, else a picture."""
        from thalweg.figures.to_plotly import output

        picture = self.png()
        drawn = output(self.panels, self.title, caption=self.caption, description=self.description, picture=picture)
        across = int.from_bytes(picture[16:20], "big")  # pixels, as the header of a PNG says
        bundle = {"text/plain": repr(self), "text/html": drawn, "image/png": base64.b64encode(picture).decode()}
        return bundle, {"image/png": {"width": round(across * _SHOWN)}}

    @in_words
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it: `.pdf`, `.svg` or `.png` for print, `.html` interactive and self-contained, `.json` as data.

        Raises:
            StorageError: the file cannot be written.
            UsageError: another ending.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in {".pdf", ".svg", ".png", ".html", ".json"}:
            msg = f"A figure is saved as .pdf, .svg, .png, .html or .json, and {path.name!r} is none of them."
            raise UsageError(msg)
        with explaining(path), replacing(path) as temporary:
            if ending == ".json":
                temporary.write_text(self.to_json(), encoding="utf-8")
            elif ending == ".html":
                from thalweg.figures.to_plotly import page

                content = page(self.panels, self.title, caption=self.caption, description=self.description)
                temporary.write_text(content, encoding="utf-8")
            else:
                from thalweg.figures.to_matplotlib import save

                save(self.panels, self.title, temporary, ending, description=self.description)
        return path

    def to_document(self) -> dict[str, Any]:
        """The whole figure as JSON-able values."""
        return {
            "title": self.title,
            "caption": self.caption,
            "alt": self.alt,
            "panels": [panel_to_document(panel) for panel in self.panels],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Figure":
        """The figure `to_document` was called on.

        Raises:
            StorageError: the document is not one of a figure.
        """
        try:
            panels = tuple(panel_from_document(panel) for panel in document["panels"])
            return cls(panels, document["title"], document["caption"], document["alt"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            msg = f"This JSON is not a figure: {error!r}."
            raise StorageError(msg) from error

    def to_json(self) -> str:
        """The whole figure as strict JSON text."""
        return json.dumps(self.to_document(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Figure":
        """The figure `to_json` was called on.

        Raises:
            StorageError: the text is not JSON, or not of a figure.
        """
        return cls.from_document(parsed(text))
