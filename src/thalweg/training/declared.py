"""What was declared of the parts of a run that are the user's own: classes, functions and the numbers they hold."""

import ast
import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Mapping
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.storage.encoding import encode_number

_DEEPEST = 8  # objects within objects
_OURS = ("thalweg", "torch", "numpy", "builtins", "functools", "math")
_STORES = {"STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL", "DELETE_DEREF"}


class Declared:
    """Values as data that tells any two apart, as far as they can be known.

    >>> from thalweg.training.declared import Declared
    >>> declared = Declared()
    >>> declared.of((1, 0.5, "relu")), declared.of(object()), declared.unknown
    ([1, 0.5, 'relu'], {'is': 'builtins.object'}, ['object'])

    Attributes:
        unknown: the types of what cannot be told from another of its kind.
    """

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self._within: list[int] = []
        self._codes: dict[type, str] = {}

    def of(self, value: Any) -> Any:
        """The value as JSON-able data."""
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or isinstance(value, bool | int | str):
            return value.value if isinstance(value, enum.Enum) else value
        if isinstance(value, float):
            return encode_number(value)
        if isinstance(value, complex | torch.dtype | torch.device | np.dtype | PurePath | enum.Enum | slice):
            return str(value)
        if isinstance(value, Tensor | np.ndarray):
            return _hash(value)
        if isinstance(value, type | ModuleType):
            return getattr(value, "__qualname__", value.__name__)
        if id(value) in self._within or len(self._within) > _DEEPEST:
            return "..."
        self._within.append(id(value))
        try:
            return self._compound(value)
        finally:
            self._within.pop()

    def _compound(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return [[self.of(name), self.of(one)] for name, one in value.items()]
        if isinstance(value, set | frozenset):
            return sorted(str(self.of(one)) for one in value)
        if isinstance(value, list | tuple):
            return [self.of(one) for one in value]
        if isinstance(value, functools.partial):
            return {"is": "partial", "of": self.of([value.func, value.args, value.keywords])}
        if isinstance(value, MethodType):
            return {"is": value.__qualname__, "of": self.of([value.__self__, value.__func__])}
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, BuiltinFunctionType):
            return value.__qualname__
        if isinstance(value, nn.Module):
            return {"is": named(type(value)), "has": self.of(value.state_dict()), "layers": self.layers(value)}
        return self._object(value)

    def _object(self, value: Any) -> Any:
        """An object by its class and attributes; one without any of these says nothing of itself."""
        kind = type(value)
        slots = [name for one in kind.__mro__ for name in getattr(one, "__slots__", ())]
        fields = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        names = {*fields, *slots, *getattr(value, "__dict__", ())} - {"__dict__", "__weakref__"}
        held = {name: self.of(getattr(value, name)) for name in sorted(names) if hasattr(value, name)}
        code = {"code": self.code(kind)} if is_own(kind) and any(map(functions_of, kind.__mro__[:-1])) else {}
        if not held and not code and not dataclasses.is_dataclass(value):
            self.unknown.append(kind.__name__)
        return {"is": named(kind)} | code | held

    def code(self, kind: type) -> str:
        """A hash of the methods of a class, and of those of the user's classes that it inherits from."""
        if kind not in self._codes:
            own = [one for one in kind.__mro__ if is_own(one)]
            said = [self._function(part) for one in own for part in functions_of(one)]
            self._codes[kind] = _digest([json.dumps(said)])
        return self._codes[kind]

    def layers(self, root: nn.Module) -> list[Any]:
        """What layers hold besides what torch's own print of themselves: numbers, words, functions, code and hooks.

        Some of torch's print nothing, such as attention with its dropout.
        """
        found: list[Any] = []
        for path, module in root.named_modules():
            kind, attributes = type(module), vars(module)
            named_so = {name: one for name, one in attributes.items() if name[:1] != "_" and name != "training"}
            printed = kind.__module__.startswith("torch.") and kind.extra_repr is not nn.Module.extra_repr
            held = {name: self.of(one) for name, one in named_so.items() if _constant(one) and not printed}
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
        """A function by its code, and by the constants that it was made with or finds around it.

        Lists and what the function itself changes are left out: they may count its calls.
        """
        code, own = function.__code__, _is_own(function.__module__)
        changed = {one.argval for one in dis.get_instructions(code) if one.opname in _STORES}
        cells = zip(code.co_freevars, function.__closure__ or (), strict=False)
        around = {name: cell.cell_contents for name, cell in cells if _filled(cell)}
        if own:
            around |= {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
        around |= {f"default {place}": one for place, one in enumerate(function.__defaults__ or ())}
        around |= {f"default {name}": one for name, one in (function.__kwdefaults__ or {}).items()}
        kept = {name: self.of(one) for name, one in sorted(around.items()) if name not in changed and _constant(one)}
        return {"is": function.__qualname__, "with": kept} | ({"code": _digest([_source(function)])} if own else {})


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def named(kind: type) -> str:
    """The full name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def holds_own(value: Any, depth: int = 0) -> bool:
    """Whether anything of the user's own is in a recipe: an object of another class, or a function."""
    if value is None or isinstance(value, bool | int | float | str | np.generic) or depth > _DEEPEST:
        return False
    if isinstance(value, list | tuple):
        return any(holds_own(one, depth + 1) for one in value)
    if is_own(type(value)) or not dataclasses.is_dataclass(value):
        return not isinstance(value, Tensor | np.ndarray)
    return any(holds_own(one, depth + 1) for one in vars(value).values())


def is_own(kind: type) -> bool:
    """Whether a class is the user's own, and not of Thalweg, torch, NumPy or Python."""
    return _is_own(kind.__module__)


def _is_own(module: str | None) -> bool:
    return (module or "").partition(".")[0] not in _OURS


def _constant(value: Any) -> bool:
    """Whether a value that a function or a layer holds is none that its calls would change."""
    if isinstance(value, tuple):
        return all(map(_constant, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(map(_constant, vars(value).values()))  # a configuration
    numbers = (
        bool | int | float | complex | str | np.generic | torch.dtype | torch.Size | FunctionType | functools.partial
    )
    return value is None or isinstance(value, numbers | Tensor | np.ndarray | MethodType | enum.Enum)


def functions_of(kind: type) -> list[FunctionType]:
    """The functions that a class itself has, by name."""
    unwrapped = {name: getattr(one, "__func__", getattr(one, "fget", one)) for name, one in vars(kind).items()}
    return [one for _, one in sorted(unwrapped.items()) if isinstance(one, FunctionType)]


def _source(function: FunctionType) -> str:
    """What a function does, as text: its source without comments and layout, or else its code."""
    if function.__name__ != "<lambda>":
        try:
            return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
        except (OSError, TypeError, SyntaxError, ValueError):
            pass
    return _spelled(function.__code__)


def _spelled(code: CodeType) -> str:
    """The instructions of code and of the code within it."""
    return f"{code.co_code.hex()} {code.co_names} {_constants(code.co_consts)}"


def _constants(value: Any) -> str:
    """A constant of code; the entries of sets, whose order differs from process to process, are sorted."""
    if isinstance(value, CodeType):
        return _spelled(value)
    if isinstance(value, frozenset):
        return f"{{{sorted(map(_constants, value))}}}"
    return f"({[_constants(one) for one in value]})" if isinstance(value, tuple) else repr(value)


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 (an empty one raises)
    except ValueError:
        return False
    return True


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()[:16]


def _hash(value: "Tensor | np.ndarray[Any, Any]") -> str:
    """A hash of an array: type, shape and bytes."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biufc":
        return _digest([repr(value.tolist())])
    tensor = torch.as_tensor(value).detach().cpu().resolve_conj().resolve_neg()
    tensor = tensor.to_dense() if tensor.layout != torch.strided else tensor
    made = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    made.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return made.hexdigest()
