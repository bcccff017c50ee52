"""Work and items as bytes that a worker can read, by cloudpickle: functions and classes of a script go along."""

import importlib
import io
import pickle
import sys
import threading
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

import cloudpickle

from thalweg.errors import WorkerError
from thalweg.workers.culprit import culprit, with_article
from thalweg.workers.settings import Settings, Settled

_LOCKS = {type(threading.Lock()): threading.Lock, type(threading.RLock()): threading.RLock}
_STEPS = 8  # of the way to what cannot be sent that are said
_FILES = (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO)


class Packed(NamedTuple):
    """Work, sent once to each worker, and items, each sent once."""

    work: bytes
    items: tuple[bytes, ...]


def pack(work: Any, items: Sequence[Any]) -> Packed:
    """Work and items as bytes.

    Args:
        work: a function; what it refers to goes along once.
        items: what it is called with; each goes along by itself.

    >>> from thalweg.workers.packing import pack
    >>> import os
    >>> log = open(os.devnull)
    >>> def work(item, tell):
    ...     return log.read()
    >>> pack(work, [1, 2])
    Traceback (most recent call last):
    ...
    thalweg.errors.WorkerError: The work cannot be sent to a worker because of a TextIOWrapper (in 'log' of the \
function work); open it in the worker, or leave it out.
    >>> log.close()

    Raises:
        WorkerError: what cannot be sent, and where it is.
    """
    settled = Settled(work, Settings.here())
    sent = packed(work, "The work", "cannot be sent to a worker", within=settled)
    return Packed(sent, tuple(packed(item, str(item).rstrip("."), "cannot be sent to a worker") for item in items))


def packed(value: Any, what: str, cannot: str, *, within: Any = None) -> bytes:
    """A value as bytes; locks go as fresh ones, generators of torch with their state.

    Args:
        value: anything.
        what: it is, in words that begin a sentence.
        cannot: what cannot be done where a part of it cannot be pickled.
        within: what holds it and goes in its place, if anything does.

    Raises:
        WorkerError: which part, and where it is.
    """
    try:
        return _dumps(value if within is None else within)
    except Exception as error:
        if isinstance(error.__cause__, RecursionError):
            msg = f"{what} {cannot} because it is nested too deeply; flatten it, or leave it out."
            raise WorkerError(msg) from error
        found = culprit(value, _dumps)
        kind = with_article(type(found.value).__name__)
        path = found.path if len(found.path) <= _STEPS else (*found.path[: _STEPS - 2], "...", found.path[-1])
        where = f" (in {' of '.join(path)})" if path else ""
        msg = f"{what} {cannot} because of {kind}{where}; open it in the worker, or leave it out."
        raise WorkerError(msg) from error


class _Pickler(cloudpickle.Pickler):
    """Cloudpickle, and what it does not know how to send."""

    def reducer_override(self, obj: Any) -> Any:
        fresh = _LOCKS.get(type(obj))
        if fresh is not None:
            return fresh, ()
        if isinstance(obj, _FILES) and obj not in (sys.stdin, sys.stdout, sys.stderr):
            msg = "an open file"  # cloudpickle would send what is left to read
            raise pickle.PicklingError(msg)
        of_own_kind = isinstance(obj, types.ModuleType) and type(obj) is not types.ModuleType
        if of_own_kind and sys.modules.get(obj.__name__) is obj:  # as torch.backends.cudnn is
            return importlib.import_module, (obj.__name__,)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(obj, torch.Generator):
            return _generator, (str(obj.device), obj.get_state())
        return super().reducer_override(obj)


def _generator(device: str, state: Any) -> Any:
    import torch  # no name of this file: whoever has a generator has loaded it

    generator = torch.Generator(device)
    generator.set_state(state)
    return generator


def _dumps(value: Any) -> bytes:
    script = sys.modules.get("__mp_main__")
    if script is not None:  # the script's name in a process of multiprocessing; cloudpickle knows of __main__ alone
        cloudpickle.register_pickle_by_value(script)
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()
