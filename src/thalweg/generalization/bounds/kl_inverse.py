"""How far a risk may be from a mean loss at a given relative entropy: the tightest form that bounds are put in."""

import numpy as np
from numpy.typing import ArrayLike

from thalweg.generalization.bounds.arguments import Array, amounts, losses

_HALVINGS = 64  # of an interval within [0, 1], after which its ends are neighbors


def binary_kl(q: ArrayLike, p: ArrayLike) -> Array:
    """The relative entropy of two coins, kl(q || p) = q ln(q/p) + (1 - q) ln((1 - q)/(1 - p)), in nats.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.binary_kl(0.0, 0.5).round(4))  # ln 2
    0.6931

    Args:
        q, p: in [0, 1]; it is infinite where p rules out what q allows.

    Raises:
        UsageError: one that is not in [0, 1].
    """
    from scipy.special import rel_entr  # here, for it takes longer to load than all that draws needs

    first, second = losses("binary_kl", q), losses("binary_kl", p)
    return rel_entr(first, second) + rel_entr(1 - first, 1 - second)


def kl_inverse(error: ArrayLike, distance: ArrayLike) -> Array:
    """The largest risk within a relative entropy of a mean loss: max {p : kl(error || p) <= distance}.

    A statement "kl(error || risk) <= distance with probability 1 - delta" then reads "risk <= kl_inverse". It rises
    with both arguments, lies in [error, 1], and for error 0 is 1 - exp(-distance).

    >>> import thalweg as tw
    >>> tw.generalization.bounds.kl_inverse([0.0, 0.1], 0.05).round(4).tolist()
    [0.0488, 0.2201]

    Args:
        error: in [0, 1].
        distance: in nats, at least 0; of an infinite one the risk is 1.

    Raises:
        UsageError: others.

    References:
        Langford & Seeger (2001); Seeger (2002), JMLR 3, 233-269.
    """
    q, c = np.broadcast_arrays(losses("kl_inverse", error), amounts("kl_inverse distance", distance))
    low, high = q.astype(np.float64), np.ones(q.shape)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        within = binary_kl(q, middle) <= c
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return np.where(q == 0, -np.expm1(-c), high)  # of what is left the upper end, so that it stays a bound


def kl_inverse_lower(error: ArrayLike, distance: ArrayLike) -> Array:
    """The smallest risk within a relative entropy of a mean loss: min {p : kl(error || p) <= distance}.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.kl_inverse_lower(0.1, 0.05).round(4))
    0.0313

    Args:
        error, distance: see `kl_inverse`, also for what is raised.
    """
    return 1 - kl_inverse(1 - losses("kl_inverse_lower", error), distance)
