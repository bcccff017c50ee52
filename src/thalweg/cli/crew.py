"""What `--workers` says: who carries out the experiments of a study or of the tour."""

import importlib.util
import re
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from thalweg.cli import output
from thalweg.cli.options import WrongValueError
from thalweg.errors import UsageError

if TYPE_CHECKING:
    from thalweg.workers import Workers

_ADDRESS = re.compile(r"ray://[^/\s:]+:\d{1,5}")
_ALONE = ("1", "none")  # this process, with all its threads


def _read(words: list[str]) -> str:
    """The word, if it says who; whether Ray is there is looked up without importing it."""
    word = words[0]
    ray = word == "ray" or _ADDRESS.fullmatch(word) is not None
    if not (ray or word == "none" or (word.isascii() and word.isdecimal() and int(word))):
        msg = (
            "--workers must be a number of processes of at least 1, none, ray, or ray://HOST:PORT; "
            f"got {word!r}. Write --workers 2."
        )
        raise WrongValueError(msg)
    if ray and importlib.util.find_spec("ray") is None:
        msg = f"--workers {word} needs Ray, which is not installed. Install thalweg[cluster], or write --workers 2."
        raise WrongValueError(msg)
    return str(int(word)) if word.isdecimal() else word


WORKERS: PrimitiveConstructorSpec[str] = PrimitiveConstructorSpec(
    nargs=1,
    metavar="N|ray|ray://HOST:PORT",
    instance_from_str=_read,
    is_instance=lambda value: True,
    str_from_instance=lambda value: [str(value)],
)
_HELP = "Who carries out the experiments: N processes of one thread each, or a Ray cluster; 1 or none is this process."
OfStudy = Annotated[str | None, WORKERS, tyro.conf.arg(help=_HELP, help_behavior_hint="")]
OfTraining = Annotated[
    str | None,
    WORKERS,
    tyro.conf.arg(
        help="Who trains slices of the members: N processes of one thread each, or a Ray cluster; 1 or none is this "
        "process.",
        help_behavior_hint="",
    ),
]
OfTour = Annotated[
    str | None, WORKERS, tyro.conf.arg(help=f"{_HELP} Left out, one process a core.", help_behavior_hint="")
]


def of_training(word: str | None, device: str) -> "Workers | None":
    """Those that were named, on processors alone; None is this process."""
    if device != "cpu" and word is not None and word not in _ALONE:
        msg = f"Workers train on processors; got --workers {word} --device {device}. Leave out one of them."
        raise UsageError(msg)
    return of_study(word, device)


def of_study(word: str | None, device: str) -> "Workers | None":
    """Those that were named; None is this process."""
    if word is None or word in _ALONE:
        return None
    if device != "cpu" and word.startswith("ray"):
        msg = f"Tasks on Ray have processors and no GPU; got --workers {word} --device {device}. Leave out one of them."
        raise UsageError(msg)
    if device != "cpu":
        output.note(f"All workers share {device}: each takes memory there for a context of its own.")
    if word.startswith("ray"):
        from thalweg.workers import Ray

        return Ray(None if word == "ray" else word)
    from thalweg.workers import Processes

    return Processes(int(word))


def of_tour(word: str | None, device: str) -> "Workers | None":
    """Those that were named; else as many processes as cores, or this one where there is one, or a GPU to share."""
    if word is not None:
        return of_study(word, device)
    if device != "cpu":
        output.note(f"On {device} experiments run one after the other; --workers 2 lets two processes share it.")
        return None
    return of_study(str(cores()), device)


def cores() -> int:
    """Those that this process may use."""
    from thalweg.workers import Processes

    return Processes().count or 1
