"""A population whose risk is known, on which a bound can be held to its word, on many samples at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError, check_count
from thalweg.generalization.bounds.arguments import Array, amounts, numbers
from thalweg.generalization.bounds.hold_out import hold_out, hold_out_lower
from thalweg.statistics import LEVEL, Interval

_LARGE = 4_000  # examples by which the risk of the Gibbs predictor is told, the same for all samples


@dataclass(frozen=True, eq=False)
class KnownRisk:
    """Two Gaussians and linear rules: y = +-1, x ~ N(y distance e_1, I), of which the risk of every rule is known.

        risk of w = Phi(-distance w_1 / |w|),    of w with noise N(0, sigma^2 I) the mean of Phi(-y w . x / (sigma |x|))

    For trying a bound of one's own: draw 1,000 samples, bound on each, and see how often it is below the risk, by
    `violations`.

    >>> import thalweg as tw
    >>> b = tw.generalization.bounds
    >>> population = b.KnownRisk(100, 60, samples=500)
    >>> w = population.mean_rule()
    >>> print(b.violations(population.error(w), population.risk(w)))  # a training error is no bound
    1 [0.9926, 1]

    Args:
        m: examples of a sample.
        dimensions: of x.
        distance: of either Gaussian from 0.
        samples: how many, independent of one another.
        seed: of their draws.

    Raises:
        UsageError: no example, dimension or sample, or a distance below 0.
    """

    m: int
    dimensions: int
    distance: float = 1.0
    samples: int = 1_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("m", "dimensions", "samples"):
            check_count(f"KnownRisk {name}", getattr(self, name))
        amounts("KnownRisk distance", self.distance)

    @cached_property
    def drawn(self) -> tuple[Array, Array]:
        """The samples: x (samples, m, dimensions) and y (samples, m)."""
        rng = np.random.default_rng(self.seed)
        y = rng.choice([-1.0, 1.0], size=(self.samples, self.m))
        x = rng.normal(size=(self.samples, self.m, self.dimensions))
        x[..., 0] += self.distance * y
        return x, y

    def mean_rule(self, rows: slice = slice(None)) -> Array:
        """The mean of y x over some examples of each sample, which is a rule learned of them: (samples, dimensions)."""
        x, y = self.drawn
        return np.einsum("rn,rnd->rd", y[:, rows], x[:, rows]) / y[:, rows].shape[1]

    def error(self, w: Array, rows: slice = slice(None)) -> Array:
        """The share of wrong answers of the rule of each sample, w (samples, dimensions): (samples,)."""
        return (self._along(w, rows) <= 0).mean(1)

    def risk(self, w: Array) -> Array:
        """Its risk: w (..., dimensions) to (...)."""
        return _phi(-self.distance * w[..., 0] / np.linalg.norm(w, axis=-1))

    def gibbs_error(self, w: Array, sigma: float, rows: slice = slice(None)) -> Array:
        """The mean share of wrong answers of rules drawn from N(w, sigma^2 I), with no draw: (samples,)."""
        x, _ = self.drawn
        return _phi(-self._along(w, rows) / (sigma * np.linalg.norm(x[:, rows], axis=2))).mean(1)

    def drawn_gibbs_error(self, w: Array, sigma: float, draws: int, rows: slice = slice(None)) -> Array:
        """The same by so many draws for each sample, as `monte_carlo` takes it: (samples,).

        Draws are the same at every call, so that candidates differ by w and sigma alone.
        """
        check_count("KnownRisk draws", draws)
        x, y = self.drawn
        noise = np.random.default_rng([self.seed, 3])
        found = np.empty(self.samples)
        for at in range(self.samples):
            rules = w[at] + sigma * noise.normal(size=(draws, self.dimensions))
            found[at] = ((rules @ x[at, rows].T) * y[at, rows] <= 0).mean()
        return found

    def gibbs_risk(self, w: Array, sigma: float) -> Array:
        """The risk of that, told by 4,000 further examples, which are the same for all: (samples,)."""
        x = np.random.default_rng([self.seed, 1]).normal(size=(_LARGE, self.dimensions))
        x[:, 0] += self.distance
        return _phi(-(w @ x.T) / (sigma * np.linalg.norm(x, axis=1))).mean(1)

    def best_of(self, rules: Array) -> tuple[Array, Array]:
        """Of rules that were there before the data, (rules, dimensions), the one that errs least on each sample.

        Returns:
            its error and its risk: (samples,) each.
        """
        x, y = self.drawn
        errors = np.stack([((x @ w) * y <= 0).mean(1) for w in rules], 1)
        return errors.min(1), self.risk(rules)[errors.argmin(1)]

    def _along(self, w: Array, rows: slice) -> Array:
        x, y = self.drawn
        return np.einsum("rnd,rd->rn", x[:, rows], w) * y[:, rows]


def violations(bound: ArrayLike, risk: ArrayLike) -> Interval:
    """In which share of samples a bound was below the risk, with the interval of Clopper and Pearson.

    Of a bound that holds with probability 1 - delta it is at most delta.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> print(tw.generalization.bounds.violations(np.full(1_000, 0.2), np.linspace(0, 0.21, 1_000)))
    0.048 [0.0356, 0.06314]

    Args:
        bound, risk: of each sample: (samples,).

    Raises:
        UsageError: not as many of both, none, or NaN.
    """
    first, second = numbers("violations bound", bound), numbers("violations risk", risk)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        msg = f"violations takes a bound and a risk of each sample; got shapes {first.shape} and {second.shape}."
        raise UsageError(msg)
    if np.isnan(first).any() or np.isnan(second).any():
        msg = "violations takes numbers; a bound or a risk that is NaN neither holds nor fails."
        raise UsageError(msg)
    failed, count, tail = int((first < second).sum()), len(first), (1 - LEVEL) / 2
    low, high = float(hold_out_lower(failed, count, tail)), float(hold_out(failed, count, tail))
    return Interval(failed / count, low, high, count, "share, Clopper & Pearson's interval", proportion=True)


def _phi(z: Array) -> Array:
    from scipy.special import ndtr  # here, for it takes longer to load than all that draws needs

    return ndtr(z)
