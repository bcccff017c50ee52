"""A hyper-parameter that follows a schedule of its own."""

from dataclasses import dataclass

from thalweg.errors import check_type
from thalweg.schedules.schedule import Schedule
from thalweg.sweep import Sweep, plain, points_of


@dataclass(frozen=True)
class Scheduled:
    """value s(t, T) at step t of T, wherever an optimizer takes a number.

    Such as `optim.AdamW(1e-3, beta1=Scheduled(0.95, schedules.OneCycleMomentum()))`, or a weight decay with a cosine of
    its own. A rate given so follows the recipe's schedule as well: both multiply it.

    Args:
        value: the number that is multiplied, or a sweep of them.
        schedule: by what; its numbers may be swept, too.

    Raises:
        UsageError: the value is neither a number nor a sweep, or the schedule is not one.

    >>> import thalweg as tw
    >>> beta = tw.schedules.Scheduled(0.95, tw.schedules.OneCycleMomentum())
    >>> tw.optim.Momentum(0.1, beta).beta.value
    0.95
    """

    value: float | Sweep
    schedule: Schedule

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", plain(self.value))
        points_of("Scheduled value", self.value)
        check_type("Scheduled schedule", self.schedule, Schedule, "a schedule such as schedules.Cosine(warmup=100)")
