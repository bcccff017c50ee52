"""What Thalweg raises: one sentence saying what was got, what was expected, what to write instead."""

import difflib
from collections.abc import Iterable
from typing import Any


class ThalwegError(Exception):
    """Base of every error Thalweg raises on purpose."""


class UsageError(ThalwegError, ValueError):
    """An argument, name or recipe that cannot be meant; the command line exits with 2."""


class DataError(ThalwegError, ValueError):
    """Examples that cannot be trained or measured on (non-finite values, mismatched lengths)."""


class ModelError(ThalwegError, ValueError):
    """A model or loss that breaks a rule the computation needs (shapes, a loss that is not a mean)."""


class StorageError(ThalwegError, OSError):
    """A file, checkpoint or store that is missing, damaged, foreign or cannot be written."""


def unknown_name(kind: str, got: object, known: Iterable[str]) -> UsageError:
    """The error for a misspelt name, or what is no name: what was got, the nearest known one, and the whole list."""
    known = sorted(known)
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.4) if isinstance(got, str) else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UsageError(f"There is no {kind} {got!r}.{hint} Known: {', '.join(known)}.")


def check_choice(what: str, got: object, known: Iterable[str]) -> None:
    """Raise UsageError unless `got` is one of the known words for `what`."""
    known = tuple(known)
    if got not in known:
        msg = f"{what} is one of {', '.join(known)}; got {got!r}."
        raise UsageError(msg)


def check_type(what: str, got: object, kind: Any, write: str) -> None:
    """Raise UsageError unless `got` is of a kind; `write` says what to write instead."""
    if not isinstance(got, kind) or (
        isinstance(got, bool) and bool not in (kind if isinstance(kind, tuple) else (kind,))
    ):
        msg = f"{what} must be {write}; got {got!r}."
        raise UsageError(msg)


def check_count(what: str, got: object, least: int = 1) -> None:
    """Raise UsageError unless `got` is a whole number of at least so much."""
    check_type(what, got, int, f"a whole number of at least {least}")
    if got < least:  # type: ignore[operator]
        msg = f"{what} must be a whole number of at least {least}; got {got}."
        raise UsageError(msg)
