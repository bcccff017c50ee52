"""Whether an argument is workers, without asking a cluster, which would join it."""

import inspect

from thalweg.errors import UsageError

_MISSING = object()


def check_workers(what: str, got: object, *, optional: bool = False) -> None:
    """Raise UsageError for what are no workers: numbers, names, the class of some.

    >>> import thalweg as tw
    >>> tw.workers.check_workers("train workers", 2, optional=True)
    Traceback (most recent call last):
    ...
    thalweg.errors.UsageError: train workers must be workers such as workers.Processes(2), or None; got 2.

    Args:
        what: argument, in words.
        got: its value.
        optional: whether it may be None.
    """
    found = (inspect.getattr_static(got, name, _MISSING) for name in ("map", "slices"))
    if (optional and got is None) or (_MISSING not in found and not isinstance(got, type)):
        return
    shown = f"the class {got.__name__}" if isinstance(got, type) else repr(got)
    msg = f"{what} must be workers such as workers.Processes(2){', or None' if optional else ''}; got {shown}."
    raise UsageError(msg)
