"""The schedule of the first transformer, by its peak and as published."""

from dataclasses import dataclass

import numpy as np

from thalweg.schedules.schedule import TINY, Number, Schedule, Swept, check_numbers


@dataclass(frozen=True)
class InverseSquareRoot(Schedule):
    """s(t) = min(t / warmup, sqrt(warmup / t)), with peak 1 at t = warmup; goes on falling beyond T.

    The schedule of Vaswani et al. (2017, arXiv:1706.03762), normalized to its peak.
    """

    warmup: Swept = 1

    def __post_init__(self) -> None:
        check_numbers(1, warmup=self.warmup)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return np.minimum(step / np.asarray(self.warmup), np.sqrt(np.asarray(self.warmup) / np.maximum(step, TINY)))
