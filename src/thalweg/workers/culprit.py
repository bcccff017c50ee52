"""What part of a value cannot be pickled, and how it is reached."""

import collections
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


class Culprit(NamedTuple):
    """A part of a value.

    Args:
        value: the part.
        path: how it is reached, in words, from within to without.
    """

    value: Any
    path: tuple[str, ...]


def culprit(value: Any, dumps: Callable[[Any], bytes]) -> Culprit:
    """The part that cannot be pickled, of which no part is to blame in turn.

    Args:
        value: what cannot be pickled.
        dumps: pickles, or raises.

    Cost: each part on the way is pickled once more.
    """
    path: list[str] = []
    seen = {id(value)}
    while True:
        if _name(value):
            path.append(_name(value))
        for name, part in _parts(value):
            if id(part) not in seen and not _can(part, dumps):
                seen.add(id(part))
                path.append(name)
                value = part
                break
        else:
            if _name(value):
                path.pop()
            return Culprit(value, tuple(one for one in reversed(path) if one))


def _can(part: Any, dumps: Callable[[Any], bytes]) -> bool:
    try:
        dumps(part)
    except Exception:
        return False
    return True


def _name(value: Any) -> str:
    """Of functions and classes, which have one."""
    if isinstance(value, types.FunctionType):
        return "a lambda" if value.__name__ == "<lambda>" else f"the function {value.__name__}"
    return f"the class {value.__name__}" if isinstance(value, type) else ""


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value refers to, by name; without one where the name says nothing."""
    if isinstance(value, Mapping):
        yield from ((repr(key), part) for key, part in value.items())
        yield from (("a key", key) for key in value)
        yield "'default_factory'", getattr(value, "default_factory", None)
    elif isinstance(value, list | tuple | set | frozenset | collections.deque):
        yield from ((f"entry {number}", part) for number, part in enumerate(value))
    elif isinstance(value, functools.partial):
        yield "", value.func
        yield from ((f"argument {number}", part) for number, part in enumerate(value.args))
        yield from ((repr(name), part) for name, part in value.keywords.items())
    elif isinstance(value, types.MethodType):
        yield "", value.__self__
        yield "", value.__func__
    elif isinstance(value, types.FunctionType):
        yield from ((repr(name), part) for name, part in _of_function(value).items())
    elif isinstance(value, type):
        yield from ((repr(name), part) for name, part in vars(value).items())
    else:
        kind = with_article(type(value).__name__)
        yield from ((f"{name!r} of {kind}", part) for name, part in _attributes(value).items())


def with_article(noun: str) -> str:
    """A noun after "a" or "an"."""
    return f"{'an' if noun[:1] in 'AEIOUaeiou' else 'a'} {noun}"


def _attributes(value: Any) -> dict[str, Any]:
    """Those that an object itself has, in its dictionary or in slots."""
    own = getattr(value, "__dict__", None)
    slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    names = [name for some in slots for name in ([some] if isinstance(some, str) else some)]
    members = {name: getattr(value, name) for name in names if name[:2] != "__" and hasattr(value, name)}
    return {**members, **(own if isinstance(own, dict) else {})}


def _of_function(function: types.FunctionType) -> dict[str, Any]:
    """What a function refers to: variables around it, global ones, defaults."""
    found = inspect.getclosurevars(function)
    positional = inspect.getfullargspec(function).args
    defaults = dict(zip(reversed(positional), reversed(function.__defaults__ or ()), strict=False))
    return {**found.globals, **found.nonlocals, **defaults, **(function.__kwdefaults__ or {}), **vars(function)}
