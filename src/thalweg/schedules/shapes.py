"""Elementary shapes: straight lines, powers, exponentials and stairs."""

from dataclasses import dataclass

import numpy as np

from thalweg.schedules.schedule import TINY, Number, Schedule, Swept, check_numbers


@dataclass(frozen=True)
class Polynomial(Schedule):
    """s(t) = final + (start - final) (1 - p)^power, with p = min(1, t / over); beyond `over` it holds `final`.

    `over` is a number of steps, None being all T. With .from_zero() it equals optax.polynomial_schedule and, with
    start = 1 and final = 0, torch.optim.lr_scheduler.PolynomialLR(total_iters=over, power=power).

    >>> import thalweg as tw
    >>> s = tw.schedules.Polynomial(power=2)
    >>> [round(float(s(t, 4)), 4) for t in range(1, 5)]
    [0.5625, 0.25, 0.0625, 0.0]
    """

    power: Swept = 1.0
    start: Swept = 1.0
    final: Swept = 0.0
    over: Swept | None = None

    def __post_init__(self) -> None:
        check_numbers(0, power=self.power, start=self.start, final=self.final)
        if self.over is not None:
            check_numbers(0, over=self.over)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        progress = np.minimum(step / np.maximum(steps if self.over is None else self.over, TINY), 1)
        return self.final + (self.start - self.final) * (1 - progress) ** self.power


@dataclass(frozen=True)
class Linear(Schedule):
    """s(t) = start + (final - start) p, with p = min(1, t / over); beyond `over` it holds `final`.

    `over` is a number of steps, None being all T. With .from_zero() it equals optax.linear_schedule and
    torch.optim.lr_scheduler.LinearLR(start_factor=start, end_factor=final, total_iters=over).

    >>> import thalweg as tw
    >>> s = tw.schedules.Linear()
    >>> [round(float(s(t, 4)), 4) for t in range(1, 5)]
    [0.75, 0.5, 0.25, 0.0]
    """

    start: Swept = 1.0
    final: Swept = 0.0
    over: Swept | None = None

    def __post_init__(self) -> None:
        check_numbers(0, start=self.start, final=self.final)
        if self.over is not None:
            check_numbers(0, over=self.over)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        progress = np.minimum(step / np.maximum(steps if self.over is None else self.over, TINY), 1)
        return self.start + (self.final - self.start) * progress


@dataclass(frozen=True)
class Exponential(Schedule):
    """s(t) = max(factor^(t / every), final): one factor per `every` steps; goes on beyond T.

    With .from_zero() it equals torch.optim.lr_scheduler.ExponentialLR(gamma=factor) and
    optax.exponential_decay(transition_steps=every, decay_rate=factor, end_value=final) for a falling rate.

    >>> import thalweg as tw
    >>> s = tw.schedules.Exponential(0.5)
    >>> [round(float(s(t, 4)), 4) for t in range(1, 5)]
    [0.5, 0.25, 0.125, 0.0625]
    """

    factor: Swept
    every: Swept = 1
    final: Swept = 0.0

    def __post_init__(self) -> None:
        check_numbers(0, factor=self.factor, final=self.final)
        check_numbers(TINY, every=self.every)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return np.maximum(self.factor ** (step / np.asarray(self.every)), self.final)


@dataclass(frozen=True)
class Step(Schedule):
    """s(t) = factor^floor((t - 1) / every): stairs, each `every` steps long; goes on beyond T.

    Equals torch.optim.lr_scheduler.StepLR(step_size=every, gamma=factor).

    >>> import thalweg as tw
    >>> s = tw.schedules.Step(every=2, factor=0.1)
    >>> [round(float(s(t, 4)), 4) for t in range(1, 5)]
    [1.0, 1.0, 0.1, 0.1]
    """

    every: Swept
    factor: Swept = 0.1

    def __post_init__(self) -> None:
        check_numbers(0, factor=self.factor)
        check_numbers(1, every=self.every)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return np.asarray(self.factor) ** np.floor(np.maximum(step - 1, 0) / np.asarray(self.every))
