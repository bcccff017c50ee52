"""The further numbers of a verdict, as tables that open."""

from collections.abc import Mapping
from typing import Any

from thalweg.markup import element, number, text


def numbers(named: Mapping[str, Any]) -> str:
    """Numbers by name, "" when there are none; mappings are tables, and mappings of like mappings have columns."""
    if not named:
        return ""
    rows = [_row(name, _cell(value)) for name, value in named.items()]
    table = element("table", element("tbody", *rows))
    region = element("div", table, class_="scroll", tabindex="0", role="region", aria_label="Numbers")
    return element("details", element("summary", "Numbers"), region)


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return element("td", _table(value))
    if isinstance(value, list | tuple):
        return element("td", text(", ".join(map(number, value))), class_="numeric")
    return element("td", text(number(value)), class_="numeric")


def _table(named: Mapping[str, Any]) -> str:
    parts = list(named.values())
    columns = list(parts[0]) if parts and all(isinstance(part, Mapping) for part in parts) else []
    if not columns or any(list(part) != columns for part in parts):
        return element("table", element("tbody", *(_row(name, _cell(value)) for name, value in named.items())))
    head = element("tr", element("td"), *(element("th", text(column), scope="col") for column in columns))
    rows = [_row(name, *(_cell(part[column]) for column in columns)) for name, part in named.items()]
    return element("table", element("thead", head), element("tbody", *rows))


def _row(name: str, *cells: str) -> str:
    return element("tr", element("th", text(name), scope="row"), *cells)
