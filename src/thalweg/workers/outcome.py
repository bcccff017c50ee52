"""How a piece of work ended in a worker, as it is sent back."""

import contextlib
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import cloudpickle

from thalweg.errors import WorkerError
from thalweg.workers.packing import packed
from thalweg.workers.place import Place
from thalweg.workers.protocol import Tell

Raised = TypeVar("Raised", bound=BaseException)
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


class Outcome(NamedTuple):
    """How a piece of work ended.

    Args:
        number: which item it was.
        how: it found something, it raised, it was interrupted, or its process died.
        content: what it found or raised, pickled.
        place: where it ran.
        words: of who noticed that a process died.
    """

    number: int
    how: Literal["found", "raised", "stopped", "died"]
    content: bytes = b""
    place: Place = Place()
    words: str = ""

    def open(self) -> Any:
        """What was found or raised.

        Raises:
            WorkerError: it cannot be made again in this process.
        """
        try:
            return pickle.loads(self.content)
        except Exception as error:
            what = "returned" if self.how == "found" else "raised"
            msg = f"What the work {what} cannot be read here ({type(error).__name__}: {error})."
            raise WorkerError(msg) from error


def carry_out(number: int, read: Callable[[], tuple[Any, Any]], tell: Tell, node: str = "") -> Outcome:
    """Read work and item, do the work with one thread, and say how it ended.

    Args:
        number: which item it is.
        read: gives work and item.
        tell: is told how far the work is.
        node: where this is, in words of the cluster.
    """
    try:
        os.environ.update(ONE_THREAD)
        try:
            work, item = read()
        except Exception as error:
            msg = f"A worker cannot read the work it was sent ({type(error).__name__}: {error})."
            raise WorkerError(msg) from error
        torch = sys.modules.get("torch")  # loaded later, it asks the environment
        if torch is not None:
            torch.set_num_threads(1)
        found = packed(work(item, tell), "What the work returned", "cannot be sent back")
    except KeyboardInterrupt:
        return Outcome(number, "stopped", place=Place.here(node))
    except BaseException as error:
        return Outcome(number, "raised", cloudpickle.dumps(sendable(error)), Place.here(node))
    return Outcome(number, "found", found, Place.here(node))


def sendable(error: Raised) -> Raised | WorkerError:
    """The error with its traceback in words; as a WorkerError one that cannot be sent, made again, or raised there."""
    where = "".join(traceback.format_exception(error)).rstrip()
    note = f"In the worker:\n{where}"
    notes = (*getattr(error, "__notes__", ()), note)
    error.add_note(note)
    if not isinstance(error, StopIteration):  # which ends who gives results one by one
        with contextlib.suppress(Exception):
            error = error.with_traceback(None)
            pickle.loads(cloudpickle.dumps(error))  # whoever waits can read it
            return error
    words = WorkerError(f"The work raised {type(error).__name__}: {error}")
    for one in notes:
        words.add_note(one)
    return words
