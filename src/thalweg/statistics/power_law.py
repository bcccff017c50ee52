"""By which power of a size a quantity grows or falls."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError


@in_words
def exponents(sizes: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """The exponent p of the best power law, values = c sizes^p, by least squares in logarithms: (sizes, n) to (n,).

    >>> from thalweg.statistics import exponents
    >>> exponents([8, 16, 32], [[1.0, 5.0], [0.25, 10.0], [0.0625, 20.0]]).round(6).tolist()
    [-2.0, 1.0]

    Args:
        sizes: such as widths or batch sizes, above 0 and at least two different ones: (sizes,).
        values: above 0, one column a seed: (sizes, n). What is not finite makes its exponent NaN.

    Raises:
        UsageError: shapes that do not fit, or values that have no logarithm.
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or y.ndim != 2 or len(x) != len(y) or len(set(x.tolist())) < 2:
        msg = f"exponents needs a row of values for each of at least two sizes; got {y.shape} for sizes {x.tolist()}."
        raise UsageError(msg)
    if (x <= 0).any() or (y <= 0).any():
        msg = f"A power law needs sizes and values above 0; the smallest are {x.min():g} and {np.nanmin(y):g}."
        raise UsageError(msg)
    known = np.isfinite(y).all(0)
    slopes = np.polyfit(np.log(x), np.log(np.where(known, y, 1)), 1)[0]
    return np.where(known, slopes, np.nan)
