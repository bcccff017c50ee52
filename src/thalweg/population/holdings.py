"""What a module holds, wherever Python keeps it: attributes, lists, hooks, variables that functions close over."""

import collections
import copy
import functools
import logging
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_TABLES = ("_parameters", "_buffers", "_modules")
_LISTS = (list, collections.deque)
_WRITABLE = (dict, types.CellType, *_LISTS)
_OPAQUE = (type, types.ModuleType, logging.Logger, torch.dtype, torch.device, torch.Generator)
_PLAIN = frozenset((str, bytes, int, float, complex, bool, types.NoneType))
_TABLE_TYPES = (dict, collections.OrderedDict)
_SEQUENCES = (tuple, list, set, frozenset)
_COPYING = ("__getnewargs__", "__getnewargs_ex__")


class Place:
    """Where a value is held.

    Args:
        above: the place of what holds it; None where the module itself does.
        said: how its path goes on from there, with {} for the key.
        holder: the dictionary, list, cell or other thing that holds it.
        key: under what, in a dictionary or list.
        value: what is held.
    """

    __slots__ = ("above", "holder", "key", "said", "value")

    def __init__(self, above: "Place | None", said: str, holder: Any, key: Any, value: Any) -> None:
        self.above, self.said, self.holder, self.key, self.value = above, said, holder, key, value

    @property
    def path(self) -> str:
        """As one would write it, such as "blocks.0.scale" or "saved['hidden']"."""
        above = "" if self.above is None else self.above.path
        return (above + self.said.format(self.key)).lstrip(".")

    def put(self, value: Any) -> None:
        """Hold another value here instead; only where `writable`."""
        if isinstance(self.holder, types.CellType):
            self.holder.cell_contents = value
        else:
            self.holder[self.key] = value

    @property
    def writable(self) -> bool:
        """Whether the value can be exchanged in place: not in a tuple or set."""
        return isinstance(self.holder, _WRITABLE)


def places(root: nn.Module) -> Iterator[Place]:
    """Everything that can be reached from a module, in order, each thing's inside once; no numbers and text.

    Objects are looked into where Python copies them attribute by attribute; tensors only for their hooks.

    >>> from torch import nn
    >>> from thalweg.population.holdings import places
    >>> layer = nn.Linear(2, 3)
    >>> layer.kept = [layer.weight]
    >>> [place.path for place in places(layer) if place.value is layer.weight]
    ['weight', 'kept[0]']
    """
    seen = {id(root)}
    stack = [_inside(root, None)]
    while stack:
        place = next(stack[-1], None)
        if place is None:
            stack.pop()
            continue
        yield place
        value = place.value
        if id(value) not in seen:
            seen.add(id(value))
            if not isinstance(value, Tensor) or value._backward_hooks:
                stack.append(_inside(value, place))


def is_plain(module: nn.Module) -> bool:
    """Whether its parts hold nothing but each other, tensors, numbers and text, and are copied by attributes."""
    for part in module.modules():
        if not _is_copied_by_dict(type(part)) or isinstance(part, torch.jit.ScriptModule):
            return False
        for name, held in part.__dict__.items():
            kind = type(held)
            if kind in _PLAIN or (kind in _TABLE_TYPES and (name in _TABLES or not held)):
                continue
            if kind not in _SEQUENCES or any(type(one) not in _PLAIN for one in held):
                return False
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            if tensor is not None and (tensor._backward_hooks or not tensor.is_leaf):
                return False
    return True


def plain_copy(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """What `copy.deepcopy` makes of a module that `is_plain`, at a small part of its cost."""
    if id(module) in memo:
        return memo[id(module)]
    twin = memo[id(module)] = type(module).__new__(type(module))
    state = {}
    for name, held in module.__dict__.items():
        if name in _TABLES:
            state[name] = type(held)((key, _plain_entry(one, memo)) for key, one in held.items())
        elif type(held) in _PLAIN:
            state[name] = held
        else:
            state[name] = copy.deepcopy(held, memo) if held else type(held)()
    twin.__setstate__(state)
    return twin


def _plain_entry(held: Any, memo: dict[int, Any]) -> Any:
    if isinstance(held, nn.Module):
        return plain_copy(held, memo)
    return held.__deepcopy__(memo) if isinstance(held, Tensor) else held


def _inside(value: Any, above: Place | None) -> Iterator[Place]:
    if isinstance(value, nn.Module):
        for name, held in value.__dict__.items():
            kind = type(held)
            if kind in _PLAIN or (kind in _TABLE_TYPES and not held):
                continue
            if name in _TABLES:
                yield from _entries(held, above, ".{}")
            else:
                yield Place(above, ".{}", value.__dict__, name, held)
    elif isinstance(value, dict):
        yield from _entries(value, above, "[{!r}]")
    elif isinstance(value, _OPAQUE):
        return
    elif isinstance(value, Tensor):
        if value.is_leaf:
            yield from _entries(value._backward_hooks or {}, above, "'s hook {}")
    elif isinstance(value, (*_LISTS, tuple, set, frozenset)):
        for key, held in enumerate(value):
            if type(held) not in _PLAIN:
                yield Place(above, "[{}]", value, key, held)
    elif isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            if not is_empty(cell) and type(cell.cell_contents) not in _PLAIN:
                yield Place(above, f"'s variable {name}", cell, None, cell.cell_contents)
        for held in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()):
            if type(held) not in _PLAIN:
                yield Place(above, "'s default", value, None, held)
    elif isinstance(value, types.MethodType):
        yield Place(above, "'s self", value, None, value.__self__)
    elif isinstance(value, functools.partial):
        for held in (value.func, *value.args, *value.keywords.values()):
            yield Place(above, "'s argument", value, None, held)
    elif _is_usual(type(value)):
        yield from _entries(getattr(value, "__dict__", {}), above, ".{}")


def _is_usual(kind: type) -> bool:
    """Whether Python copies objects of it attribute by attribute."""
    reduced = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
    return reduced and not hasattr(kind, "__deepcopy__")


def _is_copied_by_dict(kind: type) -> bool:
    """Whether what is copied is the dictionary of attributes, and that alone."""
    if not _is_usual(kind) or kind.__getstate__ is not nn.Module.__getstate__ or kind.__new__ is not object.__new__:
        return False
    return not any(hasattr(kind, name) for name in _COPYING) and not any(
        vars(base).get("__slots__") for base in kind.__mro__
    )


def _entries(table: dict[Any, Any], above: Place | None, said: str) -> Iterator[Place]:
    for key, held in table.items():
        if type(held) not in _PLAIN:
            yield Place(above, said, table, key, held)


def is_empty(cell: types.CellType) -> bool:
    """Whether a variable that a function closes over has no value yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False
