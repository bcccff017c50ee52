"""How many steps the spectrum says that training takes."""

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError, check_count
from thalweg.ntk.dynamics_coefficients import Descent, number
from thalweg.ntk.dynamics_problem import FORMULAS, Convention, KernelProblem
from thalweg.ntk.dynamics_spectrum import Spectrum
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.schedules import Schedule

_BLOCK = 256  # steps that are taken before it is asked who has arrived


def predicted_steps(
    kernel: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    *,
    level: float,
    lr: float | Sequence[float] | NDArray[np.float64],
    loss: Convention = "half_sum",
    start: ArrayLike | Tensor | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    schedule: Schedule | None = None,
    weight_decay: float = 0.0,
    cap: int = 100_000,
) -> Result:
    """The first step at which gradient descent with a constant kernel has this share of its first loss.

        L_k / L_0 = sum_i (1 - lambda_i c_k,i)^2 r_i^2 / sum_i r_i^2 <= level,    r = Q^T (y - f_0)

    with c as in `gradient_descent`: the whole spectrum and where the targets lie in it, not the condition number alone.

    Args:
        level: share of the loss before training, above 0, such as 0.01.
        cap: steps that are looked at; a schedule ends there.
        kernel, targets, lr, loss, start, momentum, nesterov, schedule, weight_decay: as in `gradient_descent`.

    Returns:
        "steps", (member,): infinite where the level is not reached within the cap; "floor", (member,): the share of the
        loss that is never fitted without decay, because the kernel is singular.

    Raises:
        UsageError: as `gradient_descent`, or a level that is no share.

    Cost: one eigendecomposition of each kernel, rows^3; without momentum and schedule log(cap) evaluations of the
        spectrum, otherwise one for every step.

    >>> import torch
    >>> import thalweg as tw
    >>> kernel, targets = torch.diag(torch.tensor([1.0, 0.1])), torch.tensor([1.0, 1.0])
    >>> tw.ntk.predicted_steps(kernel, targets, level=0.01, lr=1.0)["steps"].tolist()  # 0.9^(2 k) / 2 <= 0.01
    [19.0]
    """
    began = time.perf_counter()
    number("level", level)
    if not 0 < level < 1:
        msg = f"level is a share of the loss before training, between 0 and 1, such as 0.01; got {level!r}."
        raise UsageError(msg)
    check_count("cap", cap)
    problem = KernelProblem.of(kernel, None, targets, start)
    rule = Descent.of(
        problem.factor(loss),
        lr,
        momentum,
        weight_decay,
        nesterov=nesterov,
        to_zero=False,
        schedule=schedule,
        device=problem.kernel.device,
    )
    problem = problem.with_members(len(rule.lr), "learning rates")
    spectrum = Spectrum.of(problem.kernel)
    squares = (spectrum.vectors.mT @ (problem.targets - problem.start)).square().sum(2).expand(problem.members, -1)
    whole = squares.sum(1)
    if not bool((whole > 0).all()):
        msg = "A member starts at its targets, so its loss is 0 and has no share; leave it out."
        raise UsageError(msg)
    weights = squares / whole[:, None]
    values = spectrum.values.expand(problem.members, -1)
    limit = rule.limit(values[:, -1])
    plain = not rule.momentum and schedule is None and bool((rule.lr.flatten() < limit).all())
    steps = _halving(rule, values, weights, level, cap) if plain else _walking(rule, values, weights, level, cap)
    reading = Reading(
        "predicted steps",
        {"steps": steps.cpu().numpy(), "floor": (weights * (values == 0)).sum(1).cpu().numpy()},
        {"steps": ("member",), "floor": ("member",)},
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(None, str(values.device), "float64"),
        notes=(f"Steps to {level:g} of the first loss, {FORMULAS[loss]}; at most {cap:,}.", *spectrum.notes),
    )
    return Result(reading)


def _halving(rule: Descent, values: Tensor, weights: Tensor, level: float, cap: int) -> Tensor:
    """By bisection, as the loss only falls: (members,)."""

    def share(step: Tensor) -> Tensor:
        return _share(next(iter(rule.closed(values, [step[:, None]]))).fit, values, weights)

    high = torch.full((len(values),), float(cap), dtype=values.dtype, device=values.device)
    low, reached = torch.zeros_like(high), share(high) <= level  # the level is not reached at low, and at high it is
    while bool((high - low > 1).any()):
        middle = ((high + low) / 2).floor()
        there = share(middle) <= level
        high, low = middle.where(there, high), low.where(there, middle)
    return high.where(reached, torch.full_like(high, math.inf))


def _walking(rule: Descent, values: Tensor, weights: Tensor, level: float, cap: int) -> Tensor:
    """Step by step: (members,)."""
    found = torch.full((len(values),), math.inf, dtype=values.dtype, device=values.device)
    state = rule.start(values)
    for step in range(1, cap + 1):
        state = rule.advanced(state, values, rule.rate(step, cap))
        there = _share(state[..., 0, 0], values, weights) <= level
        found = torch.where(there & found.isinf(), float(step), found)
        if step % _BLOCK == 0 and bool(found.isfinite().all()):
            break
    return found


def _share(fit: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """Of the first loss: (members,)."""
    return (weights * (1 - values * fit).square()).sum(1)
