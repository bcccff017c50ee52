"""Options whose values are read here, so that a wrong one is a sentence about this option and what to write."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from thalweg.errors import unknown_name

T = TypeVar("T")


class WrongValueError(Exception):
    """A value that an option cannot take. No ValueError: of that, tyro would make a box with half of the help in it."""


def whole(option: str, example: int, *, least: int | None = None) -> PrimitiveConstructorSpec[int]:
    """A whole number, of at least `least`."""
    kind = "a whole number" + ("" if least is None else f" of at least {least}")

    def read(words: list[str]) -> int:
        return _number(int, words[0], least, f"{option} must be {kind}; got {words[0]!r}. Write {option} {example}.")

    return _spec(1, "INT", read)


def wholes(option: str, example: str, what: str, *, least: int) -> PrimitiveConstructorSpec[tuple[int, ...]]:
    """One or more whole numbers of at least `least`."""

    def read(words: list[str]) -> tuple[int, ...]:
        msg = f"{option} must be {what}, whole numbers of at least {least}; got {_shown(words)}. "
        return _numbers(int, words, least, f"{msg}Write {option} {example}.")

    return _spec("*", "INT ...", read)


def number(option: str, example: float) -> PrimitiveConstructorSpec[float]:
    """A number."""

    def read(words: list[str]) -> float:
        return _number(float, words[0], None, f"{option} must be a number; got {words[0]!r}. Write {option} {example}.")

    return _spec(1, "FLOAT", read)


def numbers(option: str, example: str, what: str) -> PrimitiveConstructorSpec[tuple[float, ...]]:
    """One or more numbers."""

    def read(words: list[str]) -> tuple[float, ...]:
        msg = f"{option} must be {what}; got {_shown(words)}. Write {option} {example}."
        return _numbers(float, words, None, msg)

    return _spec("*", "FLOAT ...", read)


def choice(option: str, names: Sequence[str]) -> PrimitiveConstructorSpec[str]:
    """One of some names."""

    def read(words: list[str]) -> str:
        if words[0] not in names:
            raise WrongValueError(str(unknown_name(option, words[0], names)))
        return words[0]

    return _spec(1, "{" + ",".join(names) + "}", read)


def _number(kind: Callable[[str], T], word: str, least: int | None, wrong: str) -> T:
    try:
        value = kind(word)
    except ValueError as error:
        raise WrongValueError(wrong) from error
    if least is not None and value < least:  # type: ignore[operator]
        raise WrongValueError(wrong)
    return value


def _numbers(kind: Callable[[str], T], words: list[str], least: int | None, wrong: str) -> tuple[T, ...]:
    if not words:
        raise WrongValueError(wrong)
    return tuple(_number(kind, word, least, wrong) for word in words)


def _shown(words: list[str]) -> str:
    """What was given, as it was written."""
    return repr(" ".join(words)) if words else "nothing"


def _spec(nargs: Any, metavar: str, read: Callable[[list[str]], Any]) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=nargs,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: True,
        str_from_instance=lambda value: [f"{one:g}" if isinstance(one, float) else str(one) for one in _listed(value)],
    )


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


# What quick changes, and how long each takes: said by --help of every verb that has a scale.
_SCALE = (
    "Quick has fewer seeds, and also fewer steps and smaller sizes: a claim about more steps than were run stays "
    "undecided. Full has the steps and sizes that the claims are about. On 2 cores quick takes about a minute a study, "
    "full about 10 minutes."
)
Scale = Annotated[Literal["quick", "full"], choice("--scale", ("quick", "full")), tyro.conf.arg(help=_SCALE)]
Seed = Annotated[int, whole("--seed", 0), tyro.conf.arg(help="From which every random draw derives.")]
Device = Annotated[str, tyro.conf.arg(metavar="DEVICE", help="Where tensors live: cpu, or a GPU's name, such as cuda.")]
NO_DEFAULT = tyro.conf.arg(help_behavior_hint="")  # of an option that does nothing unless it is given
