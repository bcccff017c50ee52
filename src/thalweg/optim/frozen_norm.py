"""Norms of the weights held where they were."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.errors import check_choice
from thalweg.optim.rule import State, needed
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.wrapper import Wrapper
from thalweg.population import Layout


@dataclass(frozen=True)
class FrozenNorm(Wrapper):
    """The norm of the weights held at its value when training began, by scaling them back after every step.

        theta <- theta |theta_0| / |theta|    after the step

    What weight decay does beyond holding the norm down does not happen here, so that the two can be told apart (Liu et
    al., 2023, Omnigrok, arXiv:2210.01117, hold the norm of a whole network). `over` says what a vector is: each
    "tensor" of a member, or one "member". A theta of zeros stays.

    A start that has no norm yet, its "frozen_norm" being zeros, is frozen where it begins.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.FrozenNorm(tw.optim.Adam(0.1)), steps=3), seeds=2)
    >>> before, after = (problem.layout.views(one.theta)["output.weight"] for one in (problem.initialize(2), run.final))
    >>> torch.allclose(after.norm(dim=(1, 2)), before.norm(dim=(1, 2)))
    True
    """

    over: str = "tensor"
    own_slots: ClassVar[tuple[str, ...]] = ("frozen_norm",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("FrozenNorm over", self.over, ("member", "tensor"))

    def before(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, layout: Layout | None
    ) -> None:
        """Take note of the norms of members that have none yet; the gradient stays as it is."""
        for columns in self._parts(layout):
            kept = state["frozen_norm"][:, columns]
            fresh = kept.amax(1) == 0
            if fresh.any():
                weights = theta[fresh, columns]
                kept[fresh] = weights.norm(dim=1, keepdim=True) * (weights != 0)  # none outside of a mask

    def after(self, theta: Tensor, state: State, h: StepHyperparameters, layout: Layout | None) -> None:
        """Scale theta back."""
        for columns in self._parts(layout):
            weights = theta[:, columns]
            norm = weights.norm(dim=1, keepdim=True)
            kept = state["frozen_norm"][:, columns].amax(1, keepdim=True)
            weights.mul_(torch.where(norm > 0, kept / norm, 1.0))

    def _parts(self, layout: Layout | None) -> list[slice]:
        return [slice(None)] if self.over == "member" else [entry.columns for entry in needed(self, layout)]
