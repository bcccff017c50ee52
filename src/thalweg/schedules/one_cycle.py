"""The one-cycle policy: the rate up and down once, and momentum the other way round."""

from dataclasses import dataclass

import numpy as np

from thalweg.errors import check_choice, check_type
from thalweg.schedules.schedule import TINY, Number, Schedule, Swept, check_numbers

ANNEALS = ("cosine", "linear")


def _cycle(
    step: Number, steps: Number, rise: Number, levels: tuple[Number, Number, Number], anneal: str, annihilate: bool
) -> Number:
    """From levels[0] at t = 1 to levels[1] at t = rise T and to levels[2] at T.

    With `annihilate` the way down is as long as the way up and leads back to levels[0]; the rest leads on to levels[2].
    """
    low, high, last = levels
    top = np.maximum(rise * steps, 1)
    bottom = np.minimum(2 * top - 1, steps) if annihilate else steps

    def along(begin: Number, end: Number) -> Number:
        progress = np.clip((step - begin) / np.maximum(end - begin, TINY), 0, 1)
        return 0.5 * (1 - np.cos(np.pi * progress)) if anneal == "cosine" else progress

    down = low if annihilate else last
    return (
        low + (high - low) * along(1, top) + (down - high) * along(top, bottom) + (last - down) * along(bottom, steps)
    )


@dataclass(frozen=True)
class OneCycle(Schedule):
    """From `initial` at t = 1 up to 1 at t = rise T, and down to `final` at t = T.

    The policy of Smith & Topin (2017, arXiv:1708.07120).
    With annihilate = True it comes down to `initial` in as many steps as it rose and only then goes on to
    `final`, as in the paper. Pieces are half cosines or straight lines, by `anneal`. Beyond T it holds `final`.
    Equals torch.optim.lr_scheduler.OneCycleLR(pct_start=rise, div_factor=1/initial,
    final_div_factor=initial/final, three_phase=annihilate), whose defaults are these, where rise T is at least 1;
    where it is less, torch's begins on its way down, and this at `initial` all the same.

    >>> import thalweg as tw
    >>> s = tw.schedules.OneCycle(rise=0.5, initial=0.1, final=0.0)
    >>> [round(float(s(t, 6)), 4) for t in range(1, 7)]
    [0.1, 0.55, 1.0, 0.75, 0.25, 0.0]
    """

    rise: Swept = 0.3
    initial: Swept = 0.04
    final: Swept = 4e-6
    anneal: str = "cosine"
    annihilate: bool = False

    def __post_init__(self) -> None:
        check_choice("OneCycle anneal", self.anneal, ANNEALS)
        check_type("OneCycle annihilate", self.annihilate, bool, "True or False")
        check_numbers(0, 0.5 if self.annihilate else 1, rise=self.rise)
        check_numbers(0, initial=self.initial, final=self.final)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return _cycle(step, steps, self.rise, (self.initial, 1.0, self.final), self.anneal, self.annihilate)


@dataclass(frozen=True)
class OneCycleMomentum(Schedule):
    """The mirror of `OneCycle` for momentum: from 1 down to `lowest` at t = rise T, and back to 1 (same paper).

    Beyond T it holds 1. Times max_momentum = 0.95 it is what torch's OneCycleLR gives momentum by default.

    >>> import thalweg as tw
    >>> s = tw.schedules.OneCycleMomentum(rise=0.5, lowest=0.9)
    >>> [round(float(s(t, 6)), 4) for t in range(1, 7)]
    [1.0, 0.95, 0.9, 0.925, 0.975, 1.0]
    """

    rise: Swept = 0.3
    lowest: Swept = 0.85 / 0.95
    anneal: str = "cosine"
    annihilate: bool = False

    def __post_init__(self) -> None:
        check_choice("OneCycleMomentum anneal", self.anneal, ANNEALS)
        check_type("OneCycleMomentum annihilate", self.annihilate, bool, "True or False")
        check_numbers(0, 0.5 if self.annihilate else 1, rise=self.rise)
        check_numbers(0, lowest=self.lowest)

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return _cycle(step, steps, self.rise, (1.0, self.lowest, 1.0), self.anneal, self.annihilate)
