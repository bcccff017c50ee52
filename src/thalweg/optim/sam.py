"""Sharpness-aware minimization: the gradient from the worst point nearby."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from thalweg.errors import UsageError
from thalweg.optim.inplace import displaced, norms
from thalweg.optim.rule import Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.wrapper import Wrapper, unwrapped


@dataclass(frozen=True)
class SAM(Wrapper):
    """A rule whose gradient is taken at theta + e (Foret et al., 2021, arXiv:2010.01412).

        e = rho g / |g|,    g <- gradient at theta + e,    then the rule steps from theta

    |g| is the Euclidean norm of a member's whole gradient. With `adaptive`, e = rho T^2 g / |T g| for T = |theta|
    (ASAM; Kwon et al., 2021, arXiv:2102.11600), where rho is about 40 times as large. Both gradients see the
    same batch and the same dropout; running statistics are those of the first. Masked parameters stay zero.
    On h x^2/2 under SGD it ends in x = +-lr h rho / (2 - lr h).

    Wherever it stands among several wrappers, the second gradient is what all of them see.

    Cost: two gradients per step, and one matrix of theta's size.

    Raises:
        UsageError: it wraps a rule that takes its gradient away from theta itself.

    >>> import thalweg as tw
    >>> rule = tw.optim.SAM(tw.optim.SGD([0.05, 0.1]), rho=0.05)
    >>> tw.optim.explain(rule).values, tw.optim.explain(rule).inside.values["lr"]
    ({'rho': '0.05'}, '0.05 to 0.1 (2 values)')
    """

    rho: Swept = 0.05
    adaptive: bool = False
    ascends: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule.looks_ahead:
            msg = (
                f"SAM needs a rule whose gradient is at theta, and {type(unwrapped(self.rule)[1]).__name__} takes it "
                'ahead; write Nesterov(look="reformulated") or Momentum inside it.'
            )
            raise UsageError(msg)

    def ascend(self, theta: Tensor, gradient: Tensor, h: StepHyperparameters, out: Tensor) -> None:
        """theta + e, written to `out`; the gradient (members, parameters) is consumed."""
        size = theta.abs() if self.adaptive else None
        direction = gradient if size is None else gradient.mul_(size)
        length = norms(direction)
        direction.div_(length.masked_fill(length == 0, 1))
        direction = direction if size is None else direction.mul_(size)
        displaced(theta, h.rho, direction, out)
