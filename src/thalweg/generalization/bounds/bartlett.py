"""The bound by spectral norms and by how far weights are from a reference."""

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError
from thalweg.generalization.bounds.arguments import Array, amounts, failure, inverse, losses, product, sample


def spectral_complexity(spectral: ArrayLike, away: ArrayLike) -> Array:
    """prod_l s_l (sum_l (b_l / s_l)^(2/3))^(3/2): (..., layers) each to (...).

    s_l are spectral norms, and b_l how far each layer is from its reference, in the norm |.|_(2,1): the sum over units
    of the length of what is read by each.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.spectral_complexity([2.0, 3.0], [2.0, 3.0]).round(3))  # 6 x 2^(3/2)
    16.971

    Args:
        spectral: s_l times the Lipschitz constant of the activation behind the layer: (..., layers).
        away: b_l: (..., layers).

    Raises:
        UsageError: a norm below 0.

    References:
        Bartlett, Foster & Telgarsky (2017), arXiv:1706.08498, equation (1.2).
    """
    s, b = np.broadcast_arrays(
        amounts("spectral_complexity spectral", spectral), amounts("spectral_complexity away", away)
    )
    if s.ndim == 0 or s.shape[-1] == 0:
        msg = f"spectral_complexity takes norms of every layer, (..., layers), at least one; got shape {s.shape}."
        raise UsageError(msg)
    # A layer of norm 0 leaves one function, which is 0 everywhere, however far its weights are from the reference.
    some = (s > 0).all(-1)
    finite = np.isfinite(s).all(-1) & np.isfinite(b).all(-1)
    with np.errstate(over="ignore", divide="ignore"):
        # By logarithms, as a product of large numbers and one of small ones may be a number where neither is.
        log_s = np.log(np.where((s > 0) & np.isfinite(s), s, 1.0))
        parts = 2 / 3 * (np.log(np.where(np.isfinite(b), b, 1.0)) - log_s)
        top = parts.max(-1, keepdims=True)
        top = np.where(np.isfinite(top), top, 0.0)
        size = np.exp(log_s.sum(-1) + 1.5 * (top[..., 0] + np.log(np.exp(parts - top).sum(-1))))
    return np.where(finite, np.where(some, size, 0.0), np.inf)


def bartlett(
    error: ArrayLike,
    m: ArrayLike,
    complexity: ArrayLike,
    inputs: ArrayLike,
    width: ArrayLike,
    delta: ArrayLike,
    *,
    margin: ArrayLike,
) -> Array:
    """The risk of any network of a spectral complexity, by answers with a margin, with the constants of the proof.

        risk <= error + 8 / m^(3/2) + 72 ln(2W) ln(m) |X|_F R / (margin m) + 3 sqrt(ln(2/delta) / (2 m))

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.bartlett(0.0, 1_000, 10.0, 100.0, 64, 0.05, margin=1.0).round(0))
    2413.0

    Args:
        error: the share of answers whose margin is below `margin`: in [0, 1].
        m: independent examples, at least 2.
        complexity: R of `spectral_complexity`, by norms fixed before the data; `rounded_up` says the price of others.
        inputs: |X|_F, the root of the summed squares of all inputs.
        width: W, of the widest layer, inputs and outputs included.
        delta: the probability with which it may fail.
        margin: fixed before the data; `rounded_down` says the price of others.

    Raises:
        UsageError: losses outside [0, 1], delta outside (0, 1), too few examples, or sizes that cannot be.

    References:
        Bartlett, Foster & Telgarsky (2017), arXiv:1706.08498: theorem 3.3 for the cover, lemma A.5 for its integral.
    """
    mean = losses("bartlett", error)
    count = sample("bartlett", m, 2, "its integral over radii begins at 1/m")
    at = amounts("bartlett margin", margin, above=True)
    widest = amounts("bartlett width", width, above=True)
    wide = np.maximum(np.log(2 * widest), np.sqrt(np.log(2 * np.maximum(widest, 1) ** 2)))  # the latter below 3
    size = product(amounts("bartlett complexity", complexity), amounts("bartlett inputs", inputs))
    term = 8 / count**1.5 + product(72 * wide * np.log(count), size, inverse(at)) / count
    return mean + term + 3 * np.sqrt((np.log(2) - np.log(failure("bartlett", delta))) / (2 * count))


def bartlett_generous(
    error: ArrayLike, m: ArrayLike, complexity: ArrayLike, inputs: ArrayLike, *, margin: ArrayLike
) -> Array:
    """What is left of it without constants and logarithms: error + |X|_F R / (margin m).

    It is no bound, and smaller than the bound: where it is vacuous, so is that. Most generously R is taken of distances
    from the initialization, in Frobenius norms, which are the smallest.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.bartlett_generous(0.0, 1_000, 10.0, 100.0, margin=1.0))
    1.0

    Args:
        error, m, complexity, inputs, margin: see `bartlett`.
    """
    mean, count = losses("bartlett_generous", error), sample("bartlett_generous", m)
    at = amounts("bartlett_generous margin", margin, above=True)
    size = product(amounts("bartlett_generous complexity", complexity), amounts("bartlett_generous inputs", inputs))
    return mean + product(size, inverse(at)) / count
