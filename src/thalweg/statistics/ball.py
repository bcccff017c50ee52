"""How far the mean of random arrays is from a given one: both ends, from a ball around the mean."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.statistics.bootstrap import counts
from thalweg.statistics.estimate import Interval
from thalweg.statistics.samples import check_draws, numbers
from thalweg.statistics.student_t import LEVEL, factor, reach

RESAMPLES = 999  # of which 95 % are below the 950th
Array = NDArray[np.float64]


@in_words
def distance_of_mean(
    samples: Sequence[ArrayLike],
    reference: ArrayLike,
    *,
    weights: Sequence[float] = (1.0,),
    reference_error: float = 0.0,
    size: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """How far the mean of independent arrays is from a reference, relative to its size, with a 95 % interval.

        |M - R| / |R|,    ends (|M - R| -+ r) / |R|,    M = sum over sets k of weights_k mean(samples_k)

    where |.| is the root of the sum of squares and r the radius of a ball around M: 95 % of the means M* of resamples
    lie within it, |M* - M| <= r; of few units it is wider as Student's t is. The lower end is at least 0. The upper
    end shows that two things are as good as equal, which no test does that merely finds no difference; the lower end
    shows that they are not.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> draws = np.random.default_rng(0).normal(1.0, 0.1, (400, 2, 2))
    >>> near = tw.statistics.distance_of_mean([draws], np.ones((2, 2)))
    >>> far = tw.statistics.distance_of_mean([draws], np.full((2, 2), 1.1))
    >>> near.high < 0.02, far.low > 0.05
    (True, True)

    Args:
        samples: sets of arrays, each (units, ...), drawn independently; mostly one set.
        reference: R: (...).
        weights: of the sets' means; (2, -1) for sets of networks of widths 2 m and m takes away what falls as 1/m.
        reference_error: how far the reference may be from what it stands for, such as twice its standard error; it is
            added to the radius.
        size: what distances are divided by; None: |R|.
        resamples: bootstrap draws, at least 39.
        seed: of the draws.

    Raises:
        UsageError: no sets, or not as many weights; shapes that do not fit; a size that is not above 0, or a negative
            error.

    Where a set has one unit, or all of its units agree, there is no interval; what is not finite makes everything NaN.
    Cost: resamples times units times numbers in the reference.

    References: Wellek (2010), Testing Statistical Hypotheses of Equivalence and Noninferiority,
    doi:10.1201/EBK1439808184, for why equality needs a margin.
    """
    right = numbers("distance_of_mean", reference)
    sets = [numbers("distance_of_mean", one) for one in samples]
    size = float(np.linalg.norm(right)) if size is None else float(size)
    _check(sets, right, weights, reference_error)
    check_draws("distance_of_mean", "resamples", resamples)
    if size <= 0:
        msg = "distance_of_mean is relative to a size above 0, by default that of the reference, which is 0 here."
        raise UsageError(msg)
    fewest = min(len(one) for one in sets)
    tables = [one.reshape(len(one), -1) for one in sets]
    if not (np.isfinite(size) and all(np.isfinite(one).all() for one in tables)):
        return Interval(math.nan, math.nan, math.nan, fewest, "distance of arrays that are not all finite")
    mean = sum(weight * one.mean(0) for weight, one in zip(weights, tables, strict=True))
    away = float(np.linalg.norm(mean - right.ravel()))
    if any(len(one) < 2 or (one == one[0]).all() for one in tables):
        return Interval(away / size, math.nan, math.nan, fewest, "distance of arrays that all agree, or of one")
    moved = np.zeros((resamples, right.size))
    for number, (weight, one) in enumerate(zip(weights, tables, strict=True)):
        units = len(one)
        scale = weight * reach(units) / float(factor(math.inf)) * math.sqrt(units / (units - 1)) / units
        moved += scale * counts(units, resamples, seed + number) @ (one - one.mean(0))
    radius = float(np.sort(np.linalg.norm(moved, axis=1))[math.ceil(LEVEL * (resamples + 1)) - 1]) + reference_error
    ends = max(0.0, away - radius), away + radius
    method = f"distance of a mean, within a ball by {resamples} resamples"
    return Interval(away / size, ends[0] / size, ends[1] / size, fewest, method)


def _check(sets: Sequence[Array], reference: Array, weights: Sequence[float], reference_error: float) -> None:
    if not sets or len(sets) != len(weights):
        msg = f"distance_of_mean needs a weight for each of at least one set; got {len(weights)} for {len(sets)}."
        raise UsageError(msg)
    for one in sets:
        if one.ndim == 0 or len(one) == 0 or one.shape[1:] != reference.shape:
            msg = (
                f"distance_of_mean needs sets of shape (units, *{reference.shape}), as its reference; got {one.shape}."
            )
            raise UsageError(msg)
    if not reference_error >= 0:
        msg = f"distance_of_mean needs a reference_error of at least 0; got {reference_error}."
        raise UsageError(msg)
