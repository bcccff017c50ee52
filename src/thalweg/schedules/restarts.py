"""Warm restarts: a shape again and again, over longer and longer cycles."""

from dataclasses import dataclass, field

import numpy as np

from thalweg.schedules.cosine import Cosine
from thalweg.schedules.schedule import ROUNDING, Number, Schedule, Swept, check_numbers, check_schedules


@dataclass(frozen=True)
class Restarts(Schedule):
    """SGDR (Loshchilov & Hutter, 2017, arXiv:1608.03983): cycle i lasts T_i = period growth^i steps.

    s(t) = final + (peak^i - final) shape(t - t_i, T_i) for t_i < t <= t_(i+1), where t_i is the sum of the
    cycles before. Cycles go on beyond T.

    Here a cycle ends on its lowest rate. In the paper and in torch it begins on its highest one and the lowest
    is never reached: that is shape = Cosine().from_zero(), which equals torch's CosineAnnealingWarmRestarts.
    A warmup in every cycle is shape = Cosine(warmup=w); one before the first is .warmed_up(w).

    >>> import thalweg as tw
    >>> s = tw.schedules.Restarts(period=2, growth=2)
    >>> [round(float(s(t, 6)), 4) for t in range(1, 7)]
    [0.5, 0.0, 0.8536, 0.5, 0.1464, 0.0]
    """

    period: Swept
    growth: Swept = 1
    peak: Swept = 1.0
    final: Swept = 0.0
    shape: Schedule = field(default_factory=Cosine)

    def __post_init__(self) -> None:
        check_schedules(shape=self.shape)
        check_numbers(1, period=self.period, growth=self.growth)
        check_numbers(0, peak=self.peak, final=self.final)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        cycle = self._cycle(step)
        length = self.period * self.growth**cycle
        value = self.shape(np.minimum(step - self._start(cycle), length), length)
        return self.final + (np.asarray(self.peak) ** cycle - self.final) * value

    def _start(self, cycle: Number) -> Number:
        """t_i = period (growth^i - 1) / (growth - 1), or i period for cycles of one length."""
        excess = np.asarray(self.growth) - 1.0
        each = np.where(excess == 0, cycle, (self.growth**cycle - 1) / np.where(excess == 0, 1, excess))
        return self.period * each

    def _cycle(self, step: Number) -> Number:
        """The i with t_i < t <= t_(i+1): the inverse of `_start`, put right where rounding is off by one.

        A step that rounding alone puts beyond t_(i+1), as a sum of fractional periods, ends the cycle.
        """
        spent = step / np.asarray(self.period)
        excess = np.asarray(self.growth) - 1.0
        grown = np.log1p(spent * excess) / np.log1p(np.where(excess == 0, 1, excess))
        guess = np.maximum(np.ceil(np.where(excess == 0, spent, grown)) - 1, 0)
        guess = guess + (step * (1 - ROUNDING) > self._start(guess + 1))
        return np.maximum(guess - (step * (1 - ROUNDING) <= self._start(guess)), 0)
