"""PAC-Bayes: bounds of the mean risk of networks drawn from a posterior, by how far that is from a prior.

All are about the Gibbs predictor, which draws new weights for every answer, and hold for all posteriors at once: the
posterior may be chosen by the data in any way, the prior may not see them.
"""

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError
from thalweg.generalization.bounds.arguments import Array, amounts, counts, failure, losses, numbers, product, sample
from thalweg.generalization.bounds.kl_inverse import kl_inverse

_LEAST = 8
_WHY = "below 8 the constant 2 sqrt(m) of Maurer's inequality does not hold"


def gaussian_kl(mean: ArrayLike, std: ArrayLike, prior_mean: ArrayLike, prior_std: ArrayLike) -> Array:
    """KL(N(mean, std^2) || N(prior_mean, prior_std^2)) of independent Gaussians, in nats: (..., parameters) to (...).

        sum_i ln(t_i / s_i) + (s_i^2 + (mu_i - nu_i)^2) / (2 t_i^2) - 1/2

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.gaussian_kl([1.0, 2.0], 0.5, [0.0, 0.0], 0.5))  # |mu - nu|^2 / (2 sigma^2)
    10.0

    Args:
        mean, std: of the posterior; std is a standard deviation, not a variance.
        prior_mean, prior_std: of the prior.

    Returns:
        infinite where a mean or a standard deviation is no finite number, as of training that diverged.

    Raises:
        UsageError: a standard deviation that is not above 0.
    """
    mu, nu = numbers("gaussian_kl mean", mean), numbers("gaussian_kl prior_mean", prior_mean)
    s, t = _deviations("gaussian_kl std", std), _deviations("gaussian_kl prior_std", prior_std)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        rest = np.square(s / t) - 1
        # x - 1 - ln x with x = (s / t)^2 keeps its digits where the two agree.
        near = np.abs(rest) < 0.5
        logs = np.where(near, np.log1p(np.where(near, rest, 0.0)), 2 * (np.log(s) - np.log(t)))
        total = (0.5 * (rest - logs + np.square((mu - nu) / t))).sum(-1)
    return np.where(np.isnan(total), np.inf, np.maximum(total, 0.0))


def pac_bayes_kl(error: ArrayLike, kl: ArrayLike, m: ArrayLike, delta: ArrayLike) -> Array:
    """The tightest of the classical forms: kl(error || risk) <= (KL + ln(2 sqrt(m)/delta)) / m.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.pac_bayes_kl(0.028, 5_144, 55_000, 0.025).round(4))  # Dziugaite & Roy's T-600
    0.1607

    Args:
        error: the mean loss of the Gibbs predictor on m examples, in [0, 1]; from draws, see `monte_carlo`.
        kl: KL(posterior || prior), in nats.
        m: independent examples that the prior did not see, at least 8.
        delta: the probability with which it may fail.

    Raises:
        UsageError: losses outside [0, 1], delta outside (0, 1), fewer than 8 examples, a divergence below 0.

    References:
        Langford & Seeger (2001); Maurer (2004), arXiv:cs/0411099.
    """
    mean, count, nats = _checked("pac_bayes_kl", error, kl, m, delta)
    return kl_inverse(mean, nats / count)


def mcallester(error: ArrayLike, kl: ArrayLike, m: ArrayLike, delta: ArrayLike) -> Array:
    """McAllester's form, never below `pac_bayes_kl`: error + sqrt((KL + ln(2 sqrt(m)/delta)) / (2 m)).

    >>> import thalweg as tw
    >>> tw.generalization.bounds.mcallester(0.03, [5, 20], 719, 0.05).round(3).tolist()
    [0.121, 0.167]

    Args:
        error, kl, m, delta: see `pac_bayes_kl`, also for what is raised.

    References:
        McAllester (1999), doi:10.1145/307400.307435; Maurer (2004), arXiv:cs/0411099.
    """
    mean, count, nats = _checked("mcallester", error, kl, m, delta)
    return mean + np.sqrt(nats / (2 * count))


