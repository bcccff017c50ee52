"""What was declared of the parts of a run that are the user's own: classes, functions and the numbers they hold."""

import dataclasses
import enum
import functools
import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.population.holdings import is_empty
from thalweg.storage.encoding import encode_number
from thalweg.training.compiled import reads, spelled
from thalweg.training.hashed import hashed
from thalweg.training.own import (
    CODE,
    DEEPEST,
    constant,
    functions_of,
    globals_of,
    is_installed,
    is_own,
    named,
    unwrapped,
)

_MANY, _LONG = 64, 2000  # entries, letters: what is longer is hashed
_WORDS = {bool, int, float, str, type(None)}
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Declared:
    """Values as data that tells any two apart, as far as they can be known.

    >>> from thalweg.training.declared import Declared
    >>> declared = Declared()
    >>> declared.of((1, 0.5, "relu")), declared.of(object()), declared.unknown
    ([1, 0.5, 'relu'], {'is': 'builtins.object'}, ['object'])

    Functions are known by their instructions, which are those that run, whatever the file now says, and by what they
    find around them: numbers, words, tables and other functions. What their own calls change is none of it: they may
    count them. Of installed packages the instructions and what was given to them are a part, not their globals and what
    they keep to themselves, such as the number of a session.

    Args:
        without: what is left out, as `changed` says.

    Attributes:
        unknown: the types of what cannot be told from another of its kind.
        compiled: whether instructions are among it, which are those of the minor version of Python.
    """

    def __init__(self, without: Iterable[tuple[int, str]] = ()) -> None:
        self.unknown: list[str] = []
        self.compiled = False
        self._without = frozenset(without)
        self._within: list[int] = []
        self._codes: dict[type, str] = {}
        self._functions: dict[FunctionType, int] = {}
        self._seen: dict[tuple[int, str], tuple[Any, Any]] = {}

    def changed(self, later: "Declared") -> set[tuple[int, str]]:
        """What functions and objects hold that was something else later, after calls of them."""
        return {
            place
            for place in self._seen.keys() | later._seen.keys()
            if self._seen.get(place, (None, ""))[1] != later._seen.get(place, (None, ""))[1]
        }

    def of(self, value: Any) -> Any:
        """The value as JSON-able data."""
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or isinstance(value, bool | int | str):
            return value.value if isinstance(value, enum.Enum) else value
        if isinstance(value, float):
            return encode_number(value)
        if isinstance(value, complex | torch.dtype | torch.device | np.dtype | PurePath | enum.Enum | slice | range):
            return str(value)
        if isinstance(value, bytes | bytearray):
            return _digest([value.hex()])
        if isinstance(value, Tensor | np.ndarray):
            return hashed(value)
        if isinstance(value, type | ModuleType):
            return getattr(value, "__qualname__", value.__name__)
        if id(value) in self._within or len(self._within) > DEEPEST:
            return "..."
        self._within.append(id(value))
        try:
            return self._compound(value)
        finally:
            self._within.pop()

    def _compound(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return _bounded([[self.of(name), self.of(one)] for name, one in value.items()])
        if isinstance(value, set | frozenset):
            return _bounded(sorted(str(self.of(one)) for one in value))
        if isinstance(value, list | tuple | deque):
            if len(value) > _MANY and all(type(one) in _WORDS for one in value):
                return _digest([repr(list(value))])
            return _bounded([self.of(one) for one in value])
        if isinstance(value, functools.partial):
            return {"is": "partial", "of": self.of([value.func, value.args, value.keywords])}
        if isinstance(value, MethodType):
            return {"is": value.__qualname__, "of": self.of([value.__self__, value.__func__])}
        if (function := unwrapped(value)) is not None:
            return self._function(function)
        if isinstance(value, BuiltinFunctionType):
            return value.__qualname__
        if isinstance(value, nn.Module):
            said = {"is": named(type(value)), "prints": printed(value), "has": self.of(value.state_dict())}
            return said | {"layers": self.layers(value)}
        return self._object(value)

    def _object(self, value: Any) -> Any:
        """An object by its class and attributes; one without any of these says nothing of itself."""
        kind = type(value)
        slots = [name for one in kind.__mro__ for name in getattr(one, "__slots__", ())]
        fields = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        names = {*fields, *slots, *getattr(value, "__dict__", ())} - {"__dict__", "__weakref__"}
        if is_own(kind) and is_installed(kind):
            names = {name for name in names if name[:1] != "_"}
        held: dict[str, Any] = {}
        for name in sorted(names):
            held |= self._held(value, name, getattr(value, name)) if hasattr(value, name) else {}
        code = {"code": self.code(kind)} if is_own(kind) and any(map(functions_of, kind.__mro__[:-1])) else {}
        if not held and not code and not dataclasses.is_dataclass(value):
            self.unknown.append(kind.__name__)
        return {"is": named(kind)} | code | held

    def code(self, kind: type) -> str:
        """A hash of the methods and values of a class, and of those of the user's classes that it inherits from."""
        if kind not in self._codes:
            self._codes[kind] = "..."  # where its own methods name it
            own = [one for one in kind.__mro__ if is_own(one)]
            said = [[self._function(part) for part in functions_of(one)] for one in own]
            said += [self._values(one) for one in own if not is_installed(one)]
            self._codes[kind] = _digest([json.dumps(said)])
        return self._codes[kind]

    def _values(self, kind: type) -> list[Any]:
        """What a class itself holds besides methods, without what these set in its place."""
        stored = {name for one in functions_of(kind) for name in reads(one.__code__).attributes}
        held = {name: one for name, one in vars(kind).items() if name[:2] != "__" and name not in stored}
        return [
            [name, self.of(one)] for name, one in sorted(held.items()) if constant(one) and not isinstance(one, CODE)
        ]

    def layers(self, root: nn.Module) -> list[Any]:
        """What layers hold besides what torch's own print of themselves: numbers, words, tables, functions and hooks.

        Some of torch's print nothing, such as attention with its dropout. Of the user's own layers what begins with _
        is a part too, and their code is.
        """
        found: list[Any] = []
        for path, module in root.named_modules():
            kind, attributes = type(module), vars(module)
            named_so = {
                name: one
                for name, one in attributes.items()
                if name not in _OF_EVERY_MODULE and (name[:1] != "_" or (is_own(kind) and not is_installed(kind)))
            }
            says = kind.__module__.startswith("torch.") and kind.extra_repr is not nn.Module.extra_repr
            held = {name: self.of(one) for name, one in named_so.items() if constant(one) and not says}
            held |= (
                {"hooks": hooks}
                if (hooks := [self.of(one) for name in _HOOKS for one in attributes[name].values()])
                else {}
            )
            held |= {"forward": self.of(one)} if (one := attributes.get("forward")) is not None else {}
            held |= {"code": self.code(kind)} if is_own(kind) else {}
            if held:
                found.append([path, held])
        return found

    def _function(self, function: FunctionType) -> Any:
        """A function by its code, and by what it was made with or finds around it; one met before by its number.

        What its calls change is left out, as far as its instructions show.
        """
        if function in self._functions:
            return {"is": function.__qualname__, "as": self._functions[function]}
        self._functions[function] = len(self._functions)
        code, own = function.__code__, is_own(function)
        found = reads(code)
        cells = zip(code.co_freevars, function.__closure__ or (), strict=False)
        around = {name: cell.cell_contents for name, cell in cells if not is_empty(cell)}
        around |= globals_of(function, found.paths) if own and not is_installed(function) else {}
        around |= {f"default {place}": one for place, one in enumerate(function.__defaults__ or ())}
        around |= {f"default {name}": one for name, one in (function.__kwdefaults__ or {}).items()}
        kept: dict[str, Any] = {}
        for name, one in sorted(around.items()):
            filled = name in found.fills and isinstance(one, list | dict | set | deque)
            if name not in found.stores and not filled and constant(one):
                kept |= self._held(function, name, one)
            elif isinstance(one, type) and is_own(one) and not is_installed(one):
                kept[name] = {"is": named(one), "code": self.code(one)}
        self.compiled |= own
        return {"is": function.__qualname__, "with": kept} | ({"code": _digest([spelled(code)])} if own else {})

    def _held(self, owner: Any, name: str, value: Any) -> dict[str, Any]:
        """What a function or an object holds, under its name; nothing where calls were seen to change it."""
        place = (id(owner), name)
        if place in self._without:
            return {}
        said = self.of(value)
        if not isinstance(value, CODE):
            self._seen[place] = (owner, said)
        return {name: said}


def printed(module: nn.Module) -> str:
    """What a module prints of itself, without addresses in memory, which are others in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(module))


def _bounded(said: list[Any]) -> Any:
    """Data that was said, or its hash where it is long."""
    text = json.dumps(said)
    return said if len(text) <= _LONG else _digest([text])


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()[:16]
