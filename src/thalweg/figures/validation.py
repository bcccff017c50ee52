"""What a mark is given, made arrays that are its own, or refused with what it needs instead."""

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_type

Numbers = NDArray[Any]  # given as any array of numbers, kept as read-only float64


def labelled(mark: Any) -> None:
    """Raise UsageError unless the mark's label is text."""
    check_type(f"The label of a {type(mark).__name__}", mark.label, str, "text")


def numbers(mark: Any, name: str) -> NDArray[np.float64]:
    """A field as read-only float64; a copy, since what was given may change later.

    Raises:
        UsageError: there are no numbers in it.
    """
    try:
        array = np.asarray(getattr(mark, name), dtype=np.float64).copy()
    except (TypeError, ValueError, RuntimeError) as error:  # the last is torch's, of a tensor with a gradient
        msg = f"{name} of a {type(mark).__name__} needs numbers: {str(error).rstrip('.')}."
        raise UsageError(msg) from error
    array.flags.writeable = False
    return array


def vectors(mark: Any, *names: str) -> None:
    """Make fields float64 vectors of one length; None stays None.

    Raises:
        UsageError: other shapes, or lengths that differ.
    """
    shapes = {}
    for name in names:
        if getattr(mark, name) is not None:
            object.__setattr__(mark, name, numbers(mark, name))
            shapes[name] = getattr(mark, name).shape
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        msg = f"A {type(mark).__name__} needs one-dimensional entries of one length, and got shapes {shapes}."
        raise UsageError(msg)


def both_or_neither(mark: Any) -> None:
    """Raise UsageError where one end of the intervals is given without the other."""
    if (mark.low is None) != (mark.high is None):
        msg = f"A {type(mark).__name__} needs both low and high, or neither."
        raise UsageError(msg)


def grid(mark: Any, *, least: int) -> None:
    """Make the fields of a grid float64, with at least `least` rows and columns.

    Raises:
        UsageError: shapes that do not fit, too few rows or columns, or coordinates that are not in order.
    """
    kind = type(mark).__name__
    for name in ("x", "y", "z"):
        object.__setattr__(mark, name, numbers(mark, name))
    if mark.x.ndim != 1 or mark.y.ndim != 1 or mark.z.shape != (len(mark.y), len(mark.x)) or mark.z.size == 0:
        msg = (
            f"A {kind} needs z of shape (len(y), len(x)), not empty, and got z {mark.z.shape}, "
            f"y {mark.y.shape}, x {mark.x.shape}."
        )
        raise UsageError(msg)
    if min(mark.z.shape) < least:
        msg = f"A {kind} needs at least {least} rows and {least} columns, and got z {mark.z.shape}; draw a Line."
        raise UsageError(msg)
    for name in ("x", "y"):
        at = getattr(mark, name)
        steps = np.diff(at)
        if not np.isfinite(at).all() or not ((steps > 0).all() or (steps < 0).all()):
            msg = f"{name} of a {kind} ascends or descends and is finite; sort it, and z with it. Got {at.tolist()}."
            raise UsageError(msg)


def bins(mark: Any) -> int | NDArray[np.float64]:
    """How many bins, or their edges.

    Raises:
        UsageError: no bin, or edges that do not ascend.
    """
    try:
        count = operator.index(mark.bins)
    except TypeError:
        edges = numbers(mark, "bins")
        if edges.ndim == 1 and len(edges) > 1 and np.isfinite(edges).all() and (np.diff(edges) > 0).all():
            return edges
    else:
        if count > 0:
            return count
    msg = f"bins of a {type(mark).__name__} are a number from 1, or two or more edges that ascend; got {mark.bins}."
    raise UsageError(msg)
