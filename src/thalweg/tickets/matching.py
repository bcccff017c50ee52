"""When a sparse network matches the dense one: a difference over paired seeds, and a margin."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError
from thalweg.population import Problem
from thalweg.statistics import Interval, interval

MARGIN = 0.005  # half a point of accuracy
SAME = "the same outcome for every seed"
METRICS = ("test_accuracy", "test_loss", "train_accuracy", "train_loss")  # the first that there is compares networks


def gains(first: ArrayLike, second: ArrayLike, metric: str) -> NDArray[np.float64]:
    """By how much the first is better, seed by seed: more accurate, or of less loss: (seeds,)."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return b - a if metric.endswith("loss") else a - b


def mean_gain(gain: NDArray[np.float64]) -> Interval:
    """The mean over paired seeds; [0, 0] where every one of several seeds has the very same outcome.

    Differences that all agree say nothing of how much they vary, and have no interval; where they are all exactly 0,
    as those of a mask that removes nothing, there is no difference.
    """
    if len(gain) > 1 and bool((gain == 0).all()):
        return Interval(0.0, 0.0, 0.0, len(gain), SAME)
    return interval.difference(gain, np.zeros_like(gain))


def matches(better: Interval, margin: float) -> bool:
    """Whether what is so much better is not worse by more than the margin, at 95 %."""
    return bool(better.low > -margin)


def margin_of(what: str, margin: float | None, metric: str) -> float:
    """The margin that is given, or that of accuracies.

    Raises:
        UsageError: none is given for a metric that is no accuracy, whose unit nothing is known of.
    """
    if margin is not None:
        return float(margin)
    if metric.endswith("accuracy"):
        return MARGIN
    msg = f"{what} compares {metric!r} and needs a margin in its unit, such as margin=0.01; only accuracies have one."
    raise UsageError(msg)


def usual_metric(problem: Problem) -> str:
    """What networks are compared by if nothing is said: accuracy on test examples, or what comes nearest."""
    names = {"loss", *(one.name for one in problem.metrics)}
    known = {
        f"{part}_{name}" for part in ("train", *(() if problem.data.test is None else ("test",))) for name in names
    }
    return next(name for name in METRICS if name in known)
