"""Network slimming: scales of normalization layers pulled towards zero, so that channels can be told apart by them."""

from dataclasses import dataclass

from torch import Tensor

from thalweg.optim.inplace import axpy
from thalweg.optim.rule import State, Swept, needed
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.wrapper import Wrapper
from thalweg.population import Layout


@dataclass(frozen=True)
class Slimming(Wrapper):
    """An L1 penalty on the scales of normalization layers (Liu et al., 2017, arXiv:1708.06519).

        g <- g + penalty sign(theta)    on the scales

    It is the gradient of loss + penalty sum |scale|. Channels whose scale ends small are pruned: `tickets.scores.gamma`
    is that score. A model without such layers trains as without it.

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Slimming(tw.optim.Momentum(0.1))).formula
    ('g <- g + penalty sign(theta)    on the scales',)
    """

    penalty: Swept = 1e-4

    def before(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, layout: Layout | None
    ) -> None:
        """Change the gradient in place."""
        for entry in needed(self, layout):
            if entry.kind == "norm" and entry.name.rpartition(".")[2] != "bias":
                axpy(gradient[:, entry.columns], h.penalty, theta[:, entry.columns].sign())
