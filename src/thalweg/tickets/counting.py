"""How many subnetworks there are."""

import math

from thalweg.arguments import in_words
from thalweg.errors import UsageError


@in_words
def log10_subnetworks(weights: int, kept: int) -> float:
    """log10 of the number of masks that keep so many of the weights: log10 C(n, k), by logarithms of gamma functions.

    It is n H(k / n) log10 2 up to terms of log n, H being the entropy in bits. That there are many says nothing on
    whether one trains well: they share weights, two of a tenth having a hundredth in common.

    >>> import thalweg as tw
    >>> round(tw.tickets.log10_subnetworks(10**6, 10**5), 1)
    141178.9

    Raises:
        UsageError: more kept than there are, or less than none.
    """
    if not 0 <= kept <= weights:
        msg = f"log10_subnetworks keeps from 0 to all {weights} weights; got {kept}."
        raise UsageError(msg)
    logs = math.lgamma(weights + 1) - math.lgamma(kept + 1) - math.lgamma(weights - kept + 1)
    return logs / math.log(10)
