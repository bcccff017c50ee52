"""How far the noise of gradients keeps SGD from the minimum of a quadratic."""

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count
from thalweg.guard import guarded
from thalweg.randomness import generator

Array = NDArray[np.float64]


@guarded
def stationary_variance(
    curvature: float, rate: float, *, noise: float = 1.0, batch_size: int = 1, momentum: float = 0.0
) -> float:
    """The variance of theta in the long run, on curvature theta^2 / 2 with noisy gradients.

    For v <- momentum v - rate (h theta + e), theta <- theta + v, with e of variance C / B:

        Var theta = rate C (1 + mu) / (B h (1 - mu) (2 (1 + mu) - rate h)),
                    rate C / (B h (2 - rate h))    without momentum

    To first order it is rate / B times C / (2 h (1 - mu)): that is why rate / batch size is called the temperature.

    >>> import thalweg as tw
    >>> round(tw.generalization.implicit.stationary_variance(2.0, 0.1, noise=4.0, batch_size=2), 6)
    0.055556

    Args:
        curvature: h, above 0.
        rate: the learning rate, below 2 (1 + mu) / h.
        noise: C, the variance of the gradient of one example.
        batch_size: B, examples drawn with replacement.
        momentum: mu, in [0, 1).

    Raises:
        UsageError: a rate at which it diverges, or numbers that cannot be meant.

    References:
        Mandt, Hoffman & Blei (2017), arXiv:1704.04289, to first order; Liu, Ziyin & Ueda (2021), arXiv:2012.03636, for
        rates that are not small.
    """
    _check(curvature, rate, noise, batch_size, momentum)
    above = rate * noise * (1 + momentum)
    return above / (batch_size * curvature * (1 - momentum) * (2 * (1 + momentum) - rate * curvature))


@in_words
def variance_over_steps(
    steps: int, curvature: float, rate: float, *, noise: float = 1.0, batch_size: int = 1, momentum: float = 0.0
) -> Array:
    """The variance of theta after every step from theta = 0, exactly: (steps + 1,).

    With A and q as theta and v go over in one step, the covariance follows S <- A S A' + C / B q q', of which
    `stationary_variance` is the fixed point (the equation of Lyapunov).

    >>> import thalweg as tw
    >>> found = tw.generalization.implicit.variance_over_steps(500, 2.0, 0.1, noise=4.0, batch_size=2)
    >>> found[0], found[1].round(6), found[-1].round(6)
    (np.float64(0.0), np.float64(0.02), np.float64(0.055556))

    Args:
        steps: how many.
        curvature, rate, noise, batch_size, momentum: see `stationary_variance`, also for what is raised.
    """
    check_count("variance_over_steps steps", steps, least=0)
    _check(curvature, rate, noise, batch_size, momentum)
    over = np.array([[1 - rate * curvature, momentum], [-rate * curvature, momentum]])  # of (theta, v)
    added = rate**2 * noise / batch_size * np.ones((2, 2))
    covariance, found = np.zeros((2, 2)), np.zeros(steps + 1)
    for k in range(steps):
        covariance = over @ covariance @ over.T + added
        found[k + 1] = covariance[0, 0]
    return found


@guarded
def simulated_variance(
    curvature: float,
    rate: float,
    *,
    noise: float = 1.0,
    batch_size: int = 1,
    momentum: float = 0.0,
    steps: int = 2_000,
    chains: int = 1_000,
    seed: int = 0,
) -> float:
    """The mean of theta^2 over the second half of many runs of SGD, with Gaussian noise drawn anew at every step.

    >>> import thalweg as tw
    >>> found = tw.generalization.implicit.simulated_variance(2.0, 0.1, noise=4.0, batch_size=2, steps=500)
    >>> bool(abs(found / 0.055556 - 1) < 0.03)
    True

    Args:
        curvature, rate, noise, batch_size, momentum: see `stationary_variance`, also for what is raised.
        steps: of each chain from 0; the first half is left out.
        chains: how many, at once.
        seed: of the stream of the noise.

    Cost: steps x chains.
    """
    check_count("simulated_variance steps", steps, least=2)
    check_count("simulated_variance chains", chains)
    _check(curvature, rate, noise, batch_size, momentum)
    draw = generator(seed, "stationary variance")
    scale = rate * (noise / batch_size) ** 0.5
    theta, v = torch.zeros(2, chains, dtype=torch.float64)
    total, counted = 0.0, 0
    for k in range(steps):
        kick = torch.randn(chains, generator=draw, dtype=torch.float64) * scale
        v = momentum * v - rate * curvature * theta - kick
        theta = theta + v
        if k >= steps // 2:
            total += float((theta**2).mean())
            counted += 1
    return total / counted


def _check(curvature: float, rate: float, noise: float, batch_size: int, momentum: float) -> None:
    check_count("batch_size", batch_size)
    if not (0 < curvature < np.inf and 0 < rate < np.inf and 0 <= noise < np.inf and 0 <= momentum < 1):
        msg = "A stationary variance needs curvature and rate above 0, noise of at least 0 and momentum in [0, 1); "
        raise UsageError(msg + f"got {curvature}, {rate}, {noise} and {momentum}.")
    most = 2 * (1 + momentum) / curvature
    if rate >= most:
        msg = f"At rate {rate:g} theta diverges and has no stationary variance; it needs a rate below {most:.3g}."
        raise UsageError(msg)