def pac_bayes_quadratic(error: ArrayLike, kl: ArrayLike, m: ArrayLike, delta: ArrayLike) -> Array:
    """The quadratic form, differentiable and close to `pac_bayes_kl` where the error is small; it is trained on.

        (sqrt(error + c) + sqrt(c))^2,    c = (KL + ln(2 sqrt(m)/delta)) / (2 m)

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.pac_bayes_quadratic(0.03, 5, 719, 0.05).round(3))
    0.082

    Args:
        error, kl, m, delta: see `pac_bayes_kl`, also for what is raised.

    References:
        Perez-Ortiz et al. (2021), JMLR 22 (227), arXiv:2007.12911, theorem 1.
    """
    mean, count, nats = _checked("pac_bayes_quadratic", error, kl, m, delta)
    c = nats / (2 * count)
    root = np.sqrt(mean + c) + np.sqrt(c)
    return product(root, root)


def pac_bayes_lambda(
    error: ArrayLike, kl: ArrayLike, m: ArrayLike, delta: ArrayLike, *, trade_off: ArrayLike | None = None
) -> Array:
    """The form with a trade-off, which holds for all of them at once.

        error / (1 - t/2) + (KL + ln(2 sqrt(m)/delta)) / (m t (1 - t/2)),    0 < t < 2

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.pac_bayes_lambda(0.03, 5, 719, 0.05).round(3))
    0.082

    Args:
        error, kl, m, delta: see `pac_bayes_kl`.
        trade_off: t; None: the best, 2 / (1 + sqrt(1 + 2 m error / (KL + ln(2 sqrt(m)/delta)))).

    Raises:
        UsageError: those of `pac_bayes_kl`, and a trade-off outside (0, 2).

    References:
        Thiemann, Igel, Wintenberger & Seldin (2017), arXiv:1608.05610.
    """
    mean, count, nats = _checked("pac_bayes_lambda", error, kl, m, delta)
    if trade_off is None:
        t = 2 / (1 + np.sqrt(1 + 2 * count * mean / nats))
    else:
        t = amounts("pac_bayes_lambda trade_off", trade_off, above=True)
        if not (t < 2).all():
            msg = f"pac_bayes_lambda trade_off must be between 0 and 2; got {trade_off}."
            raise UsageError(msg)
    with np.errstate(over="ignore"):
        return (mean + nats / (count * t)) / (1 - t / 2)


def monte_carlo(error: ArrayLike, draws: ArrayLike, delta: ArrayLike) -> Array:
    """The mean loss of the Gibbs predictor on the examples, at most, by M draws: kl_inverse(mean, ln(2/delta) / M).

    It may fail with probability delta of its own, to be added to the bound's, whose confidence is 1 - delta - delta'.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.monte_carlo(0.03, 1_000, 0.01).round(4))
    0.051

    Args:
        error: mean over the draws of the mean loss on all examples, in [0, 1].
        draws: M, of weights from the posterior, independent of each other and of all that chose it.
        delta: the probability with which it may fail.

    Raises:
        UsageError: losses outside [0, 1], delta outside (0, 1), no draw.

    References:
        Langford & Caruana (2001), NeurIPS 14; Dziugaite & Roy (2017), arXiv:1703.11008, section 3.3.
    """
    distance = (np.log(2) - np.log(failure("monte_carlo", delta))) / counts("monte_carlo draws", draws)
    return kl_inverse(losses("monte_carlo", error), distance)


def _checked(name: str, error: ArrayLike, kl: ArrayLike, m: ArrayLike, delta: ArrayLike) -> tuple[Array, Array, Array]:
    """The mean loss, the examples, and KL + ln(2 sqrt(m)/delta)."""
    mean, count = losses(name, error), enough(name, m)
    return mean, count, amounts(f"{name} kl", kl) + np.log(2 * np.sqrt(count)) - np.log(failure(name, delta))


def enough(name: str, m: ArrayLike) -> Array:
    """The number of examples, where these bounds are stated for so many.

    >>> from thalweg.generalization.bounds.pac_bayes import enough
    >>> float(enough("half_prior", 8))
    8.0

    Raises:
        UsageError: fewer than 8.
    """
    return sample(name, m, _LEAST, _WHY)


def _deviations(what: str, value: ArrayLike) -> Array:
    """Standard deviations above 0; what is no number is infinite."""
    found = numbers(what, value)
    return amounts(what, np.where(np.isnan(found), np.inf, found), above=True)
