"""Every public function and class shows how it is used, by lines that `make test` runs as doctests."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import thalweg

# Rooms whose examples are not written yet. Only ever remove from this list.
TO_COME = {
    "cli",
}
ROOMS = sorted(room.name for room in pkgutil.iter_modules(thalweg.__path__) if room.name != "__main__")


def _public(module: Any) -> Iterator[tuple[str, Any]]:
    """The functions and classes that a room makes public, those of rooms inside it too."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.ismodule(value):
            yield from _public(value)
        elif inspect.isfunction(value) or inspect.isclass(value):
            yield f"{module.__name__}.{name}", value


def _shown(value: Any) -> bool:
    """Whether the docstring of a function or class has an example, or is of a result whose function has one."""
    own = (vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__) or ""
    return ">>> " in own or (inspect.isclass(value) and re.match(r"What `\w+` ", own) is not None)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_is_public(room: str) -> None:
    module = importlib.import_module(f"thalweg.{room}")
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in TO_COME])
def test_everything_public_has_an_example(room: str) -> None:
    public = dict(_public(importlib.import_module(f"thalweg.{room}")))
    assert public
    assert not [name for name, value in public.items() if not _shown(value)]


def test_no_room_is_excused_that_is_not_there() -> None:
    assert set(ROOMS) >= TO_COME
