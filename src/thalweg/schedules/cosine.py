"""Cosine annealing, by each convention in use."""

from dataclasses import dataclass

import numpy as np

from thalweg.errors import check_choice
from thalweg.schedules.schedule import TINY, Number, Schedule, Swept, check_numbers, check_warmup, warmup_factor

PROGRESSES = ("after_warmup", "global", "global_jump")
ENDS = ("hold", "periodic")


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 to `final` (Loshchilov & Hutter, 2017, arXiv:1608.03983, without restarts).

    s(t) = warmup(t) (final + (1 - final) (1 + cos(pi p)) / 2), with warmup(t) = min(1, start + (1 - start) t / warmup)
    and one of three progresses p:

    - "after_warmup": (t - warmup)/(T - warmup), 0 during the warmup (optax, transformers);
    - "global": t/T throughout, so that the cosine has already fallen when the warmup hands over;
    - "global_jump": t/T, and the warmup alone before it: the rate rises to its peak and then drops by
      (1 - cos(pi warmup/T)) / 2 at once (the lecture, timm by default).

    Beyond T it holds `final`, or with after_end = "periodic" the cosine goes on and rises again, as torch's
    CosineAnnealingLR(T_max, eta_min), which Cosine(final=f, after_end="periodic").from_zero() equals.

    >>> import thalweg as tw
    >>> s = tw.schedules.Cosine(warmup=2)
    >>> [round(float(s(t, 6)), 4) for t in range(1, 7)]
    [0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0]
    """

    warmup: Swept = 0
    final: Swept = 0.0
    progress: str = "after_warmup"
    after_end: str = "hold"
    start: Swept = 0.0

    def __post_init__(self) -> None:
        check_choice("Cosine progress", self.progress, PROGRESSES)
        check_choice("Cosine after_end", self.after_end, ENDS)
        check_numbers(0, final=self.final, start=self.start)
        check_warmup(warmup=self.warmup)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        origin = self.warmup if self.progress == "after_warmup" else 0
        progress = np.maximum((step - origin) / np.maximum(steps - origin, TINY), 0)
        progress = np.minimum(progress, 1) if self.after_end == "hold" else progress
        ramp = warmup_factor(step, self.warmup, self.start)
        curve = self.final + (1 - self.final) * 0.5 * (1 + np.cos(np.pi * progress))
        return np.where(step < np.asarray(self.warmup), ramp, curve) if self.progress == "global_jump" else ramp * curve
