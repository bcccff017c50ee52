"""What to draw, free of any plotting library: a title, marks, axes; or several such panels side by side."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from thalweg.errors import StorageError, UsageError, check_type, unknown_name
from thalweg.figures import marks as kinds
from thalweg.figures.marks import Bars, Contour, HeatMap, Mark, ReferenceLine, Scatter, SurfacePlot
from thalweg.storage.atomic import explaining, replacing
from thalweg.storage.encoding import decode_array, encode_array, parsed

_MARKS = {
    kind.__name__: kind
    for kind in (
        kinds.Line, Scatter, kinds.TrajectoryLine, HeatMap, Contour, SurfacePlot, kinds.Histogram, kinds.Density, Bars,
        ReferenceLine,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """What an axis shows.

    Args:
        label: what is measured along it.
        unit: in what.
        scale: "linear" or "log".
        limits: where it begins and ends, when that is not for the data to say.
    """

    label: str = ""
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.scale not in {"linear", "log"}:
            msg = f"An axis is linear or log, not {self.scale!r}."
            raise UsageError(msg)
        check_type("The label of an axis", self.label, str, "text")
        check_type("The unit of an axis", self.unit, str, "text")
        if self.limits is not None:
            try:
                low, high = map(float, self.limits)
            except (TypeError, ValueError):
                msg = f"Limits of an axis are two numbers, (low, high); got {self.limits!r}."
                raise UsageError(msg) from None
            object.__setattr__(self, "limits", (low, high))
            if not -np.inf < low < high < np.inf or (self.scale == "log" and low <= 0):
                msg = (
                    f"Limits of a {self.scale} axis are finite and ascend (a log axis from above 0); got {self.limits}."
                )
                raise UsageError(msg)

    @property
    def text(self) -> str:
        """Label and unit as they stand at the axis."""
        return f"{self.label} ({self.unit})" if self.label and self.unit else self.label or self.unit


@dataclass(frozen=True, eq=False)
class Figure:
    """Marks on two axes (three with a SurfacePlot), or panels side by side.

    Args:
        title: one line.
        marks: what is drawn, the first at the bottom.
        x: the horizontal axis.
        y: the vertical axis.
        z: what color and height show.
        caption: sentences that belong below it.
        alt: what it shows, for those who cannot see it; made from titles and labels when not given.
        panels: figures without panels of their own; then there are no marks.

    Raises:
        UsageError: nothing to draw, or marks that cannot share axes.
    """

    title: str = ""
    marks: tuple[Mark, ...] = ()
    x: Axis = Axis()
    y: Axis = Axis()
    z: Axis | None = None
    caption: str = ""
    alt: str = ""
    panels: tuple["Figure", ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "marks", tuple(self.marks))
        object.__setattr__(self, "panels", tuple(self.panels))
        for name in ("title", "caption", "alt"):
            check_type(f"The {name} of a figure", getattr(self, name), str, "text")
        strange = [type(mark).__name__ for mark in self.marks if not isinstance(mark, tuple(_MARKS.values()))]
        present = {type(mark) for mark in self.marks}
        fault = ""
        if bool(self.marks) == bool(self.panels):
            fault = "it needs either marks or panels"
        elif strange:
            fault = f"its marks are {', '.join(_MARKS)}, and not {', '.join(strange)}"
        elif SurfacePlot in present and present != {SurfacePlot}:
            fault = "a SurfacePlot cannot share its axes with flat marks; put them into another panel"
        elif Bars in present and not present <= {Bars, ReferenceLine}:
            fault = "Bars stand on categories, so only Bars and Rules share their axes"
        elif any(panel.panels for panel in self.panels):
            fault = "its panels have panels"
        elif any(self._off_the_axes(mark) for mark in self.marks):
            fault = "a grid has coordinates at or below 0, which a log axis does not reach; leave them out"
        if fault:
            msg = f"The figure {self.title!r} cannot be drawn: {fault}."
            raise UsageError(msg)

    def _off_the_axes(self, mark: Mark) -> bool:
        """Whether a grid has cells where a log axis has no place."""
        if not isinstance(mark, HeatMap | Contour | SurfacePlot):
            return False
        return any(axis.scale == "log" and at.min() <= 0 for axis, at in ((self.x, mark.x), (self.y, mark.y)))

    @classmethod
    def row(cls, panels: Sequence["Figure"], *, title: str = "", caption: str = "", alt: str = "") -> "Figure":
        """Figures side by side under one title; their captions are joined when none is given."""
        captions = caption or " ".join(panel.caption for panel in panels if panel.caption)
        return cls(title=title, caption=captions, alt=alt, panels=tuple(panels))

    @classmethod
    def of(
        cls,
        title: str,
        marks: Sequence[Mark],
        x: Axis = Axis(),
        y: Axis = Axis(),
        z: Axis | None = None,
        *,
        caption: str = "",
        alt: str = "",
    ) -> "Figure":
        """Marks on one set of axes."""
        return cls(title, tuple(marks), x, y, z, caption, alt)

    @property
    def parts(self) -> tuple["Figure", ...]:
        """Its panels, or itself alone."""
        return self.panels or (self,)

    @property
    def description(self) -> str:
        """`alt`, or a sentence made from titles, axes and labels."""
        if self.alt:
            return self.alt
        if self.panels:
            title = [f"{self.title}."] if self.title else []
            return " ".join([*title, *(panel.description for panel in self.panels)])
        shown = ", ".join(dict.fromkeys(_phrase(mark) for mark in self.marks))
        axes = " against ".join(axis.text for axis in (self.y, self.x) if axis.text)
        return f"{': '.join(text for text in (self.title, axes) if text)} ({shown})."

    def show(self) -> None:
        """Open it: in the notebook, else in the browser."""
        from thalweg.figures import to_plotly

        to_plotly.render(self).show(config=dict(to_plotly.CONFIG))

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
                from thalweg.figures import to_plotly

                temporary.write_text(to_plotly.page(self), encoding="utf-8")
            else:
                from thalweg.figures import to_matplotlib

                to_matplotlib.save(self, temporary)
        return path

    def to_document(self) -> dict[str, Any]:
        """The whole figure as JSON-able values."""
        document = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in {"marks", "panels", "x", "y", "z"}
        }
        for name in ("x", "y", "z"):
            axis = getattr(self, name)
            document[name] = None if axis is None else dataclasses.asdict(axis)
        document["marks"] = [_encode(mark) for mark in self.marks]
        document["panels"] = [panel.to_document() for panel in self.panels]
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Figure":
        """The figure `to_document` was called on.

        Raises:
            StorageError: the document is not one of a figure.
        """
        try:
            axes = {name: document[name] and Axis(**document[name]) for name in ("x", "y", "z")}
            return cls(
                title=document["title"],
                marks=tuple(_decode(mark) for mark in document["marks"]),
                caption=document["caption"],
                alt=document["alt"],
                panels=tuple(cls.from_document(panel) for panel in document["panels"]),
                **axes,
            )
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


def _phrase(mark: Mark) -> str:
    if isinstance(mark, Bars):
        return f"bars {mark.label}: {', '.join(mark.labels)}" if mark.label else f"bars: {', '.join(mark.labels)}"
    if isinstance(mark, ReferenceLine):
        return f"{mark.direction} rule at {mark.value:g}" + (f": {mark.label}" if mark.label else "")
    kind = {"HeatMap": "heat map"}.get(type(mark).__name__, type(mark).__name__.lower())
    return f"{kind} {mark.label}".strip()


def _encode(mark: Mark) -> dict[str, Any]:
    entries = {field.name: getattr(mark, field.name) for field in dataclasses.fields(mark)}
    encoded = {name: encode_array(v) if isinstance(v, np.ndarray) else v for name, v in entries.items()}
    return {"mark": type(mark).__name__, **encoded}


def _decode(encoded: Mapping[str, Any]) -> Mark:
    if encoded["mark"] not in _MARKS:
        raise unknown_name("mark", encoded["mark"], _MARKS)
    entries: dict[str, Any] = {
        name: decode_array(value) if isinstance(value, dict) else value
        for name, value in encoded.items()
        if name != "mark"
    }
    return _MARKS[encoded["mark"]](**entries)
