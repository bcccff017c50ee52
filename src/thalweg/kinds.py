"""Whether a value is of the kind that an annotation says, as far as that can be told; and kinds in words."""

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["flat", "misfit", "reloaded", "with_article"]

_NUMBERS = "numbers (an array, a tensor or a list)"
_OF_ARRAYS = (bool, int, float, complex, str, bytes)  # what is in numpy's ArrayLike beside arrays
_PYTHON = "Python (the kernel of a notebook)"
_FEW = 3  # entries of a sequence that are looked at


def misfit(annotation: Any, value: Any) -> str:
    """What the value should be, where it is certainly not; else empty.

    >>> from collections.abc import Sequence
    >>> from thalweg.kinds import misfit
    >>> misfit(Sequence[int], "x"), misfit(int | None, 3), misfit(list[int] | None, "x")
    ('a sequence of int', '', 'a list of int or None')
    """
    if annotation is Any or annotation is inspect.Parameter.empty or isinstance(annotation, str | typing.TypeVar):
        return ""
    if typing.get_origin(annotation) is np.ndarray:
        return "" if _has_numbers(value) else _NUMBERS
    if _is_of_numbers(annotation):
        others = [part for part in typing.get_args(annotation) if part not in _OF_ARRAYS and not _is_of_numbers(part)]
        return "" if _has_numbers(value) or any(not misfit(part, value) for part in others) else _NUMBERS
    if annotation in (None, types.NoneType):
        return "" if value is None else "None"
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        found = [misfit(part, value) for part in parts]
        return " or ".join(dict.fromkeys(found)) if all(found) else ""
    if origin is typing.Literal:
        return "" if value in parts else f"one of {', '.join(map(repr, parts))}"
    if origin is typing.Annotated:
        return misfit(parts[0], value)
    if annotation is Callable or origin is Callable:
        return "" if callable(value) else "a function"
    return _class_misfit(origin or annotation, parts, value)


def flat(annotation: Any, value: Any) -> str:
    """The same for numbers that have no dimension.

    >>> from collections.abc import Sequence
    >>> from thalweg.kinds import flat
    >>> flat(Sequence[float], 0.1)
    'numbers (an array, a tensor or a list) of one dimension or more'
    >>> flat(int | Sequence[int], 3)
    ''
    """
    if not _is_of_numbers(annotation) and not misfit(annotation, value):
        return ""  # a single number is what it says, too
    single = isinstance(value, int | float) or getattr(value, "shape", None) == ()
    return f"{_NUMBERS} of one dimension or more" if single and misfit(annotation, [value]) == "" else ""


def with_article(kind: type) -> str:
    """The name of a class after "a" or "an".

    >>> from thalweg.kinds import with_article
    >>> with_article(int)
    'an int'
    """
    return f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}"


def reloaded(annotation: Any, value: Any) -> str:
    """What to say of a value whose class has the name and the place of a wanted one and is another; else empty.

    So it is once a module was loaded again, as by %autoreload or importlib.reload.

    >>> from thalweg.errors import ThalwegError
    >>> from thalweg.kinds import reloaded
    >>> other = type("ThalwegError", (), {"__module__": "thalweg.errors"})
    >>> reloaded(ThalwegError, other())
    'is from before ThalwegError was reloaded; make it anew, or restart Python (the kernel of a notebook)'
    >>> reloaded(ThalwegError, ThalwegError()), reloaded(ThalwegError | None, 3)
    ('', '')

    Args:
        annotation: a class, or several of which any will do.
        value: what was given.
    """
    parts = typing.get_args(annotation) or (annotation,)
    places = {(kind.__module__, kind.__qualname__): kind for kind in parts if inspect.isclass(kind)}
    for own in type(value).__mro__:
        kind = places.get((own.__module__, own.__qualname__), own)
        if kind is own:
            continue
        if getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind:
            return f"is from before {kind.__name__} was reloaded; make it anew, or restart {_PYTHON}"
        return f"is from after {kind.__name__} was reloaded, and this function was not; restart {_PYTHON}"
    return ""


def _class_misfit(kind: Any, parts: tuple[Any, ...], value: Any) -> str:
    if not inspect.isclass(kind):
        return ""
    if getattr(kind, "_is_protocol", False):
        lacks = [name for name in vars(kind) if _is_method(kind, name) and not hasattr(value, name)]
        return with_article(kind) if lacks else ""
    shape: Any = getattr(kind, "dim_str", None)  # of jaxtyping
    if shape is not None:
        held: Any = getattr(kind, "array_type", kind)
        return "" if isinstance(value, kind) else f"{with_article(held)} of shape ({shape.strip()})"
    if kind in (int, float, bool, str):
        fits = {int: int | np.integer, float: float | int | np.number, bool: bool | np.bool, str: str}[kind]
        word = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}[kind]
        return "" if isinstance(value, fits) or getattr(value, "shape", None) == () else word
    of = f" of {' or '.join(getattr(part, '__name__', str(part)) for part in parts[:1])}" if parts else ""
    if not issubclass(kind, Iterable) or not kind.__module__.startswith(("collections", "builtins", "typing")):
        return "" if isinstance(value, kind) else with_article(kind)
    words = f"a {kind.__name__.lower()}{of}"
    if issubclass(kind, Mapping):
        return "" if isinstance(value, Mapping) else words.partition(" of ")[0]
    arrays = hasattr(value, "shape") and parts[:1] in ((int,), (float,))
    if isinstance(value, str | bytes | Mapping) or not (isinstance(value, kind) or arrays):
        return words
    listed = value if isinstance(value, list | tuple) else []
    wrong = parts and kind is not tuple and any(misfit(parts[0], entry) for entry in listed[:_FEW])
    return words if wrong else ""


def _is_method(kind: type, name: str) -> bool:
    return callable(vars(kind)[name]) and (not name.startswith("_") or name in ("__len__", "__call__", "__getitem__"))


def _is_of_numbers(annotation: Any) -> bool:
    parts = (annotation, *typing.get_args(annotation))
    return typing.get_origin(annotation) is np.ndarray or any(
        getattr(part, "__module__", "").startswith("numpy._typing") for part in parts
    )


def _has_numbers(value: Any) -> bool:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return getattr(value.dtype, "kind", "f") in "biufc"
    try:
        return np.asarray(value).dtype.kind in "biufc"
    except Exception:  # ragged, or what is no array at all
        return _are_tensors(value)


def _are_tensors(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(hasattr(entry, "shape") for entry in value)
