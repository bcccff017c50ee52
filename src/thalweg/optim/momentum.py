"""Heavy-ball momentum and Nesterov's accelerated gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from thalweg.errors import UsageError, check_choice
from thalweg.optim import kernels
from thalweg.optim.inplace import axpy, displaced, scale
from thalweg.optim.rule import Rule, State, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters

FORMS = ("sum", "ema", "lr_inside")
STARTS = ("zero", "first_gradient")
LOOK_AHEADS = ("beta", "full", "reformulated")


def accumulate(form: str, start: str, velocity: Tensor, gradient: Tensor, h: StepHyperparameters) -> None:
    """The velocity v after this step's gradient, by one of three conventions.

    - "sum": v <- beta v + g, and theta moves by -lr v (torch, optax, the lecture);
    - "ema": v <- beta v + (1 - beta) g, the same path with lr_sum = (1 - beta) lr_ema;
    - "lr_inside": v <- beta v + lr g, and theta moves by -v (Sutskever et al., 2013); the same path while
      the rate is constant, but after a change of rate v still holds the old one.

    With start = "first_gradient" the first velocity is the whole first gradient (torch's dampening).
    """
    gain = {"sum": 1.0, "ema": 1 - h.beta, "lr_inside": h.lr}[form]
    if start == "first_gradient" and h.step == 1 and form == "ema":
        gain = 1.0
    axpy(scale(velocity, h.beta), gain, gradient)


@dataclass(frozen=True)
class Momentum(Rule):
    """v <- beta v + g, theta <- theta - lr v (Polyak, 1964, doi:10.1016/0041-5553(64)90137-5).

    On a quadratic with eigenvalue h it is stable for lr h < 2 (1 + beta). `form` and `start` choose the
    convention (see `accumulate`). Equals torch.optim.SGD(lr, momentum=beta); form = "ema" with start =
    "first_gradient" is torch's dampening = beta.

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Momentum(0.1)).torch
    'torch.optim.SGD(params, lr=0.1, momentum=0.9)'
    """

    lr: Swept
    beta: Swept = 0.9
    form: str = "sum"
    start: str = "zero"
    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("Momentum form", self.form, FORMS)
        check_choice("Momentum start", self.start, STARTS)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        velocity = state["velocity"]
        accumulate(self.form, self.start, velocity, gradient, h)
        axpy(theta, -1.0 if self.form == "lr_inside" else -h.lr, velocity)

    @property
    def fused(self) -> bool:  # type: ignore[override]
        """Whether torch has a kernel for these conventions."""
        return (self.form, self.start) == ("sum", "zero")

    def update_fused(
        self, theta: list[Tensor], gradient: list[Tensor], state: Mapping[str, list[Tensor]], h: StepHyperparameters
    ) -> None:
        """One step in place."""
        kernels.sgd(theta, gradient, state["velocity"], h, decay=self.decay)


@dataclass(frozen=True)
class Nesterov(Rule):
    """v <- beta v + g(theta - lr beta v), theta <- theta - lr v (Nesterov, 1983; Sutskever et al., 2013).

    The gradient is really taken at the point ahead. `look` chooses which one:

    - "beta": theta - lr beta v, where theta would be without the new gradient (Nesterov's);
    - "full": theta - lr v, as the lecture writes it, 1/beta too far; stable in a smaller region;
    - "reformulated": g at theta itself and a step by g + beta v (torch, optax). At constant rates this is
      the first one seen from the point ahead: its theta is that rule's theta - lr beta v.

    With decay = "l2" the decay is that of theta, not of the point ahead.
    "reformulated" equals torch.optim.SGD(lr, momentum=beta, nesterov=True).

    >>> import thalweg as tw
    >>> tw.optim.explain(tw.optim.Nesterov(0.1, look="reformulated")).torch
    'torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)'
    """

    lr: Swept
    beta: Swept = 0.9
    form: str = "sum"
    look: str = "beta"
    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("Nesterov form", self.form, FORMS)
        check_choice("Nesterov look", self.look, LOOK_AHEADS)
        if self.look == "reformulated" and self.form != "sum":
            msg = f'Nesterov look="reformulated" is defined for form="sum"; got form={self.form!r}.'
            raise UsageError(msg)

    @property
    def looks_ahead(self) -> bool:  # type: ignore[override]
        """Whether the gradient is taken away from theta."""
        return self.look != "reformulated"

    def look_ahead(self, theta: Tensor, state: State, h: StepHyperparameters, out: Tensor) -> None:
        """theta - lr beta v, or theta - lr v, by `look`."""
        distance = (1.0 if self.form == "lr_inside" else h.lr) * (h.beta if self.look == "beta" else 1.0)
        displaced(theta, -distance, state["velocity"], out)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place."""
        velocity = state["velocity"]
        accumulate(self.form, "zero", velocity, gradient, h)
        if self.look == "reformulated":
            axpy(theta, -h.lr, axpy(gradient, h.beta, velocity))
        else:
            axpy(theta, -1.0 if self.form == "lr_inside" else -h.lr, velocity)
