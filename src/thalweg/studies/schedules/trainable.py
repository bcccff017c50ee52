"""The largest learning rate at which a network trains, read off a grid of rates."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.statistics import interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Largest:
    """The largest rate that trains.

    Args:
        rate: interpolated between rates of the grid, and its end where the grid does not reach (seeds,).
        beyond: where even the largest rate tried trains (seeds,).
        none: where no rate does (seeds,).
    """

    rate: Array
    beyond: NDArray[np.bool_]
    none: NDArray[np.bool_]

    @property
    def typical(self) -> float:
        """The geometric mean over seeds."""
        return float(np.exp(np.log(self.rate).mean()))


def largest(rates: Array, losses: Array, threshold: float) -> Largest:
    """Where the loss rises above the threshold for the last time, linear in the logarithm of the rate.

    Args:
        rates: ascending (rates,).
        losses: finite (rates, seeds).
        threshold: a run trains if its loss is below.
    """
    trains = losses < threshold
    none, beyond = ~trains.any(0), trains[-1]
    last = np.where(none, 0, len(rates) - 1 - trains[::-1].argmax(0))
    after = np.minimum(last + 1, len(rates) - 1)
    seeds = np.arange(losses.shape[1])
    low, high = losses[last, seeds], losses[after, seeds]
    inside = ~(none | beyond)
    part = np.where(inside, (threshold - low) / np.where(inside, high - low, 1), 0)
    return Largest(rates[last] * (rates[after] / rates[last]) ** part, np.asarray(beyond), np.asarray(none))


def gain(first: Largest, second: Largest) -> interval.Interval:
    """first / second over paired seeds; an end is open where the grid of rates did not reach."""
    found = interval.ratio(first.rate, second.rate)
    least = bool(first.none.any() or second.beyond.any())
    most = bool(first.beyond.any() or second.none.any())
    open_ended = ", open where the grid of rates ends" if least or most else ""
    low, high = 0.0 if least else found.low, math.inf if most else found.high
    return replace(found, low=low, high=high, method=f"{found.method}{open_ended}")


def frequencies_alone(tokens: torch.Tensor) -> float:
    """The loss of a model that knows how frequent each token is and reads nothing: their entropy, in nats."""
    counts = torch.bincount(tokens.flatten()).double()
    share = counts[counts > 0] / counts.sum()
    return float(-(share * share.log()).sum())
