"""Panels and their marks as JSON-able values and back, bit for bit."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from thalweg.errors import unknown_name
from thalweg.figures.marks import Mark
from thalweg.figures.panel import Axis, Panel
from thalweg.storage.encoding import decode_array, encode_array

_KINDS = {kind.__name__: kind for kind in get_args(Mark)}
_AXES = ("x", "y", "z")


def panel_to_document(panel: Panel) -> dict[str, Any]:
    """A panel as JSON-able values."""
    axes = {name: getattr(panel, name) for name in _AXES}
    return {
        "title": panel.title,
        "marks": [_encode(mark) for mark in panel.marks],
        **{name: None if axis is None else dataclasses.asdict(axis) for name, axis in axes.items()},
    }


def panel_from_document(document: Mapping[str, Any]) -> Panel:
    """The panel `panel_to_document` was called on."""
    axes = {name: document[name] and Axis(**document[name]) for name in _AXES}
    return Panel(document["title"], tuple(_decode(mark) for mark in document["marks"]), **axes)


def _encode(mark: Mark) -> dict[str, Any]:
    entries = {field.name: getattr(mark, field.name) for field in dataclasses.fields(mark)}
    encoded = {name: encode_array(v) if isinstance(v, np.ndarray) else v for name, v in entries.items()}
    return {"mark": type(mark).__name__, **encoded}


def _decode(encoded: Mapping[str, Any]) -> Mark:
    if encoded["mark"] not in _KINDS:
        raise unknown_name("mark", encoded["mark"], _KINDS)
    entries: dict[str, Any] = {
        name: decode_array(value) if isinstance(value, dict) else value
        for name, value in encoded.items()
        if name != "mark"
    }
    return _KINDS[encoded["mark"]](**entries)
