"""What results tell of themselves: a line at a prompt, a table in a notebook."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.markup import element, number, text
from thalweg.results.table import Table
from thalweg.sweep import Sweep


class Summarized:
    """What tells facts of itself: one line at a prompt, and HTML in a notebook; whoever inherits it says which.

    >>> import thalweg as tw
    >>> class Fit(tw.results.Summarized):
    ...     def facts(self):
    ...         return {"points": "12", "slope": "0.5"}
    >>> Fit()
    Fit(points 12; slope 0.5)
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.__repr__ = cls.__repr__  # as its own, so that a dataclass does not write another

    def facts(self) -> Mapping[str, str]:
        """What matters, in a few words each; a name "" is left out."""
        raise NotImplementedError

    def line(self) -> Mapping[str, str]:
        """The facts of the line; all of them, where nothing else is said."""
        return self.facts()

    def details(self) -> Table | None:
        """What a notebook shows below the facts."""
        return None

    def remarks(self) -> Sequence[str]:
        """Sentences that a notebook shows below the table."""
        return ()

    def __repr__(self) -> str:
        told = "; ".join(f"{name} {value}".strip() for name, value in self.line().items())
        return f"{type(self).__name__}({told})"

    def _repr_html_(self) -> str:
        rows = [
            element("tr", element("th", text(name), scope="row", style=_LEFT), element("td", text(value), style=_LEFT))
            for name, value in self.facts().items()
        ]
        title = element("caption", element("strong", text(type(self).__name__)), style=_LEFT)
        details = self.details()
        return (
            element("table", title, element("tbody", *rows))
            + ("" if details is None else details._repr_html_())
            + "".join(element("p", text(remark)) for remark in self.remarks())
        )


_LEFT = "text-align:left"
_MOST = 4  # of arrays that a line tells of


def several(names: Mapping[str, str]) -> dict[str, str]:
    """The first few of many facts, and how many more there are."""
    if len(names) <= _MOST:
        return dict(names)
    return dict(list(names.items())[: _MOST - 1]) | {"and": f"{len(names) - _MOST + 1} more"}


def spanned(values: ArrayLike, unit: str = "") -> str:
    """From the smallest to the largest of some values, and how many of them are not finite.

    >>> from thalweg.results.summary import spanned
    >>> spanned([0.25, 1.0, float("nan")], "nats"), spanned([True, False]), spanned(["a", "b"])
    ('0.25 to 1 nats, 1 of 3 not finite', '1 of 2 true', 'text')
    """
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return f"{array.sum():,} of {array.size:,} true"
    if array.dtype.kind not in "iuf":
        return "text"
    finite = array[np.isfinite(array)]
    ends = [number(end.item()) for end in (finite.min(), finite.max())] if finite.size else []
    told = " ".join([" to ".join(dict.fromkeys(ends)), "" if unit == "fraction" else unit]) if ends else ""
    missing = f"{array.size - finite.size:,} of {array.size:,} not finite" if finite.size < array.size else ""
    return ", ".join(part.strip() for part in (told, missing) if part.strip()) or "none"


def called(value: Any, name: str = "") -> str:
    """A dataclass as the call that makes it: its first field, and of the others those that are not the default.

    >>> import thalweg as tw
    >>> from thalweg.results.summary import called
    >>> called(tw.figures.Axis("loss", scale="log"))
    "Axis('loss', scale='log')"
    """
    first, *others = (field for field in dataclasses.fields(value) if field.repr)
    begun = getattr(value, first.name)
    given = [f"{first.name}={begun!r}" if isinstance(begun, int | float | Sweep) else repr(begun)]
    for field in others:
        here, default = getattr(value, field.name), field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is dataclasses.MISSING or repr(here) != repr(default):
            given.append(f"{field.name}={here!r}")
    return f"{name or type(value).__name__}({', '.join(given)})"
