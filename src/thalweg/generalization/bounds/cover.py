"""The bound by a cover of the parameters, with the price of rounding them to it."""

import numpy as np
from numpy.typing import ArrayLike

from thalweg.generalization.bounds.arguments import Array, amounts, failure, losses, product, sample

_RADII = np.logspace(-20, 2, 1_101)  # of the balls, in units of the radius of the whole


def cover(
    error: ArrayLike,
    m: ArrayLike,
    parameters: ArrayLike,
    radius: ArrayLike,
    lipschitz: ArrayLike,
    delta: ArrayLike,
) -> Array:
    """The risk of any parameters in a ball, of a loss that is Lipschitz in them.

        risk <= error + min over r of 2 L r + sqrt((p ln(1 + 2B/r) + ln(2/delta)) / (2 m))    with probability 1 - delta

    At most (1 + 2B/r)^p balls of radius r cover the ball of radius B in p dimensions; between the parameters and the
    center of theirs, risk and error each change by at most L r. Small r makes that small, and the cover large.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.cover(0.1, 50_000, 23, 4.0, 20.0, 0.05).round(3))
    0.155

    Args:
        error: the mean of that loss, in [0, 1].
        m: independent examples.
        parameters: p.
        radius: B, fixed before the data; of one chosen by them `rounded_up` says the price.
        lipschitz: L, of the loss in the parameters, anywhere in the ball and for any example.
        delta: the probability with which it may fail.

    Raises:
        UsageError: losses outside [0, 1], delta outside (0, 1), no example, or a size below 0.
    """
    mean, count = losses("cover", error), sample("cover", m)
    p, ball = amounts("cover parameters", parameters), amounts("cover radius", radius)
    slope, log = amounts("cover lipschitz", lipschitz), np.log(2) - np.log(failure("cover", delta))
    mean, count, p, ball, slope, log = (one[..., None] for one in np.broadcast_arrays(mean, count, p, ball, slope, log))
    terms = product(2 * _RADII, slope, ball) + np.sqrt((p * np.log1p(2 / _RADII) + log) / (2 * count))
    return mean[..., 0] + terms.min(-1)
