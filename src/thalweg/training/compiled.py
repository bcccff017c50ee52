"""What a function does, by the instructions that run: the file it came from may have been edited since."""

import bisect
import dis
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

_NOTHING = {"CACHE", "EXTENDED_ARG", "NOP"}  # they make room, and mark lines
_OF_THE_TEXT = {"__doc__", "__firstlineno__"}  # what the body of a class notes of it
_SIGNATURE = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200  # *, **, generators and coroutines
_GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_HELD = _GLOBALS | {"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"}
_STORES = {"STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL", "DELETE_DEREF"}
_FILLS = {"append", "appendleft", "extend", "insert", "add", "update", "setdefault"}
_EMPTIES = {"pop", "popleft", "popitem", "remove", "discard", "clear", "sort", "reverse"}


@dataclass(frozen=True)
class Reads:
    """What code, and the code within it, finds around it.

    Args:
        paths: globals by name, each with the attributes taken of it at once: ("config", "warmup").
        stores: names that it gives other values.
        fills: names whose entries it changes by a method such as `append`.
        attributes: attributes of anything that it gives other values.
    """

    paths: tuple[tuple[str, ...], ...]
    stores: frozenset[str]
    fills: frozenset[str]
    attributes: frozenset[str]


@functools.lru_cache(maxsize=4096)
def spelled(code: CodeType) -> str:
    """The instructions of code, and of the code within it, as text.

    It does not depend on comments and docstrings, nor on the order in which a process keeps sets; it does on the minor
    version of Python, each of which has other instructions.

    >>> from thalweg.training.compiled import spelled
    >>> def short(x): return x + 1
    >>> def long(x):
    ...     "One more."
    ...     return x + 1  # a comment
    >>> def other(x): return x + 2
    >>> spelled(short.__code__) == spelled(long.__code__) != spelled(other.__code__)
    True
    """
    kept = _instructions(code)
    notes = {place for place, one in enumerate(kept) if one.opname == "STORE_NAME" and one.argval in _OF_THE_TEXT}
    kept = [one for place, one in enumerate(kept) if place not in notes and place + 1 not in notes]
    offsets = [one.offset for one in kept]
    jumps = {*dis.hasjrel, *dis.hasjabs}
    said = [
        f"{one.opname} {bisect.bisect_left(offsets, one.argval) if one.opcode in jumps else _constant(one.argval)}"
        for one in kept
    ]
    caught = [
        (*(bisect.bisect_left(offsets, offset) for offset in (one.start, one.end, one.target)), one.depth, one.lasti)
        for one in vars(dis.Bytecode(code))["exception_entries"]
    ]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _SIGNATURE)
    return f"{counts} {code.co_varnames[: sum(counts[::2])]} {caught} {'; '.join(said)}"


@functools.lru_cache(maxsize=4096)
def reads(code: CodeType) -> Reads:
    """What code finds around it, by its instructions: an attribute that is named like a global is none.

    >>> from thalweg.training.compiled import reads
    >>> reads((lambda model: model.scale + config.width * width).__code__).paths
    (('config', 'width'), ('width',))
    """
    paths: set[tuple[str, ...]] = set()
    stores: set[str] = set()
    fills: set[str] = set()
    attributes: set[str] = set()
    for part in _with_within(code):
        found = _instructions(part)
        for place, one in enumerate(found):
            taken = [one.argval]
            for after in found[place + 1 :]:
                if after.opname not in _ATTRIBUTES:
                    break
                taken.append(after.argval)
            if one.opname in _GLOBALS:
                paths.add(tuple(taken))
            if one.opname in _HELD and taken[1:2] and taken[1] in _FILLS | _EMPTIES:
                fills.add(one.argval)
            if one.opname in _STORES:
                stores.add(one.argval)
            if one.opname == "STORE_ATTR":
                attributes.add(one.argval)
    return Reads(tuple(sorted(paths)), frozenset(stores), frozenset(fills), frozenset(attributes))


def _instructions(code: CodeType) -> list[dis.Instruction]:
    return [one for one in dis.get_instructions(code) if one.opname not in _NOTHING]


def _with_within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _with_within(one)


def _constant(value: Any) -> str:
    """A constant; the entries of sets, whose order differs from process to process, are sorted."""
    if isinstance(value, CodeType):
        return f"<{spelled(value)}>"
    if isinstance(value, frozenset):
        return f"{{{sorted(map(_constant, value))}}}"
    return f"({[_constant(one) for one in value]})" if isinstance(value, tuple) else repr(value)
