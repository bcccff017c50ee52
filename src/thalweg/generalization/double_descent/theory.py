"""What least squares does to Gaussian inputs, in closed form: at finite sizes, and where sizes grow in proportion.

In all of it n examples have inputs x ~ N(0, I), y = x . beta + sigma e with e ~ N(0, 1), and the excess risk is the
expectation of (x . (beta - estimate))^2 over training set and test input; the risk has sigma^2 more.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.guard import guarded

Array = NDArray[np.float64]


@in_words
def isotropic_risk(n: ArrayLike, p: ArrayLike, *, signal: float = 1.0, noise: float = 1.0) -> Array:
    """The excess risk of the minimum-norm solution with n examples of p inputs, exact at every n and p.

        p <= n - 2      sigma^2 p / (n - p - 1)
        p >= n + 2      |beta|^2 (1 - n/p) + sigma^2 n / (p - n - 1)
        between         infinite with noise; without, 0 where p <= n and the first term beyond

    Its distribution has no variance where |n - p| is 2 or 3: compare simulations where it is 4 or more, and medians
    nearer.

    >>> from thalweg.generalization.double_descent import isotropic_risk
    >>> isotropic_risk(100, [50, 100, 200], signal=5.0, noise=1.0).round(3).tolist()
    [1.02, inf, 13.51]

    Args:
        n, p: examples and inputs, whole numbers of at least 1 and 0, that broadcast.
        signal: |beta|, a length (not its square).
        noise: sigma, a standard deviation.

    Raises:
        UsageError: numbers that cannot be meant.

    References:
        Breiman & Freedman (1983); Belkin, Hsu & Xu (2019), arXiv:1903.07571; Hastie et al. (2019), arXiv:1903.08560.
    """
    n, p = _counts(n, p)
    _not_negative(signal=signal, noise=noise)
    spread = noise**2 * _inverse_trace(n, p) if noise else np.zeros(np.broadcast(n, p).shape)
    return signal**2 * _unseen(n, p) + spread


@in_words
def isotropic_norm(n: ArrayLike, p: ArrayLike, *, signal: float = 1.0, noise: float = 1.0) -> Array:
    """The expected squared norm of the minimum-norm solution: what explodes at p = n.

        |beta|^2 min(1, n/p) + sigma^2 m,    m = p / (n - p - 1) or n / (p - n - 1), infinite between

    >>> from thalweg.generalization.double_descent import isotropic_norm
    >>> isotropic_norm(100, [50, 100, 200], signal=5.0, noise=1.0).round(3).tolist()
    [26.02, inf, 13.51]

    Args, raises, references: those of `isotropic_risk`.
    """
    n, p = _counts(n, p)
    _not_negative(signal=signal, noise=noise)
    spread = noise**2 * _inverse_trace(n, p) if noise else np.zeros(np.broadcast(n, p).shape)
    return signal**2 * (1 - _unseen(n, p)) + spread


@in_words
def weak_features_risk(
    n: ArrayLike, p: ArrayLike, inputs: int, *, signal: float = 1.0, noise: float = 0.2, share: ArrayLike | None = None
) -> Array:
    """The risk, sigma^2 included, of the minimum-norm solution on p of the inputs, all others being left out.

        p <= n - 2      (|beta_c|^2 + sigma^2) (1 + p / (n - p - 1))
        p >= n + 2      |beta_T|^2 (1 - n/p) + (|beta_c|^2 + sigma^2) (1 + n / (p - n - 1))

    with beta_T on the inputs that are used and beta_c on those that are not. Every further input explains a little
    more, so the second descent goes below the first: on inputs that are all used it does not.

    >>> from thalweg.generalization.double_descent import weak_features_risk
    >>> weak_features_risk(40, [0, 10, 30, 40, 60, 100], 100).round(3).tolist()
    [1.04, 1.264, 3.207, inf, 1.566, 0.667]

    Args:
        n, p: examples and inputs used, that broadcast.
        inputs: how many there are.
        signal: |beta|, a length.
        noise: sigma, a standard deviation.
        share: |beta_T|^2 / |beta|^2, with the shape of p; None: p / inputs, its mean where inputs are used in random
            order or beta has a random direction.

    Raises:
        UsageError: numbers that cannot be meant, or more inputs used than there are.

    References:
        Belkin, Hsu & Xu (2019), arXiv:1903.07571, theorem 1 and corollary 1.
    """
    n, p = _counts(n, p)
    _not_negative(signal=signal, noise=noise)
    if (p > inputs).any():
        msg = f"weak_features_risk uses p of {inputs} inputs; got p = {p.max():g}."
        raise UsageError(msg)
    used = p / inputs if share is None else np.asarray(share, dtype=np.float64)
    rest = signal**2 * (1 - used) + noise**2
    return signal**2 * used * _unseen(n, p) + rest * (1 + _inverse_trace(n, p))


@guarded
def hastie_limit(ratio: ArrayLike, *, signal: float = 1.0, noise: float = 1.0) -> Array:
    """The excess risk of the minimum-norm solution as p and n grow with p/n = ratio.

        ratio < 1       sigma^2 ratio / (1 - ratio)
        ratio > 1       |beta|^2 (1 - 1/ratio) + sigma^2 / (ratio - 1)

    Where snr = |beta|^2 / sigma^2 is above 1, the least past 1 is sigma^2 (2 sqrt(snr) - 1), at the ratio sqrt(snr) /
    (sqrt(snr) - 1). At a ratio of 1/2 it is sigma^2, which is less: the second descent ends above the first.

    >>> from thalweg.generalization.double_descent import hastie_limit
    >>> hastie_limit([0.5, 1.0, 1.809, 100.0], signal=5**0.5).round(3).tolist()
    [1.0, inf, 3.472, 4.96]

    Args:
        ratio: p/n, above 0: any shape.
        signal: |beta|, a length.
        noise: sigma, a standard deviation.

    Raises:
        UsageError: numbers that cannot be meant.

    References:
        Hastie, Montanari, Rosset & Tibshirani (2019), arXiv:1903.08560, theorem 1.
    """
    ratio = _ratios(ratio)
    _not_negative(signal=signal, noise=noise)
    with np.errstate(divide="ignore"):
        below, above = ratio / (1 - ratio), 1 / (ratio - 1)
    spread = np.where(ratio == 1, np.inf, np.where(ratio < 1, below, above)) if noise else np.zeros(ratio.shape)
    return signal**2 * np.maximum(0, 1 - 1 / ratio) + noise**2 * spread


@in_words
def optimal_penalty(p: ArrayLike, *, signal: float = 1.0, noise: float = 1.0) -> Array:
    """The ridge penalty with the least risk, p sigma^2 / |beta|^2, whatever the number of examples.

    It belongs to |X theta - y|^2 + penalty |theta|^2, and is the best for a beta of random direction.

    >>> from thalweg.generalization.double_descent import optimal_penalty
    >>> float(optimal_penalty(100, signal=1.0, noise=0.5))
    25.0

    Args:
        p: inputs.
        signal: |beta|, a length above 0.
        noise: sigma, a standard deviation.

    Raises:
        UsageError: numbers that cannot be meant.

    References:
        Nakkiran, Venkat, Kakade & Ma (2020), arXiv:2003.01897.
    """
    _not_negative(signal=signal, noise=noise)
    if not signal:
        msg = "optimal_penalty needs a signal above 0: without one the best penalty is infinite."
        raise UsageError(msg)
    return np.asarray(p, dtype=np.float64) * (noise / signal) ** 2


@in_words
def optimal_ridge_limit(ratio: ArrayLike, *, signal: float = 1.0, noise: float = 1.0) -> Array:
    """The excess risk of ridge at the best penalty as p and n grow with p/n = ratio: no peak anywhere.

        sigma^2 ratio m(-L),   m(-L) = (-(1 - ratio + L) + sqrt((1 - ratio + L)^2 + 4 ratio L)) / (2 ratio L),
        L = ratio sigma^2 / |beta|^2

    >>> from thalweg.generalization.double_descent import optimal_ridge_limit
    >>> optimal_ridge_limit([0.5, 1.0, 2.0], signal=5**0.5).round(3).tolist()
    [0.742, 1.791, 3.108]

    Args:
        ratio: p/n, above 0: any shape.
        signal: |beta|, a length above 0.
        noise: sigma, a standard deviation above 0.

    Raises:
        UsageError: numbers that cannot be meant.

    References:
        Dobriban & Wager (2018), arXiv:1507.03003; Hastie et al. (2019), arXiv:1903.08560, section 5.
    """
    ratio = _ratios(ratio)
    _not_negative(signal=signal, noise=noise)
    if not signal or not noise:
        msg = f"optimal_ridge_limit needs signal and noise above 0; got {signal} and {noise}."
        raise UsageError(msg)
    penalty = ratio * (noise / signal) ** 2
    shift = 1 - ratio + penalty
    return noise**2 * (np.sqrt(shift**2 + 4 * ratio * penalty) - shift) / (2 * penalty)


def _unseen(n: Array, p: Array) -> Array:
    """The share of beta that the row space leaves out: 1 - n/p past p = n."""
    with np.errstate(divide="ignore"):
        return np.maximum(0, 1 - np.where(p > 0, n / p, 1))


def _inverse_trace(n: Array, p: Array) -> Array:
    """E tr (X'X)^+ of a standard Gaussian X (n, p)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        below, above = p / (n - p - 1), n / (p - n - 1)
    found = np.where(p < n, below, above)
    return np.where((np.abs(p - n) < 2) & (p > 0), np.inf, found)


def _counts(n: ArrayLike, p: ArrayLike) -> tuple[Array, Array]:
    examples, inputs = np.asarray(n, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if not ((examples >= 1) & (examples % 1 == 0)).all() or not ((inputs >= 0) & (inputs % 1 == 0)).all():
        msg = f"The closed forms take whole numbers, n of at least 1 and p of at least 0; got n = {n}, p = {p}."
        raise UsageError(msg)
    return examples, inputs


def _ratios(ratio: ArrayLike) -> Array:
    found = np.asarray(ratio, dtype=np.float64)
    if not (found > 0).all():
        msg = f"The ratio p/n is above 0; got {ratio}."
        raise UsageError(msg)
    return found


def _not_negative(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 <= number < np.inf:
            msg = f"{name} must be finite and not negative; got {number}."
            raise UsageError(msg)
