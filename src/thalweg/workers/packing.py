"""Work and items as bytes that a worker can read, by cloudpickle: functions and classes of a script go along."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cloudpickle

from thalweg.errors import WorkerError


class Packed(NamedTuple):
    """Work, sent once to each worker, and items, each sent once."""

    work: bytes
    items: tuple[bytes, ...]


def pack(work: Any, items: Sequence[Any]) -> Packed:
    """Work and items as bytes."""
    said = "The work cannot be sent to a worker"
    return Packed(packed(work, said), tuple(packed(item, f"{item} cannot be sent to a worker") for item in items))


def packed(value: Any, said: str) -> bytes:
    """A value as bytes."""
    try:
        return cloudpickle.dumps(value)
    except Exception as error:
        raise WorkerError(f"{said} because of {error}") from error
