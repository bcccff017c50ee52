"""HTML as text: everything that comes from elsewhere is escaped here, and nowhere else is HTML pieced together."""

import html
import json
import math
from typing import Any

__all__ = ["element", "embedded", "number", "text"]


def element(tag: str, *children: str, **attributes: str | bool) -> str:
    """<tag attribute="...">children</tag>; children are HTML already, attribute values are text.

    An attribute that is a Python word ends in an underscore (class_), and inner underscores stand for hyphens.

    >>> from thalweg.markup import element, text
    >>> element("p", text("a < b"), class_="note", aria_label="a & b")
    '<p class="note" aria-label="a &amp; b">a &lt; b</p>'
    """
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def text(value: object) -> str:
    """Text as HTML.

    >>> from thalweg.markup import text
    >>> text("<b> & co")
    '&lt;b&gt; &amp; co'
    """
    return html.escape(str(value))


def embedded(value: Any) -> str:
    r"""JSON that may stand inside a <script>: no sequence of it can end the element or begin a comment.

    >>> from thalweg.markup import embedded
    >>> embedded({"a": "</script>"})
    '{"a":"\\u003c/script\\u003e"}'
    """
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def number(value: Any) -> str:
    """A number for a reader: four significant digits, long ones whole, and words for what is not finite.

    >>> from thalweg.markup import number
    >>> number(0.123456), number(12_345.6), number(float("nan"))
    ('0.1235', '12,346', 'not a number')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if 1e4 <= abs(float(f"{value:.4g}")) < 1e9:
        return f"{value:,.0f}"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _attribute(name: str, value: str | bool) -> str:
    if value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(value)}"'
