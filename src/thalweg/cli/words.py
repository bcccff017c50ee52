"""What is written after a verb, checked against what the verb takes: a mistake is one sentence, not tyro's box."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from thalweg.errors import UsageError

_NUMBER = re.compile(r"-[\d.]")  # a value, though it begins as options do


@dataclass(frozen=True)
class _Taken:
    """What a verb takes.

    Args:
        values: how many values an option has, by its name: 0, 1 or "*".
        places: names of what is written without an option, in order.
        least: how many of these there must be.
    """

    values: Mapping[str, Any]
    places: Sequence[str]
    least: int


def check(verbs: Mapping[str, type[Callable[[], int]]], given: Sequence[str]) -> None:
    """Raise UsageError where an option is unknown or lacks its value, or a word is missing or too many.

    Args:
        verbs: by name.
        given: the words of the command line, which do not ask for help; the first is one of the verbs, or an option.
    """
    verb, *words = given
    if verb.startswith("-"):
        msg = f"{verb} stands before the verb; write thalweg VERB {verb}, where VERB is one of {', '.join(verbs)}."
        raise UsageError(msg)
    taken = _taken(verbs[verb])
    found = list(_placed(verb, taken, words))
    beyond = found[len(taken.places) :]
    if beyond:
        room = f"{' and '.join(taken.places)} and options" if taken.places else "options only"
        msg = f"thalweg {verb} takes {room}; got {beyond[0]!r} besides. `thalweg {verb} --help` lists them."
        raise UsageError(msg)
    if len(found) < taken.least:
        msg = f"thalweg {verb} needs {taken.places[len(found)]}; `thalweg {verb} --help` says what it is."
        raise UsageError(msg)


def _placed(verb: str, taken: _Taken, words: Sequence[str]) -> Iterator[str]:
    """The words that are neither an option nor the value of one."""
    place = 0
    while place < len(words):
        name, equals, _ = words[place].partition("=")
        place += 1
        if not _is_option(name):
            yield words[place - 1]
            continue
        name = "--" + name.removeprefix("--").replace("_", "-") if name.startswith("--") else name
        if name not in taken.values:
            raise _unknown(verb, name, taken.values)
        if equals and taken.values[name] == 0:
            msg = f"{name} takes no value; write {name} alone."
            raise UsageError(msg)
        if equals or taken.values[name] == 0:
            continue
        following = next((i for i in range(place, len(words)) if _is_option(words[i])), len(words))
        if taken.values[name] == "*":
            place = following
        elif following == place:
            msg = f"{name} needs a value, and none follows it; `thalweg {verb} --help` says which."
            raise UsageError(msg)
        else:
            place += 1


def _unknown(verb: str, name: str, known: Iterable[str]) -> UsageError:
    """As of other unknown names, but that all options begin alike makes them no nearer."""
    near = difflib.get_close_matches(name.lstrip("-"), [one.removeprefix("--") for one in known], n=1, cutoff=0.5)
    hint = f" Did you mean --{near[0]}?" if near else ""
    return UsageError(f"thalweg {verb} has no option {name}.{hint} Known: {', '.join(sorted(known))}.")


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _NUMBER.match(word)


def _taken(verb: Any) -> _Taken:
    values, places, least = dict[str, Any](), list[str](), 0
    for field in fields(verb):
        told = getattr(field.type, "__metadata__", ())
        if tyro.conf.Positional in told:
            places.append(next(one.metavar for one in told if getattr(one, "metavar", None)))
            least += field.default is MISSING
        else:
            counts = [one.nargs for one in told if isinstance(one, PrimitiveConstructorSpec)]
            flag = getattr(field.type, "__origin__", field.type) is bool
            values[f"--{field.name.replace('_', '-')}"] = 0 if flag else next(iter(counts), 1)
    return _Taken(values, places, least)
