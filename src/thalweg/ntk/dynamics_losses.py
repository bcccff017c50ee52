"""Training with a constant kernel and any loss, step by step in the space of outputs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.guard import guarded
from thalweg.ntk.dynamics_any_loss import AnyLoss, OnOutputs
from thalweg.ntk.dynamics_coefficients import Descent
from thalweg.ntk.dynamics_path import Path, decay_of, path_of
from thalweg.ntk.dynamics_problem import points_of, tensor_of
from thalweg.schedules import Schedule

Batches = Sequence[Sequence[int] | Tensor | NDArray[np.int64]]


@guarded
def descend(
    kernel: ArrayLike | Tensor,
    cross: ArrayLike | Tensor | None,
    targets: ArrayLike | Tensor,
    *,
    loss: AnyLoss,
    lr: float | Sequence[float] | NDArray[np.float64],
    steps: int | Sequence[int],
    start: ArrayLike | Tensor | None = None,
    start_test: ArrayLike | Tensor | None = None,
    outputs: int | None = None,
    batches: Batches | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    schedule: Schedule | None = None,
    weight_decay: float = 0.0,
    origin: ArrayLike | Tensor | None = None,
    origin_test: ArrayLike | Tensor | None = None,
) -> Path:
    """Outputs of a linearized network after steps of (stochastic) gradient descent on any loss, as torch.optim.SGD.

        f_{k+1} = f_k - lr Theta grad_f L(f_k)

    It is descent on the parameters of the linearized network, step for step: each step moves them by J^T v. The loss
    of a step is the mean over its batch, of which the gradient is 0 on all other rows. Adam and other rules that scale
    single parameters have no such form; train `linearized` with them.

    Args:
        kernel, cross, lr, steps, momentum, nesterov, schedule, weight_decay, origin, origin_test: as in
            `gradient_descent`.
        targets: as the loss takes them, examples first: classes (n,), values (n, C); the same for all members.
        loss: as that of a Problem: "cross_entropy", "squared_error", "logistic", one of `losses`, or a function.
        start, start_test: outputs before training, (n, C) or (members, n, C); None: 0.
        outputs: C, where `start` does not say it and the kernel has no blocks of outputs; None: that of the targets, or
            as many as there are classes.
        batches: the rows of every step, in order; None: all, at every step.

    Returns:
        As `gradient_descent`; "loss" is on all training examples, and `limit` infinite, as it depends on the loss.

    Raises:
        UsageError: as `gradient_descent`, or batches that are too few.

    Cost: a product of the kernel and the outputs at every step, n^2 C; with blocks of outputs (n C)^2.

    References:
        Lee et al. (2019, arXiv:1902.06720), section 2.

    >>> import torch
    >>> import thalweg as tw
    >>> classes = torch.tensor([0, 1])
    >>> path = tw.ntk.descend(torch.eye(2), None, classes, loss="cross_entropy", lr=1.0, steps=[0, 1])
    >>> path["loss"].round(4).tolist(), path["train"][0, 1].tolist()
    ([[0.6931, 0.4741]], [[0.25, -0.25], [-0.25, 0.25]])
    """
    began = time.perf_counter()
    wanted = OnOutputs.of(loss, targets)
    problem = wanted.problem(kernel, cross, start, start_test, outputs)
    decay = decay_of(problem, origin, origin_test, weight_decay)
    rule = Descent.of(
        1.0,
        lr,
        momentum,
        weight_decay,
        nesterov=nesterov,
        to_zero=decay is not None,
        schedule=schedule,
        device=problem.kernel.device,
    )
    problem = problem.with_members(len(rule.lr), "learning rates")
    points = points_of("steps", steps, whole=True)
    last = int(points[-1])
    rows = _rows(batches, last, len(wanted.truth))
    zero = torch.zeros(problem.members, *problem.targets.shape[1:], dtype=torch.float64, device=problem.kernel.device)
    v, shrunk = _Moving(zero, zero), _Moving(zero[:1, :1, :1], zero[:1, :1, :1])
    trained, tested, losses = [], [], []
    for step in range(last + 1):
        train = problem.start + problem.kernel @ v.position
        train = train if decay is None else train + shrunk.position * decay.train
        if step in points:
            trained.append(train)
            losses.append(wanted.mean(problem.by_example(train)))
            if problem.cross is not None and problem.start_test is not None:
                test = problem.start_test + problem.cross @ v.position
                tested.append(test if decay is None or decay.test is None else test + shrunk.position * decay.test)
        if step < last:
            rate = rule.rate(step + 1, last)
            gradient = wanted.gradient(problem.by_example(train), rows[step]).reshape(zero.shape)
            v = v.after(gradient + rule.decay * v.position, rule, rate)
            if decay is not None:
                shrunk = shrunk.after(rule.decay * (shrunk.position + 1), rule, rate)
    return path_of(
        "descent of a constant kernel",
        problem,
        torch.stack(trained, 1),
        torch.stack(tested, 1) if tested else None,
        ("step", points),
        torch.stack(losses, 1),
        f"{wanted.loss.name}, mean over the batch",
        limit=np.full(problem.members, np.inf),
        notes=(),
        began=began,
    )


@dataclass(frozen=True, eq=False)
class _Moving:
    """What gradient descent moves, and its velocity."""

    position: Tensor
    velocity: Tensor

    def after(self, gradient: Tensor, rule: Descent, rate: Tensor) -> "_Moving":
        """After a step."""
        velocity = rule.momentum * self.velocity + gradient
        step = gradient + rule.momentum * velocity if rule.nesterov else velocity
        return _Moving(self.position - rate * step, velocity)


def _rows(batches: Batches | None, steps: int, examples: int) -> list[Tensor | None]:
    """The rows of every step; None: all.

    Raises:
        UsageError: too few batches, or rows that are no examples.
    """
    if batches is None:
        return [None] * steps
    rows = [tensor_of(one).to(torch.int64) for one in batches]
    if len(rows) < steps:
        msg = f"batches are the rows of every step; got {len(rows)} batches for {steps} steps."
        raise UsageError(msg)
    for number, one in enumerate(rows):
        if one.ndim != 1 or len(one) == 0 or int(one.min()) < 0 or int(one.max()) >= examples:
            msg = f"A batch is a list of examples from 0 to {examples - 1}; batch {number} is {one.tolist()}."
            raise UsageError(msg)
    return list(rows)
