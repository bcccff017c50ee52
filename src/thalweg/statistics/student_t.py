"""What a standard error of few samples is worth: an interval of 95 % is wider than 1.96 of it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["COVERED", "LEVEL", "factor", "reach"]

LEVEL = 0.95
COVERED = 0.93  # what an interval of 95 % over few values covers at least, where docs/coverage.md calls it good


def factor(degrees: ArrayLike, level: float = LEVEL) -> NDArray[np.float64]:
    """How many standard errors to either side hold 95 %, by Student's t; infinite degrees of freedom give 1.96.

    >>> from thalweg.statistics import student_t
    >>> student_t.factor([3, float("inf")]).round(2).tolist()
    [3.18, 1.96]
    """
    from scipy import special  # here, for it takes longer to load than all that draws needs

    return np.asarray(special.stdtrit(np.asarray(degrees, dtype=np.float64), (1 + level) / 2))


def reach(samples: int, level: float = LEVEL) -> float:
    """The same for a mean of this many samples, whose standard error has samples - 1 degrees of freedom.

    >>> from thalweg.statistics import student_t
    >>> round(student_t.reach(4), 2)
    3.18
    """
    return float(factor(samples - 1, level))
