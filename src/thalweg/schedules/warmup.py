"""A constant rate, from the first step or after a warmup."""

from dataclasses import dataclass

from thalweg.schedules.schedule import Number, Schedule, Swept, check_numbers, check_warmup, warmup_factor


@dataclass(frozen=True)
class Constant(Schedule):
    """s(t) = 1, also beyond T.

    >>> import thalweg as tw
    >>> s = tw.schedules.Constant()
    >>> [round(float(s(t, 4)), 4) for t in range(1, 5)]
    [1.0, 1.0, 1.0, 1.0]
    """

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return 1.0


@dataclass(frozen=True)
class Warmup(Schedule):
    """s(t) = min(1, start + (1 - start) t / warmup), then constant, also beyond T.

    t counts from 1, so with start = 0 the first step has rate 1/warmup and no step is wasted at rate 0.
    Warmup(w, a).from_zero() equals torch.optim.lr_scheduler.LinearLR(start_factor=a, total_iters=w).

    >>> import thalweg as tw
    >>> s = tw.schedules.Warmup(2)
    >>> [round(float(s(t, 4)), 4) for t in range(1, 5)]
    [0.5, 1.0, 1.0, 1.0]
    """

    warmup: Swept
    start: Swept = 0.0

    def __post_init__(self) -> None:
        check_numbers(0, start=self.start)
        check_warmup(warmup=self.warmup)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return warmup_factor(step, self.warmup, self.start)
