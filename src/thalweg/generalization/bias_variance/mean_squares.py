"""Intervals of components of variance: each is a sum and difference of mean squares, whose doubt is a chi-square's.

A mean square of k contrasts, MS = sum |z|^2 / k with z ~ N(0, S), is as uncertain as (tr S / nu) chi^2_nu with the
degrees of freedom nu = k (tr S)^2 / tr S^2 (Satterthwaite). S is the covariance over outputs and cases, unknown, but
tr S^2 is found without bias from products of contrasts alone. The ends of a component c_1 MS_1 + c_2 MS_2 + ... follow
from those of its mean squares, L and U: with negative coefficients these change places,

    low = component - root of sum (c (MS - L))^2,    high = component + root of sum (c (U - MS))^2
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.generalization.bias_variance.grams import NESTED, Grams
from thalweg.statistics import LEVEL

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MeanSquare:
    """A mean square over the contrasts of a stratum, and its effective degrees of freedom.

    Args:
        value: mean of the squares of contrasts of length 1.
        degrees: nu, from the number of contrasts upwards; NaN of a single contrast, which does not tell.
    """

    value: float
    degrees: float

    def ends(self) -> tuple[float, float]:
        """Between which it lies with 95 %, by the chi-square distribution."""
        from scipy import special  # here, for it takes longer to load than all that draws needs

        points = special.chdtri(self.degrees, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])  # upper tails
        low, high = self.value * self.degrees / points
        return float(low), float(high)


def mean_squares(grams: Grams, design: str, outputs: int) -> dict[str, MeanSquare]:
    """Those of judges and of occasions, each of means over cases, "... level", and about them, "... pattern".

    Outputs are how many the products are summed over: a covariance over them, and cases, has no more degrees.
    """
    j, r, i = grams.judges, grams.occasions, grams.cases
    apart, alike = (lambda n: np.eye(n) - 1 / n), (lambda n: np.full((n, n), 1 / n))
    if design == NESTED:
        strata = {"judge": np.kron(apart(j), alike(r)), "own": np.kron(np.eye(j), apart(r))}
    else:
        strata = {
            "judge": np.kron(apart(j), alike(r)),
            "common": np.kron(alike(j), apart(r)),
            "own": np.kron(apart(j), apart(r)),
        }
    tables = {
        "level": (grams.of_means, outputs),
        "pattern": ((grams.products - grams.of_means) * i / (i - 1), outputs * (i - 1)),
    }
    return {
        f"{stratum} {kind}": _mean_square(projector @ table @ projector, round(np.trace(projector)), most)
        for stratum, projector in strata.items()
        for kind, (table, most) in tables.items()
    }


def of_fits(predictions: Array, judges: int) -> dict[str, MeanSquare]:
    """Those "between" and "within" judges of predictions (judges x seeds, cases, outputs): "... level", "... pattern".

    A mean over cases of squares is the sum of both: that of means over cases, and that about them.
    """
    fits, cases, outputs = predictions.shape
    seeds = fits // judges
    by_judge = predictions.reshape(judges, seeds, cases, outputs)
    means = by_judge.mean(1)
    strata = {"between": (math.sqrt(seeds) * (means - means.mean(0)), judges - 1)}
    if seeds > 1:
        strata["within"] = ((by_judge - means[:, None]).reshape(predictions.shape), judges * (seeds - 1))
    found = {}
    for name, (of, contrasts) in strata.items():
        level = of.mean(1)
        pattern = ((of - level[:, None]) / math.sqrt(cases)).reshape(len(of), -1)
        found[f"{name} level"] = _mean_square(_products(level), contrasts, outputs)
        found[f"{name} pattern"] = _mean_square(_products(pattern), contrasts, max(1, cases - 1) * outputs)
    return found


def coefficients(component: str, grams: Grams, design: str) -> dict[str, float]:
    """Of the mean squares, in a component of the noise; bias^2 is none of them."""
    j, r, i = grams.judges, grams.occasions, grams.cases
    common = {"common level": 1 / j, "own level": -1 / j, "common pattern": -1 / (i * j), "own pattern": 1 / (i * j)}
    common_pattern = {"common pattern": 1 / j, "own pattern": -1 / j}
    if design == NESTED:
        common, common_pattern = {}, {}
    # Patterns are divided by cases less 1 in a component's mean over cases: what is left of them in a mean is 1/i.
    of_judges = {"judge level": 1 / r, "own level": -1 / r, "judge pattern": -1 / (i * r), "own pattern": 1 / (i * r)}
    return {
        "level": of_judges,
        "stable pattern": {"judge pattern": 1 / r, "own pattern": -1 / r},
        "occasion level": _sum({"own level": 1.0, "own pattern": -1 / i}, common),
        "occasion pattern": _sum({"own pattern": 1.0}, common_pattern),
    }[component]


def reaches(of: Mapping[str, float], squares: Mapping[str, MeanSquare]) -> tuple[float, float]:
    """How far the ends of a component with these coefficients lie below and above it; not for other cases."""
    below = above = 0.0
    for name, by in of.items():
        low, high = squares[name].ends()
        down, up = by * (squares[name].value - low), by * (high - squares[name].value)
        below += (down if by > 0 else up) ** 2
        above += (up if by > 0 else down) ** 2
    return math.sqrt(below), math.sqrt(above)


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in (*one, *(set(other) - set(one)))}


def _products(deviations: Array) -> Array:
    """Of rows, or of columns where these are fewer: trace and sum of squares are the same."""
    return deviations @ deviations.T if len(deviations) <= deviations.shape[1] else deviations.T @ deviations


def _mean_square(within: Array, contrasts: int, most: int) -> MeanSquare:
    """Of projected products, whose trace is the sum of squares; a contrast has 1 to `most` degrees of freedom."""
    k, value = contrasts, float(np.trace(within)) / contrasts
    if k < 2:
        return MeanSquare(value, math.nan)
    squared = float((within**2).sum()) / k**2
    of_square = k**2 / ((k + 2) * (k - 1)) * (squared - value**2 / k)  # tr S^2 without bias
    of_trace = value**2 - 2 * of_square / k  # (tr S)^2 without bias
    each = of_trace / of_square if of_square > 0 else most
    return MeanSquare(value, k * min(max(1.0, each), most))
