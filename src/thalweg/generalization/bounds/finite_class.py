"""Bounds of hypotheses that can be counted, or written down: Hoeffding's and Occam's."""

import numpy as np
from numpy.typing import ArrayLike

from thalweg.generalization.bounds.arguments import Array, amounts, failure, losses, sample
from thalweg.generalization.bounds.kl_inverse import kl_inverse


def finite_class(error: ArrayLike, m: ArrayLike, log_hypotheses: ArrayLike, delta: ArrayLike) -> Array:
    """The risk of whichever of finitely many hypotheses was chosen.

        risk <= error + sqrt((ln |H| + ln(1/delta)) / (2 m))        with probability at least 1 - delta

    It is Hoeffding's inequality for each of them, at delta / |H|. One-sided: of |risk - error| it is ln(2/delta).

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.finite_class(0.1, 1_000, 4.605, 0.05).round(3))  # of 100 hypotheses
    0.162

    Args:
        error: the mean loss of the chosen one on m examples, in [0, 1].
        m: independent examples, of which the hypotheses do not depend.
        log_hypotheses: ln of how many there were to choose from; 0 of one that was fixed beforehand.
        delta: the probability with which it may fail.

    Raises:
        UsageError: losses outside [0, 1], delta outside (0, 1), no example.

    References:
        Hoeffding (1963), doi:10.1080/01621459.1963.10500830.
    """
    mean, count = losses("finite_class", error), sample("finite_class", m)
    size = amounts("finite_class log_hypotheses", log_hypotheses)
    return mean + np.sqrt((size - np.log(failure("finite_class", delta))) / (2 * count))


def occam(error: ArrayLike, m: ArrayLike, bits: ArrayLike, delta: ArrayLike) -> Array:
    """The risk of a hypothesis that a prefix code fixed before the data writes in so many bits, in its tightest form.

        kl(error || risk) <= (bits ln 2 + ln(1/delta)) / m          with probability at least 1 - delta

    By Chernoff's inequality for each, at delta 2^-bits; Kraft's inequality sums these to at most delta.

    >>> import thalweg as tw
    >>> tw.generalization.bounds.occam(0.0, 1_437, [650, 1_300, 5_200], 0.05).round(3).tolist()
    [0.271, 0.467, 0.919]

    Args:
        error, m, delta: see `finite_class`, also for what is raised.
        bits: of a prefix code: all that tells this hypothesis from others, choices among codes included.

    References:
        Blumer et al. (1987), doi:10.1016/0020-0190(87)90114-1; Langford (2005), JMLR 6, 273-306.
    """
    count = sample("occam", m)
    nats = amounts("occam bits", bits) * np.log(2) - np.log(failure("occam", delta))
    return kl_inverse(losses("occam", error), nats / count)


def occam_hoeffding(error: ArrayLike, m: ArrayLike, bits: ArrayLike, delta: ArrayLike) -> Array:
    """The same in the form that textbooks print: error + sqrt((bits ln 2 + ln(1/delta)) / (2 m)), never below `occam`.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.occam_hoeffding(0.0, 1_437, 5_200, 0.05).round(2))
    1.12

    Args:
        error, m, bits, delta: see `occam`.
    """
    nats = amounts("occam_hoeffding bits", bits) * np.log(2)
    return finite_class(error, m, nats, delta)
