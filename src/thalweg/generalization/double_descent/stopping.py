"""When to stop: what each of four rules would have kept of a run, and what it scores there."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError
from thalweg.guard import guarded

Array = NDArray[np.float64]
RULES = ("first fit", "short patience", "best on validation", "last")
FIT = 0.01  # the training error that counts as fitted
PATIENCE, FEWEST = 2.0, 4  # times the best step, and evaluations, without a better one


@guarded
def stopped(steps: ArrayLike, train: ArrayLike, validation: ArrayLike) -> Mapping[str, NDArray[np.int64]]:
    """Which evaluation of each run four rules keep, by rule: (runs,) each, to index the steps.

        first fit             the first at which training error is at most 1 %; the last where none is
        short patience        the best on validation until it is step > 2 x best step and 4 evaluations later
        best on validation    the best on validation of the whole run
        last                  the last

    Where several are best the first of them is.

    >>> from thalweg.generalization.double_descent import stopped
    >>> kept = stopped([1, 2, 3, 4, 6, 8, 100], [[0.5, 0.4, 0.3, 0.2, 0.0, 0.0, 0.0]], [[5, 3, 4, 4, 4, 4, 1]])
    >>> {rule: int(places[0]) for rule, places in kept.items()}
    {'first fit': 4, 'short patience': 1, 'best on validation': 6, 'last': 6}

    Args:
        steps: of the evaluations, ascending: (evaluations,).
        train: the share of training examples that are wrong: (runs, evaluations).
        validation: what is watched, less being better, and NaN worst: (runs, evaluations).

    Raises:
        UsageError: shapes that do not fit.
    """
    at, fitted, watched = (np.asarray(values, dtype=np.float64) for values in (steps, train, validation))
    alike = watched.ndim == 2 and watched.shape == fitted.shape and watched.shape[1:] == at.shape
    if at.ndim != 1 or not len(at) or not (np.diff(at) > 0).all() or not alike:
        msg = f"stopped takes ascending steps (evaluations,) and errors (runs, evaluations); got {at.shape}, "
        raise UsageError(msg + f"{fitted.shape} and {watched.shape}.")
    watched = np.where(np.isnan(watched), np.inf, watched)  # of a run that diverged
    last = np.full(len(watched), len(at) - 1)
    met = fitted <= FIT
    first = np.where(met.any(1), met.argmax(1), last)
    patient = np.array([_patient(at, row) for row in watched])
    return dict(zip(RULES, (first, patient, watched.argmin(1), last), strict=True))


def _patient(steps: Array, watched: Array) -> int:
    best = 0
    for place in range(len(steps)):
        if watched[place] < watched[best]:
            best = place
        elif steps[place] > PATIENCE * steps[best] and place - best >= FEWEST:
            break
    return best
