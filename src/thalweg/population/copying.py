"""Copies of a user's module, which share nothing with it, and the reason where there can be none."""

import copy
import io
import threading
import types
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import ModelError
from thalweg.population.holdings import Place, is_empty, is_plain, places, plain_copy

_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
_ANEW = (threading.Condition, threading.Event, threading.local, _LOCK, _RLOCK)
_SHARED = (types.ModuleType, io.IOBase, torch.jit.ScriptFunction, torch.Stream, torch.Event)


def copied(module: nn.Module) -> nn.Module:
    """A copy that shares nothing with the module: functions that close over parts of it close over the copy's.

    What an earlier call left in it (activations, weights that hooks compute anew) is copied as numbers; locks are made
    anew; open files are shared. Gradient hooks of parameters come along.

    >>> from torch import nn
    >>> from thalweg.population.copying import copied
    >>> def listening():
    ...     layer, seen = nn.Linear(2, 3), []
    ...     layer.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    ...     return layer, seen
    >>> layer, seen = listening()
    >>> twin = copied(layer)
    >>> twin(twin.weight).shape, seen, twin.weight is layer.weight
    (torch.Size([3, 3]), [], False)

    Raises:
        ModelError: it holds something that Python does not copy, or a view of its parameters; it is named.
    """
    if is_plain(module):
        with torch.inference_mode(mode=False):
            return plain_copy(module, {})
    held = list(places(module))
    memo: dict[int, Any] = {}
    functions: dict[int, types.FunctionType] = {}
    parts = {id(module)} | {id(place.value) for place in held if isinstance(place.value, nn.Module | dict | list)}
    hooked = []
    for place in held:
        value = place.value
        if isinstance(value, Tensor):
            if not value.is_leaf:
                memo[id(value)] = value.detach().clone()
            elif value._backward_hooks:
                hooked.append(value)
        elif isinstance(value, _ANEW):
            memo[id(value)] = type(value)() if type(value) not in (_LOCK, _RLOCK) else _lock(value)
        elif isinstance(value, _SHARED):
            memo[id(value)] = value
        elif isinstance(value, types.FunctionType) and (_closes_over(value) or _named_parts(value, parts)):
            functions[id(value)] = memo[id(value)] = _hollow(value, parts, memo)
    try:
        with torch.inference_mode(mode=False):
            twin = copy.deepcopy(module, memo)
            if functions:
                _fill(held, functions, parts, memo)
                _exchange(twin, {id(place.value): place.value for place in held}, functions)
    except Exception as error:
        raise _uncopyable(module, held, memo, error) from error
    for tensor in dict.fromkeys(hooked):
        for hook in (tensor._backward_hooks or {}).values():
            memo[id(tensor)].register_hook(copy.deepcopy(hook, memo))
    return twin


def in_mode(module: nn.Module, *, training: bool) -> nn.Module:
    """The module itself in a mode, where parts that were left in evaluation mode stay there in training mode too.

    A model that is in evaluation mode as a whole goes into training mode as a whole.

    >>> from torch import nn
    >>> from thalweg.population.copying import in_mode
    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3))
    >>> _ = model[0].eval()
    >>> [part.training for part in in_mode(model, training=True).modules()]
    [True, False, True]
    """
    left = [part for part in module.modules() if not part.training] if training and module.training else []
    module.train(training)
    for part in left:
        if part.training:
            part.train(mode=False)
    return module


def converted(
    module: nn.Module, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """The module itself on a device and in a floating dtype; complex tensors get the complex dtype of that precision.

    (`module.to(dtype)` would keep their real parts alone.)
    """
    return module._apply(lambda tensor: tensor.to(device, matching(tensor, dtype)))


def matching(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype | None:
    """What a tensor becomes where floating ones become that dtype; None where it stays."""
    if dtype is not None and tensor.is_complex():
        return dtype.to_complex()
    return dtype if tensor.is_floating_point() else None


def _lock(value: Any) -> Any:
    return threading.RLock() if isinstance(value, _RLOCK) else threading.Lock()


def _closes_over(function: types.FunctionType) -> bool:
    """Whether it has variables of its surroundings that are more than numbers and text."""
    found = [cell.cell_contents for cell in function.__closure__ or () if not is_empty(cell)]
    found += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return any(not isinstance(one, str | bytes | int | float | type | types.NoneType) for one in found)


def _named_parts(function: types.FunctionType, parts: set[int]) -> list[str]:
    """The global names by which it reaches parts of the module, as hooks in a script do."""
    known = function.__globals__
    return [name for name in function.__code__.co_names if name in known and id(known[name]) in parts]


class _Globals(dict[str, Any]):
    """Globals of a function of a copy: the original's but for parts of the module."""

    def __init__(self, original: dict[str, Any]) -> None:
        super().__init__()
        self.original = original

    def __missing__(self, name: str) -> Any:
        return self.original[name]


def _hollow(function: types.FunctionType, parts: set[int], memo: dict[int, Any]) -> types.FunctionType:
    """The same function over variables of its own, which are still empty; shared ones stay shared among functions."""
    cells = tuple(memo.setdefault(id(cell), types.CellType()) for cell in function.__closure__ or ())
    scope = _Globals(function.__globals__) if _named_parts(function, parts) else function.__globals__
    made = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)
    made.__qualname__ = function.__qualname__
    made.__dict__.update(function.__dict__)
    return made


def _fill(held: list[Place], functions: dict[int, types.FunctionType], parts: set[int], memo: dict[int, Any]) -> None:
    """Give hollow functions copies of what the functions close over, and of the parts that they know by name."""
    for function in {id(place.value): place.value for place in held if id(place.value) in functions}.values():
        made = functions[id(function)]
        for name in _named_parts(function, parts):
            made.__globals__[name] = copy.deepcopy(function.__globals__[name], memo)
        made.__defaults__ = copy.deepcopy(function.__defaults__, memo)
        made.__kwdefaults__ = copy.deepcopy(function.__kwdefaults__, memo)
        for cell in function.__closure__ or ():
            own = memo[id(cell)]
            if is_empty(cell) or not is_empty(own):
                continue
            try:
                own.cell_contents = copy.deepcopy(cell.cell_contents, memo)
            except Exception:  # what is no part of the model and cannot be copied, such as a connection, is shared
                own.cell_contents = cell.cell_contents


def _exchange(twin: nn.Module, originals: dict[int, Any], functions: dict[int, types.FunctionType]) -> None:
    """Put the functions of its own into a copy, where Python took them over as they are."""
    for place in list(places(twin)):
        if originals.get(id(place.value)) is place.value and id(place.value) in functions and place.writable:
            place.put(functions[id(place.value)])


def _uncopyable(module: nn.Module, held: list[Place], memo: dict[int, Any], error: Exception) -> ModelError:
    """Which thing it is that Python does not copy."""
    for place in reversed(held):  # insides come after what holds them
        try:
            copy.deepcopy(place.value, dict(memo))
        except Exception as reason:
            msg = (
                f"The model cannot be copied: it holds {place.path!r}, a {type(place.value).__name__} ({reason}). Make "
                "it in forward, or leave it out of the module (__deepcopy__ of its class may return what a copy holds)."
            )
            return ModelError(msg)
    return ModelError(f"The model {type(module).__name__} cannot be copied ({error}); see copy.deepcopy.")
