"""The components of noise, from the products of errors of any two fits.

Every sum of squares is a sum of such products over blocks of judges and occasions, so that once

    products[f, g] = mean over cases of e_f . e_g,    of_means[f, g] = (mean over cases of e_f) . (that of e_g)

are known (summed over outputs), components cost nothing more, nor do those without a judge, or with labels shuffled.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NESTED, CROSSED = "nested", "crossed"
DESIGNS = (NESTED, CROSSED)
COMPONENTS = ("bias^2", "level", "stable pattern", "occasion level", "occasion pattern")


@dataclass(frozen=True, eq=False)
class Grams:
    """Products of the errors of fits (judges, occasions), flattened with occasions fastest.

    Args:
        products, of_means: see above: (fits, fits).
        judges, occasions, cases: how many there are.
    """

    products: Array
    of_means: Array
    judges: int
    occasions: int
    cases: int

    @classmethod
    def of(cls, errors: Array) -> "Grams":
        """Of errors (judges, occasions, cases, outputs)."""
        judges, occasions, cases, outputs = errors.shape
        flat = errors.reshape(judges * occasions, cases * outputs)
        means = errors.mean(2).reshape(judges * occasions, outputs)
        return cls(flat @ flat.T / cases, means @ means.T, judges, occasions, cases)

    def chosen(self, judges: NDArray[np.int64] | slice, occasions: NDArray[np.int64] | slice) -> "Grams":
        """Those of some judges and occasions."""
        table = np.arange(self.judges * self.occasions).reshape(self.judges, self.occasions)[judges][:, occasions]
        products, of_means = self._at(table.ravel())
        return Grams(products, of_means, table.shape[0], table.shape[1], self.cases)

    def shuffled(self, order: NDArray[np.int64]) -> "Grams":
        """The same with fits in another order, so that judges and occasions mean nothing."""
        products, of_means = self._at(order)
        return Grams(products, of_means, self.judges, self.occasions, self.cases)

    def _at(self, fits: NDArray[np.int64]) -> tuple[Array, Array]:
        at = np.ix_(fits, fits)
        return self.products[at], self.of_means[at]


def components(grams: Grams, design: str) -> dict[str, float]:
    """The unbiased components (see `audit_predictions`), and "mse"; they sum to it."""
    j, r, i = grams.judges, grams.occasions, grams.cases
    (one, by_judge, by_occasion, every), (m_one, m_judge, m_occasion, m_every) = (
        _means(table, j, r) for table in (grams.products, grams.of_means)
    )
    # Mean squares, each by its degrees of freedom; n is the number of errors.
    n = i * j * r
    ms_j = n * (m_judge - m_every) / (j - 1)
    ms_cj = n * ((by_judge - every) - (m_judge - m_every)) / ((i - 1) * (j - 1))
    if design == NESTED:
        ms_s = n * (m_one - m_judge) / (j * (r - 1))
        ms_cs = n * ((one - by_judge) - (m_one - m_judge)) / ((i - 1) * j * (r - 1))
        common, common_pattern, own_level, own_pattern = 0.0, 0.0, (ms_s - ms_cs) / i, ms_cs
        level, stable = (ms_j - ms_cj - ms_s + ms_cs) / (i * r), (ms_cj - ms_cs) / r
    else:
        m_rest, rest = m_one - m_judge - m_occasion + m_every, one - by_judge - by_occasion + every
        ms_r = n * (m_occasion - m_every) / (r - 1)
        ms_jr = n * m_rest / ((j - 1) * (r - 1))
        ms_cr = n * ((by_occasion - every) - (m_occasion - m_every)) / ((i - 1) * (r - 1))
        ms_e = n * (rest - m_rest) / ((i - 1) * (j - 1) * (r - 1))
        common, common_pattern = (ms_r - ms_cr - ms_jr + ms_e) / (i * j), (ms_cr - ms_e) / j
        own_level, own_pattern = (ms_jr - ms_e) / i, ms_e
        level, stable = (ms_j - ms_cj - ms_jr + ms_e) / (i * r), (ms_cj - ms_e) / r
    # |mean error|^2 of a case has in it what is left of the noise in a mean over all fits.
    left = (level + stable) / j + (common + common_pattern) / r + (own_level + own_pattern) / (j * r)
    parts = (every - left, level, stable, common + own_level, common_pattern + own_pattern)
    return dict(zip(COMPONENTS, parts, strict=True)) | {"shared": common + common_pattern, "mse": one}


def left_over(parts: Mapping[str, float], judges: int, occasions: int) -> float:
    """The mean squared error of means of that many new judges on that many occasions each.

    Of components of some judges, and no more judges and occasions than they have, it is the mean error of all ensembles
    that can be made of their fits.
    """
    own = parts["occasion level"] + parts["occasion pattern"] - parts["shared"]
    judged = (parts["level"] + parts["stable pattern"]) / judges
    return parts["bias^2"] + judged + parts["shared"] / occasions + own / (judges * occasions)


def _means(table: Array, judges: int, occasions: int) -> tuple[float, float, float, float]:
    """Mean squares of errors: of single fits, of means over occasions, over judges, and over both."""
    blocks = table.reshape(judges, occasions, judges, occasions)
    by_judge = np.einsum("arbs->ab", blocks).diagonal().mean() / occasions**2
    by_occasion = np.einsum("arbs->rs", blocks).diagonal().mean() / judges**2
    return float(table.diagonal().mean()), float(by_judge), float(by_occasion), float(table.mean())
