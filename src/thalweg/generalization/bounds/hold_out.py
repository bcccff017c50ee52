"""The bound that needs no theory of learning: examples that the network has not seen."""

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError
from thalweg.generalization.bounds.arguments import Array, failure, numbers, sample


def hold_out(wrong: ArrayLike, m: ArrayLike, delta: ArrayLike) -> Array:
    """The risk of a network by m examples it did not see, of which it gets some wrong: Clopper and Pearson's upper end.

        max {p : P(Binomial(m, p) <= wrong) >= delta}

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.hold_out(11, 360, 0.05).round(4))
    0.0501

    Args:
        wrong: how many of the answers are wrong, 0 to m.
        m: examples that no choice was made by: not the network, and not when to stop or which of several to take.
        delta: the probability with which it may fail.

    Raises:
        UsageError: counts that cannot be, delta outside (0, 1).

    References:
        Clopper & Pearson (1934), doi:10.2307/2331986; Langford (2005), JMLR 6, 273-306.
    """
    from scipy.special import betainccinv  # here, for it takes longer to load than all that draws needs

    k, count = _counts("hold_out", wrong, m)
    inside = np.minimum(k, count - 1)
    # By the complement, as 1 - delta has few of the digits of a small delta.
    return np.where(k == count, 1.0, betainccinv(inside + 1, count - inside, failure("hold_out", delta)))


def hold_out_lower(wrong: ArrayLike, m: ArrayLike, delta: ArrayLike) -> Array:
    """The lower end: the risk is not below it, with probability 1 - delta. A bound below it is contradicted.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.hold_out_lower(11, 360, 0.05).round(4))
    0.0172

    Args:
        wrong, m, delta: see `hold_out`, also for what is raised.
    """
    from scipy.special import betaincinv

    k, count = _counts("hold_out_lower", wrong, m)
    some = np.maximum(k, 1)
    return np.where(k == 0, 0.0, betaincinv(some, count - some + 1, failure("hold_out_lower", delta)))


def _counts(name: str, wrong: ArrayLike, m: ArrayLike) -> tuple[Array, Array]:
    k, count = np.broadcast_arrays(numbers(f"{name} wrong", wrong), sample(name, m))
    if not ((k >= 0) & (k <= count) & (k == np.floor(k))).all():
        msg = f"{name} wrong must be how many of the m answers are wrong, whole numbers from 0 to m; got {wrong}."
        raise UsageError(msg)
    return k, count
