"""Averages of the weights along the way."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from thalweg.optim.inplace import blend
from thalweg.optim.rule import State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.wrapper import Wrapper
from thalweg.population import Layout


@dataclass(frozen=True)
class Averaged(Wrapper):
    """An exponential moving average of the weights beside the path (Polyak & Juditsky, 1992; doi:10.1137/0330046).

    average <- keep average + (1 - keep) theta after every step, from theta after the first one. The path
    itself is not changed; `run.averaged(problem)` has the members at their averages.

    >>> import thalweg as tw
    >>> tw.optim.Averaged(tw.optim.Momentum(0.1)).slots
    ('average', 'velocity')
    """

    keep: Swept = 0.999
    own_slots: ClassVar[tuple[str, ...]] = ("average",)

    def after(self, theta: Tensor, state: State, h: StepHyperparameters, layout: Layout | None) -> None:
        """Take theta into the average."""
        if h.step == 1:
            state["average"].copy_(theta)
        else:
            blend(state["average"], 1 - h.keep, theta)
