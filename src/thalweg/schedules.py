"""Learning-rate schedules: closed-form functions of the step.

A schedule maps a step t = 1, 2, ..., T to a multiplier of the learning rate, usually in [0, 1]. It has
no state, so a run resumes exactly at any step. Fields may be numbers or one value a member.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError

Number = float | NDArray[np.float64]

Swept = Any  # a number, or a Sweep in a recipe, which becomes one value a member when the recipe is unfolded


def warmup_factor(step: int, warmup: Number, start: Number = 0.0) -> Number:
    """min(1, start + (1 - start) t / warmup): linear from `start` (at t = 0) to 1 at t = warmup."""
    ramp = step / np.maximum(warmup, 1e-9)
    return np.minimum(1.0, start + (1 - start) * ramp)


def _at_least(least: float, **fields: Any) -> None:
    """Raise UsageError for a field below `least`, naming it."""
    for name, value in fields.items():
        if isinstance(value, list | tuple):
            msg = f"A schedule's {name} is a number or a sweep; write sweep.values({list(value)})."
            raise UsageError(msg)
        for point in np.atleast_1d(getattr(value, "points", value)):
            if not point >= least:
                msg = f"A schedule's {name} must be at least {least:g}; got {point:g}."
                raise UsageError(msg)


@dataclass(frozen=True)
class Constant:
    """s(t) = 1."""

    def __call__(self, step: int, steps: int) -> Number:
        """The multiplier at `step` of `steps`."""
        return 1.0


@dataclass(frozen=True)
class Warmup:
    """s(t) = min(1, start + (1 - start) t / warmup), then constant.

    t counts from 1, so with start = 0 the first step has rate 1/warmup and no step is wasted at rate 0.
    """

    warmup: Swept
    start: Swept = 0.0

    def __post_init__(self) -> None:
        _at_least(0, warmup=self.warmup, start=self.start)

    def __call__(self, step: int, steps: int) -> Number:
        """The multiplier at `step` of `steps`."""
        return warmup_factor(step, self.warmup, self.start)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 to `final` (Loshchilov & Hutter, 2017, arXiv:1608.03983, without restarts).

    s(t) = warmup(t) (final + (1 - final) (1 + cos(pi p)) / 2), where the progress p is
    (t - warmup)/(T - warmup) after a linear warmup, or t/T throughout with progress = "global" (the
    cosine then has already fallen when the warmup hands over). Beyond T it holds `final`.
    """

    warmup: Swept = 0
    final: Swept = 0.0
    progress: str = "after_warmup"

    def __post_init__(self) -> None:
        if self.progress not in ("after_warmup", "global"):
            msg = f'Cosine progress is "after_warmup" or "global"; got {self.progress!r}.'
            raise UsageError(msg)
        _at_least(0, warmup=self.warmup, final=self.final)

    def __call__(self, step: int, steps: int) -> Number:
        """The multiplier at `step` of `steps`."""
        origin = self.warmup if self.progress == "after_warmup" else 0
        progress = np.clip((step - origin) / np.maximum(steps - origin, 1e-9), 0, 1)
        return warmup_factor(step, self.warmup) * (self.final + (1 - self.final) * 0.5 * (1 + np.cos(np.pi * progress)))


@dataclass(frozen=True)
class InverseSquareRoot:
    """s(t) = min(t / warmup, sqrt(warmup / t)), with peak 1 at t = warmup.

    The schedule of Vaswani et al. (2017, arXiv:1706.03762), normalized to its peak.
    """

    warmup: Swept = 1

    def __post_init__(self) -> None:
        _at_least(1, warmup=self.warmup)

    def __call__(self, step: int, steps: int) -> Number:
        """The multiplier at `step` of `steps`."""
        return np.minimum(step / np.maximum(self.warmup, 1e-9), np.sqrt(np.asarray(self.warmup) / max(step, 1)))


Schedule = Constant | Warmup | Cosine | InverseSquareRoot
