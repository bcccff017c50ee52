"""The errors Thalweg raises: sentences that say what was got, what was expected and what to write instead."""

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["DataError", "ModelError", "StorageError", "ThalwegError", "UsageError", "WorkerError"]

_LONGEST = 80  # letters of what was got that are shown


class ThalwegError(Exception):
    """Base of every error Thalweg raises on purpose.

    >>> import thalweg as tw
    >>> issubclass(tw.UsageError, tw.ThalwegError)
    True
    """


class UsageError(ThalwegError, ValueError):
    """An argument, name or recipe that makes no sense; the command line exits with 2.

    >>> import thalweg as tw
    >>> tw.optim.Adam(lr=-1.0)
    Traceback (most recent call last):
    ...
    thalweg.errors.UsageError: Adam lr must be finite and not negative; got -1.0.
    """


class DataError(ThalwegError, ValueError):
    """Examples that cannot be trained or measured on (non-finite values, mismatched lengths).

    >>> import thalweg as tw
    >>> tw.data.from_user(([[1.0], [2.0], [3.0]], [0, 1]))
    Traceback (most recent call last):
    ...
    thalweg.errors.DataError: train: Inputs and targets need one row per example, but inputs has 3, targets has 2.
    """


class ModelError(ThalwegError, ValueError):
    """A model or loss that breaks a rule the computation needs (shapes, a loss that is not a mean).

    >>> import torch
    >>> import thalweg as tw
    >>> tw.Layout.of(torch.nn.ReLU())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    thalweg.errors.ModelError: The model has no parameter that requires a gradient; ...
    """


class StorageError(ThalwegError, OSError):
    """A file, checkpoint or store that is missing, damaged, foreign or cannot be written.

    >>> import thalweg as tw
    >>> issubclass(tw.StorageError, OSError)
    True
    """


class WorkerError(ThalwegError, RuntimeError):
    """Work that no worker could carry out: it cannot be sent, its process died, no cluster answers.

    >>> import thalweg as tw
    >>> issubclass(tw.WorkerError, RuntimeError)
    True
    """


def unknown_name(kind: str, got: object, known: Iterable[str]) -> UsageError:
    """The error for an unknown name: what was got, the nearest known one, and the whole list."""
    known = sorted(known)
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.4) if isinstance(got, str) else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UsageError(f"There is no {kind} {got!r}.{hint} Known: {', '.join(known) or 'none'}.")


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
        shown = repr(got)
        short = len(shown) <= _LONGEST and "\n" not in shown  # a tensor's numbers would hide the sentence
        msg = f"{what} must be {write}; got {shown if short else f'a {type(got).__name__}'}."
        raise UsageError(msg)


def check_count(what: str, got: object, least: int = 1) -> None:
    """Raise UsageError unless `got` is a whole number of at least `least`."""
    check_type(what, got, int, f"a whole number of at least {least}")
    if got < least:  # type: ignore[operator]
        msg = f"{what} must be a whole number of at least {least}; got {got}."
        raise UsageError(msg)
