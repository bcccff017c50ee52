"""The schedule of the first transformer, by its peak and as published."""

from dataclasses import dataclass

import numpy as np

from thalweg.schedules.schedule import TINY, Number, Schedule, Swept, check_numbers


@dataclass(frozen=True)
class InverseSquareRoot(Schedule):
    """s(t) = min(t / warmup, sqrt(warmup / t)), with peak 1 at t = warmup; goes on falling beyond T.

    The schedule of Vaswani et al. (2017, arXiv:1706.03762), normalized to its peak.

    >>> import thalweg as tw
    >>> s = tw.schedules.InverseSquareRoot(warmup=2)
    >>> [round(float(s(t, 6)), 4) for t in range(1, 7)]
    [0.5, 1.0, 0.8165, 0.7071, 0.6325, 0.5774]
    """

    warmup: Swept = 1

    def __post_init__(self) -> None:
        check_numbers(1, warmup=self.warmup)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return np.minimum(step / np.asarray(self.warmup), np.sqrt(np.asarray(self.warmup) / np.maximum(step, TINY)))


@dataclass(frozen=True)
class Noam(Schedule):
    """s(t) = d_model^(-1/2) min(t^(-1/2), t warmup^(-3/2)); goes on falling beyond T.

    As published by Vaswani et al. (2017, arXiv:1706.03762), for a rate of 1: its peak is (d_model warmup)^(-1/2),
    7.0e-4 for 512 and 4000. It is InverseSquareRoot(warmup) times that peak.

    >>> import thalweg as tw
    >>> s = tw.schedules.Noam(d_model=4, warmup=2)
    >>> [round(float(s(t, 6)), 4) for t in range(1, 7)]
    [0.1768, 0.3536, 0.2887, 0.25, 0.2236, 0.2041]
    """

    d_model: Swept
    warmup: Swept = 4000

    def __post_init__(self) -> None:
        check_numbers(1, d_model=self.d_model, warmup=self.warmup)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        falling, rising = np.maximum(step, TINY) ** -0.5, step * np.asarray(self.warmup, dtype=float) ** -1.5
        return np.asarray(self.d_model, dtype=float) ** -0.5 * np.minimum(falling, rising)
