"""What among the parts of a run is the user's own, and what of it is data or code that can be known."""

import argparse
import dataclasses
import enum
import functools
import sys
import sysconfig
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEEPEST = 8  # objects within objects
CODE = (FunctionType, MethodType, functools.partial, type)
_INSTALLED = {"site-packages", "dist-packages"}
_OURS = {"thalweg", "torch", "numpy", "builtins"}
_DATA = (bool, int, float, complex, str, bytes, slice, range, np.generic, torch.dtype, torch.device, enum.Enum)
_DATA += (torch.Size, Tensor, np.ndarray, PurePath, nn.Module, MethodType, functools.partial)


def named(kind: type) -> str:
    """The full name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_own(value: type | ModuleType | FunctionType) -> bool:
    """Whether a class, a module or a function is the user's own, and not of Thalweg, torch, NumPy or Python.

    >>> from thalweg.training.own import is_own
    >>> import random, torch
    >>> from packaging.version import Version
    >>> is_own(torch.nn.Linear), is_own(random.Random), is_own(Version)
    (False, False, True)
    """
    module = value.__name__ if isinstance(value, ModuleType) else value.__module__
    top = (module or "").partition(".")[0]
    return top not in _OURS and not _of_python(top)


def is_installed(value: type | ModuleType | FunctionType) -> bool:
    """Whether what is the user's own comes from an installed package, which nobody edits.

    >>> from thalweg.training.own import is_installed
    >>> from packaging.version import Version
    >>> is_installed(Version)
    True
    """
    if isinstance(value, FunctionType):
        file = value.__code__.co_filename
    else:
        module = value if isinstance(value, ModuleType) else sys.modules.get(value.__module__)
        file = getattr(module, "__file__", None) or ""
    return not _INSTALLED.isdisjoint(PurePath(file).parts)


@functools.cache
def _of_python(module: str) -> bool:
    """Whether a module is of Python's library, and no file of the user's that has such a name."""
    if module not in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or PurePath(file).is_relative_to(sysconfig.get_path("stdlib"))


def holds_own(value: Any, depth: int = 0) -> bool:
    """Whether anything of the user's own is in a recipe: an object of another class, or a function."""
    if value is None or isinstance(value, bool | int | float | str | np.generic) or depth > DEEPEST:
        return False
    if isinstance(value, list | tuple):
        return any(holds_own(one, depth + 1) for one in value)
    if is_own(type(value)) or not dataclasses.is_dataclass(value):
        return not isinstance(value, Tensor | np.ndarray)
    return any(holds_own(one, depth + 1) for one in vars(value).values())


def constant(value: Any, depth: int = 0) -> bool:
    """Whether a value is data or code: a number, word, array, module, function, a table or configuration of only these.

    >>> from thalweg.training.own import constant
    >>> constant({"warmup": 1000, "rates": [0.1, 0.2]}), constant([object()])
    (True, False)
    """
    if value is None or isinstance(value, _DATA) or unwrapped(value) is not None:
        return True
    if depth > DEEPEST or isinstance(value, type | ModuleType):
        return False
    if isinstance(value, Mapping):
        return all(constant(one, depth + 1) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return all(constant(one, depth + 1) for one in value)
    configuration = dataclasses.is_dataclass(value) or isinstance(value, SimpleNamespace | argparse.Namespace)
    if not configuration and not is_own(type(value)):
        return False
    fields = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
    held = {name: getattr(value, name) for name in fields if hasattr(value, name)} | getattr(value, "__dict__", {})
    return (configuration or bool(held)) and all(constant(one, depth + 1) for one in held.values())


def unwrapped(value: Any) -> FunctionType | None:
    """The function that a value is, or keeps results of, as `functools.cache` does; None where it is neither."""
    function = value if isinstance(value, FunctionType) else getattr(value, "__wrapped__", None)
    cached = isinstance(value, functools._lru_cache_wrapper)
    return function if isinstance(function, FunctionType) and (function is value or cached) else None


def functions_of(kind: type) -> list[FunctionType]:
    """The functions that a class itself has, by name."""
    found = {
        name: unwrapped(getattr(one, "__func__", getattr(one, "fget", getattr(one, "func", one))))
        for name, one in vars(kind).items()
    }
    return [one for _, one in sorted(found.items()) if one is not None]


def globals_of(function: FunctionType, paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """The globals that a function reads, and attributes it reads of the user's own modules and classes among them.

    Args:
        function: whose globals.
        paths: names with attributes, as `compiled.reads` gives them.
    """
    found: dict[str, Any] = {}
    for first, *names in paths:
        if first not in function.__globals__:
            continue
        said, value = first, function.__globals__[first]
        found[said] = value
        for name in names:
            if not isinstance(value, ModuleType | type) or not is_own(value) or is_installed(value):
                break
            if not hasattr(value, name):
                break
            said, value = f"{said}.{name}", getattr(value, name)
            found[said] = value
    return found
