"""How a loss divides: for squared error, and for cross-entropy by Kullback-Leibler divergences; case by case.

Both have the same shape. With fits f_1, ..., f_J of one case, a center of theirs and a divergence D,

    mean_j loss(target, f_j) = noise + D(truth, center) + mean_j D(center, f_j) + cross

and for D(truth, center) to be free of the spread, the center must be the right one: the mean of predictions for squared
error, the mean of LOGITS for cross-entropy. With the mean of probabilities in its place the sum does not come out.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, xlogy

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SquaredForm:
    """D(a, b) = sum over outputs of (a - b)^2, whose center is the mean of the predictions.

    Args:
        predictions: (fits, cases, outputs).
        targets, truth: (cases, outputs).
    """

    predictions: Array
    targets: Array
    truth: Array | None

    def errors(self) -> Array:
        """The loss of every fit: (fits, cases)."""
        return ((self.predictions - self.targets) ** 2).sum(2)

    def divergences(self) -> Array:
        """D(truth, fit), of the targets where the truth is not known: (fits, cases)."""
        return self.errors() if self.truth is None else ((self.predictions - self.truth) ** 2).sum(2)

    def bias(self) -> Array:
        """D(truth, center), of the targets where the truth is not known: (cases,)."""
        return ((self.center() - (self.targets if self.truth is None else self.truth)) ** 2).sum(1)

    def center(self) -> Array:
        """The mean of all fits: (cases, outputs)."""
        return self.predictions.mean(0)

    def spread(self) -> Array:
        """mean_j D(center, f_j): (cases,)."""
        return ((self.predictions - self.center()) ** 2).sum(2).mean(0)

    def spread_without(self, judges: int) -> Array:
        """The same without the fits of one judge each, who has as many as any other: (judges, cases)."""
        by_judge = by_judges(self.predictions, judges)
        means = by_judge.mean(1)
        within = ((by_judge - means[:, None]) ** 2).sum(3).mean(1)
        apart = ((means - self.center()) ** 2).sum(2)
        return (within.sum(0) - within + apart.sum(0) - apart * judges / (judges - 1)) / (judges - 1)

    def noise(self) -> Array:
        """The loss of the truth itself: (cases,)."""
        return ((self.targets - self._truth()) ** 2).sum(1)

    def cross(self) -> Array:
        """-2 sum (target - truth)(center - truth), 0 on average where noise is independent of fits: (cases,)."""
        return -2 * ((self.targets - self._truth()) * (self.center() - self._truth())).sum(1)

    def _truth(self) -> Array:
        assert self.truth is not None
        return self.truth


@dataclass(frozen=True)
class CrossEntropyForm:
    """D(a, b) = KL(a || b) of probabilities, whose center is the softmax of the mean logits.

    Args:
        predictions: log-probabilities: (fits, cases, classes).
        targets, truth: probabilities: (cases, classes).
    """

    predictions: Array
    targets: Array
    truth: Array | None

    def errors(self) -> Array:
        """The cross-entropy of every fit: (fits, cases)."""
        return -(self.targets * self.predictions).sum(2)

    def divergences(self) -> Array:
        """KL(truth || fit), of the targets where the truth is not known: (fits, cases)."""
        of = self.targets if self.truth is None else self.truth
        return xlogy(of, of).sum(1) - (of * self.predictions).sum(2)

    def bias(self) -> Array:
        """KL(truth || center), of the targets where the truth is not known: (cases,)."""
        of = self.targets if self.truth is None else self.truth
        return xlogy(of, of).sum(1) - (of * self.center()).sum(1)

    def center(self) -> Array:
        """The log-probabilities of the center: (cases, classes)."""
        return log_softmax(self.predictions.mean(0), 1)

    def spread(self) -> Array:
        """mean_j KL(center || f_j) = -log sum_k exp(mean_j log f_jk): (cases,)."""
        return -logsumexp(self.predictions.mean(0), axis=1)

    def spread_without(self, judges: int) -> Array:
        """The same without the fits of one judge each, who has as many as any other: (judges, cases)."""
        means = by_judges(self.predictions, judges).mean(1)
        total = means.sum(0)
        return np.stack([-logsumexp((total - one) / (judges - 1), axis=1) for one in means])

    def noise(self) -> Array:
        """-sum target log truth: the cross-entropy of the truth itself: (cases,)."""
        return -xlogy(self.targets, self._truth()).sum(1)

    def cross(self) -> Array:
        """sum (truth - target)(log center - log truth), 0 on average where labels are drawn anew: (cases,)."""
        truth = self._truth()
        apart = truth - self.targets
        return (apart * self.center()).sum(1) - xlogy(apart, truth).sum(1)

    def _truth(self) -> Array:
        assert self.truth is not None
        return self.truth


Form = SquaredForm | CrossEntropyForm


def by_judges(values: Array, judges: int) -> Array:
    """Values of fits (judges x seeds, ...), seeds fastest, as (judges, seeds, ...)."""
    return values.reshape(judges, -1, *values.shape[1:])


def corrected_spread(form: Form, judges: int) -> Array:
    """The spread that infinitely many judges would have, by the jackknife over judges: (cases,)."""
    return judges * form.spread() - (judges - 1) * form.spread_without(judges).mean(0)


def spread_within(form: Form, judges: int) -> Array:
    """The spread of the fits of each judge about their center: (judges, cases)."""
    return np.stack([replace(form, predictions=of).spread() for of in by_judges(form.predictions, judges)])


def within_judges(form: Form, judges: int) -> Array:
    """The spread that infinitely many seeds of each judge would have about their center: (judges, cases)."""
    blocks = by_judges(form.predictions, judges)
    return np.stack([corrected_spread(replace(form, predictions=block), len(block)) for block in blocks])
