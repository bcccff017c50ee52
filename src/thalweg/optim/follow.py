"""Where a rule goes on a function of one's own, without a network."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_type
from thalweg.optim.inplace import Hyper
from thalweg.optim.rule import Rule
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.updater import Updater


@in_words
def follow(
    rule: Rule,
    gradient: Callable[[Tensor], Tensor],
    start: Float[Tensor, "members parameters"],
    steps: int,
    *,
    numbers: Mapping[str, Hyper] | None = None,
) -> Float[Tensor, "points members parameters"]:
    """Apply a rule to a gradient of your own: theta_0, theta_1, ..., theta_steps.

    The gradient is taken where the rule wants it: at theta, or for Nesterov's momentum at the point ahead.

    >>> import torch
    >>> import thalweg as tw
    >>> curvature, start = torch.tensor([1.0, 5.0]), torch.ones(1, 2)
    >>> tw.optim.follow(tw.optim.SGD(0.1), lambda theta: curvature * theta, start, steps=2)
    tensor([[[1.0000, 1.0000]],
    <BLANKLINE>
            [[0.9000, 0.5000]],
    <BLANKLINE>
            [[0.8100, 0.2500]]])

    Args:
        rule: any that needs no layout of tensors.
        gradient: of points (members, parameters), in the same shape; called once a step, so that it may add noise.
        start: (members, parameters), one row for each start or setting; it is not changed.
        steps: how many, at least 1.
        numbers: what replaces the rule's own numbers: floats, or columns (members, 1) of float64, such as one "lr" a
            member. "schedule" is what a schedule multiplies the rate by at the time, 1 by default; the rate itself is
            "lr".

    Raises:
        UsageError: no step to take, or a start that is no matrix.

    Cost: steps gradients, and memory for steps + 1 times start.
    """
    check_type("follow start", start, Tensor, "a tensor (members, parameters)")
    if start.ndim != 2 or steps < 1:
        msg = (
            "follow needs a start of shape (members, parameters) and at least 1 step; got shape "
            f"{tuple(start.shape)} and {steps} steps. Write start[None] for a single point."
        )
        raise UsageError(msg)
    theta = start.clone()
    updater, ahead = Updater(rule, theta), theta.clone()
    path = torch.empty(steps + 1, *theta.shape, dtype=theta.dtype, device=theta.device)
    path[0] = theta
    for step in range(1, steps + 1):
        h = StepHyperparameters(rule.hyper_parameters() | {"schedule": 1.0} | dict(numbers or {}), step)
        if rule.looks_ahead:
            updater.look_ahead(h, out=ahead)
        updater.step(gradient(ahead if rule.looks_ahead else theta).clone(), h)
        path[step] = theta
    return path
