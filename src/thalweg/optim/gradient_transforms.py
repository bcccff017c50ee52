"""Changes of the gradient that go with every rule."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from thalweg.errors import check_choice
from thalweg.optim.inplace import axpy, blend
from thalweg.optim.rule import State, Swept, needed
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.wrapper import Wrapper
from thalweg.population import Layout


@dataclass(frozen=True)
class Grokfast(Wrapper):
    """Slow components of the gradient, amplified (Lee et al., 2024, arXiv:2405.20233, the exponential form).

        mu <- momentum mu + (1 - momentum) g,    g <- g + amplification mu

    mu starts at the first gradient, as in the authors' code. For a constant gradient this is a rate
    1 + amplification times as large: compare at rates tuned for each.

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Grokfast(tw.optim.AdamW(0.001))).formula
    ('mu <- momentum mu + (1 - momentum) g,    g <- g + amplification mu',)
    """

    momentum: Swept = 0.98
    amplification: Swept = 2.0
    own_slots: ClassVar[tuple[str, ...]] = ("slow_gradient",)

    def before(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, layout: Layout | None
    ) -> None:
        """Change the gradient in place."""
        mu = state["slow_gradient"]
        if h.step == 1:
            mu.copy_(gradient)
        else:
            blend(mu, 1 - h.momentum, gradient)
        axpy(gradient, h.amplification, mu)


@dataclass(frozen=True)
class Orthogonal(Wrapper):
    """The gradient without its part along the weights (Prieto et al., 2025, arXiv:2501.04697).

        g <- g - (<theta, g> / <theta, theta>) theta

    It removes the direction in which a network only scales its weights; the authors' code then scales the rest to the
    length of g, which this does not: tune the rate. `over` says what a vector is: one
    "member" (the paper's formula) or each "tensor" of it. A theta of zeros leaves g as it is.

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Orthogonal(tw.optim.SGD(0.1))).formula
    ('g <- g - (<theta, g> / <theta, theta>) theta',)
    """

    over: str = "member"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("Orthogonal over", self.over, ("member", "tensor"))

    def before(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, layout: Layout | None
    ) -> None:
        """Change the gradient in place."""
        whole = [slice(None)] if self.over == "member" else [entry.columns for entry in needed(self, layout)]
        for columns in whole:
            weights, part = theta[:, columns], gradient[:, columns]
            square = weights.square().sum(1, keepdim=True)
            share = (weights * part).sum(1, keepdim=True) / square.masked_fill(square == 0, 1)
            part.addcmul_(weights, share, value=-1)


@dataclass(frozen=True)
class Centralized(Wrapper):
    """Gradients of weight matrices with mean zero over the inputs of each unit (Yong et al., 2020, arXiv:2004.01461).

    g_i <- g_i - mean(g_i) for every row (filter) i of a tensor with two dimensions or more; others stay.

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Centralized(tw.optim.SGD(0.1))).inside.name
    'SGD'
    """

    def before(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, layout: Layout | None
    ) -> None:
        """Change the gradient in place."""
        for entry in needed(self, layout):
            if entry.filters is not None:
                rows = gradient[:, entry.columns].unflatten(1, (entry.filters, -1))
                rows.sub_(rows.mean(2, keepdim=True))
