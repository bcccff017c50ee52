"""Warmup, a long plateau and a short cooldown."""

from dataclasses import dataclass

import numpy as np

from thalweg.errors import check_choice
from thalweg.schedules.schedule import TINY, Number, Schedule, Swept, check_numbers, check_warmup, warmup_factor

COOLDOWNS = ("linear", "one_minus_sqrt", "cosine", "exponential")


@dataclass(frozen=True)
class WSD(Schedule):
    """s(t) = w(t) c(q): a plateau at 1, then a cooldown with q = (t - begin)/decay in [0, 1].

    w(t) = min(1, start + (1 - start) t / warmup) rises to the plateau.

    (Hu et al., 2024, arXiv:2404.06395; cooldowns compared by Haegele et al., 2024, arXiv:2405.18392.)
    It begins to cool `decay` steps before the end, or after warmup + stable steps where `stable` is given: the
    plateau then does not depend on T, so that cooldowns of different length leave one and the same run. c is

    - "linear": final + (1 - final) (1 - q);
    - "one_minus_sqrt": final + (1 - final) (1 - sqrt(q));
    - "cosine": final + (1 - final) (1 + cos(pi q)) / 2;
    - "exponential": final^q, for a `final` above 0.

    After the cooldown, and beyond T, it holds `final`.

    >>> import thalweg as tw
    >>> s = tw.schedules.WSD(decay=2, warmup=2)
    >>> [round(float(s(t, 6)), 4) for t in range(1, 7)]
    [0.5, 1.0, 1.0, 1.0, 0.5, 0.0]
    """

    decay: Swept
    warmup: Swept = 0
    stable: Swept | None = None
    final: Swept = 0.0
    cooldown: str = "linear"
    start: Swept = 0.0

    def __post_init__(self) -> None:
        check_choice("WSD cooldown", self.cooldown, COOLDOWNS)
        check_numbers(0, decay=self.decay, start=self.start)
        check_warmup(warmup=self.warmup)
        check_numbers(TINY if self.cooldown == "exponential" else 0, final=self.final)
        if self.stable is not None:
            check_numbers(0, stable=self.stable)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        begin = steps - self.decay if self.stable is None else self.warmup + self.stable
        q = np.clip((step - begin) / np.maximum(self.decay, TINY), 0, 1)
        ramp = warmup_factor(step, self.warmup, self.start)
        if self.cooldown == "exponential":
            return ramp * np.asarray(self.final) ** q
        left = {"linear": 1 - q, "one_minus_sqrt": 1 - np.sqrt(q), "cosine": 0.5 * (1 + np.cos(np.pi * q))}
        return ramp * (self.final + (1 - self.final) * left[self.cooldown])
