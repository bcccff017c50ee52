"""What a bound is given: a loss in [0, 1], a confidence, a sample that is large enough. All else is refused."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError

Array = NDArray[np.float64]


def numbers(what: str, value: ArrayLike) -> Array:
    """The value as float64.

    Raises:
        UsageError: there are no numbers in it.
    """
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"{what} must be a number, or an array of numbers; got {value!r}."
        raise UsageError(msg) from error


def losses(name: str, error: ArrayLike) -> Array:
    """Mean losses, each in [0, 1].

    >>> from thalweg.generalization.bounds.arguments import losses
    >>> losses("hoeffding", [0.0, 0.25]).tolist()
    [0.0, 0.25]

    Raises:
        UsageError: one that is not: the bounds hold for a loss that nothing can make larger than 1.
    """
    found = numbers(f"{name} error", error)
    wrong = found[~((found >= 0) & (found <= 1))]
    if len(wrong):
        remedy = (
            "Divide a bounded loss by its largest value; cross-entropy has none, so give the share of wrong answers."
        )
        if np.isnan(wrong.flat[0]):
            remedy = "Count as wrong what is not a number."
        msg = f"{name} error must be a mean loss in [0, 1], such as a share of wrong answers; got {_said(wrong)}. "
        raise UsageError(msg + remedy)
    return found


def failure(name: str, delta: ArrayLike) -> Array:
    """The probability with which a bound may fail, in (0, 1).

    Raises:
        UsageError: one that is not.
    """
    found = numbers(f"{name} delta", delta)
    wrong = found[~((found > 0) & (found < 1))]
    if len(wrong):
        msg = (
            f"{name} delta is the probability with which the bound may fail, above 0 and below 1, such as 0.05; got "
            f"{_said(wrong)}."
        )
        raise UsageError(msg)
    return found


def sample(name: str, m: ArrayLike, least: int = 1, why: str = "") -> Array:
    """The number of independent examples.

    Raises:
        UsageError: no whole number, or fewer than the bound needs; `why` says why it needs them.
    """
    return counts(f"{name} m", m, least, kind="a whole number of examples", why=why)


def counts(what: str, value: ArrayLike, least: int = 1, *, kind: str = "a whole number", why: str = "") -> Array:
    """How many there are of something.

    >>> from thalweg.generalization.bounds.arguments import counts
    >>> counts("golowich_complexity depth", 3).tolist()
    3.0

    Raises:
        UsageError: no whole number, or fewer than `least`; `why` says why it is needed.
    """
    found = numbers(what, value)
    wrong = found[~((found >= least) & (found == np.floor(found)) & np.isfinite(found))]
    if len(wrong):
        reason = f": {why}" if why else ""
        msg = f"{what} must be {kind}, at least {least}{reason}; got {_said(wrong)}."
        raise UsageError(msg)
    return found


def amounts(what: str, value: ArrayLike, *, above: bool = False) -> Array:
    """A norm, a divergence, a count: not negative, and infinite only where something diverged.

    Args:
        what: for the error.
        above: whether it must be above 0.

    Raises:
        UsageError: it is negative (or 0), or no number.
    """
    found = numbers(what, value)
    right = found > 0 if above else found >= 0
    if not right.all():
        msg = f"{what} must be {'above 0' if above else 'at least 0'}; got {_said(found[~right])}."
        raise UsageError(msg)
    return found


def product(*factors: ArrayLike) -> Array:
    """Of numbers from 0 to infinity: infinite where it is too large, or 0 times infinity, as a bound is never NaN.

    >>> from thalweg.generalization.bounds.arguments import product
    >>> [float(product(*of)) for of in ((2.0, 3.0), (1e300, 1e300), (0.0, float("inf")))]
    [6.0, inf, inf]
    """
    found = np.asarray(1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        for factor in factors:
            found = found * np.asarray(factor, dtype=np.float64)
    return np.where(np.isnan(found), np.inf, found)


def inverse(value: Array) -> Array:
    """1 / value, infinite where that is too large.

    >>> import numpy as np
    >>> from thalweg.generalization.bounds.arguments import inverse
    >>> inverse(np.array([0.5, 1e-320])).tolist()
    [2.0, inf]
    """
    with np.errstate(over="ignore"):
        return 1 / value


def _said(wrong: Array) -> str:
    """The first of the numbers that are refused, with all its digits."""
    return repr(float(wrong.flat[0])).removesuffix(".0")
