"""Training with a constant kernel and the squared error, in closed form."""

import math
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.ntk.dynamics_coefficients import Descent, Flow, number
from thalweg.ntk.dynamics_path import Path, closed_path, decay_of
from thalweg.ntk.dynamics_problem import FORMULAS, Convention, KernelProblem, points_of
from thalweg.ntk.dynamics_spectrum import Spectrum
from thalweg.schedules import Schedule


@in_words
def gradient_flow(
    kernel: ArrayLike | Tensor,
    cross: ArrayLike | Tensor | None,
    targets: ArrayLike | Tensor,
    *,
    times: float | Sequence[float],
    loss: Convention = "half_sum",
    start: ArrayLike | Tensor | None = None,
    start_test: ArrayLike | Tensor | None = None,
    weight_decay: float = 0.0,
    origin: ArrayLike | Tensor | None = None,
    origin_test: ArrayLike | Tensor | None = None,
) -> Path:
    """Outputs of a linearized network under gradient flow, d theta / dt = -grad L, at any times.

        f(t) = f_0 + Theta v(t),    f_test(t) = f_0,test + Theta_test v(t)
        v(t) = Q c(t) Q^T (y - f_0),    c(t) = s (1 - exp(-a t)) / a,    a = s lambda + weight_decay

    with Theta = Q diag(lambda) Q^T and the gradient s (f - y) of the loss. No inverse is taken, so that an eigenvalue
    of 0, where c = s t, is as good as any other. At t = infinity it is kernel regression. Of other losses see `flow`.

    Arguments are those of `gradient_descent`, but for:

    Args:
        times: one or several, at least 0, ascending; math.inf for the end.

    Raises:
        UsageError: as `gradient_descent`.

    Cost: one eigendecomposition of each kernel, rows^3, and a product with `cross` for every time.

    References:
        Jacot, Gabriel & Hongler (2018, arXiv:1806.07572); Lee et al. (2019, arXiv:1902.06720).

    >>> import math, torch
    >>> import thalweg as tw
    >>> kernel, cross = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([[1.0, 1.0]])
    >>> path = tw.ntk.gradient_flow(kernel, cross, torch.tensor([1.0, 0.0]), times=[0.0, 1.0, math.inf])
    >>> path["test"][0, :, 0, 0].round(4).tolist()  # 1/3 (1 - exp(-3 t))
    [0.0, 0.3167, 0.3333]
    """
    began = time.perf_counter()
    problem = KernelProblem.of(kernel, cross, targets, start, start_test)
    decay = decay_of(problem, origin, origin_test, weight_decay)
    rule = Flow(problem.factor(loss), number("weight_decay", weight_decay), decay is not None)
    points = points_of("times", times, whole=False)
    spectrum = Spectrum.of(problem.kernel)
    return closed_path(
        "gradient flow of a constant kernel",
        problem,
        spectrum,
        rule.along(spectrum.values, points),
        ("time", points),
        loss,
        FORMULAS[loss],
        decay=decay,
        limit=np.full(problem.members, math.inf),
        notes=spectrum.notes,
        began=began,
    )


@in_words
def gradient_descent(
    kernel: ArrayLike | Tensor,
    cross: ArrayLike | Tensor | None,
    targets: ArrayLike | Tensor,
    *,
    lr: float | Sequence[float] | NDArray[np.float64],
    steps: int | Sequence[int],
    loss: Convention = "half_sum",
    start: ArrayLike | Tensor | None = None,
    start_test: ArrayLike | Tensor | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    schedule: Schedule | None = None,
    weight_decay: float = 0.0,
    origin: ArrayLike | Tensor | None = None,
    origin_test: ArrayLike | Tensor | None = None,
) -> Path:
    """Outputs of a linearized network after steps of full-batch gradient descent, as torch.optim.SGD does them.

        f_k = f_0 + Theta v_k,    v_k = Q c_k Q^T (y - f_0),    c_k = s (1 - (1 - lr a)^k) / a

    with Theta = Q diag(lambda) Q^T, the gradient s (f - y) of the loss and a = s lambda + weight_decay, which pulls
    towards the start. Heavy-ball momentum, Nesterov's and schedules follow their two-term recurrence along each
    eigenvector, exactly; without a schedule k steps cost log k products of 3 x 3 matrices. Stable are learning rates
    below 2 / a_max, with momentum b 2 (1 + b) / a_max, with Nesterov's 2 (1 + b) / ((1 + 2 b) a_max).

    Args:
        kernel: of the training examples, (n, n) or (members, n, n) where all outputs share it, as in infinitely wide
            networks; with blocks of outputs (n, n, C, C) or (members, n, n, C, C), as `ntk.empirical` gives it.
        cross: of test examples with training examples, (n_test, n) and so on; None: no test examples.
        targets: (n,), (n, C) or (members, n, C).
        lr: learning rate, or one for every member (members,). Rates of a loss that is a mean are as in torch.
        steps: after which to give outputs: a number, or several that ascend; 0 is the start. A schedule ends at the
            last.
        loss: "half_sum", 1/2 sum (f - y)^2; "half_mean", 1/(2 n C) of the sum; or "mean", 1/(n C) of the sum, which is
            torch's MSELoss and the loss "squared_error" of a Problem.
        start, start_test: outputs before training, in the shapes of targets; None: 0, as of `nets.centered`.
        momentum, nesterov: as in torch.optim.SGD.
        schedule: multiplies the learning rate, as in a recipe.
        weight_decay: adds weight_decay (theta - theta_0) to the gradient; with `origin`, weight_decay theta.
        origin, origin_test: outputs of the linearized network where all parameters are 0, f_0 - J theta_0, to which
            decay then pulls: (1 - L) f_0 for a network that is homogeneous of degree L in its parameters.

    Raises:
        UsageError: shapes that do not fit each other, numbers that are not finite, a kernel that is not symmetric or
            has negative eigenvalues, steps that do not ascend, or a rate, momentum or decay that cannot be meant.

    Cost: one eigendecomposition of each kernel, rows^3, with rows = n or n C; with a schedule a few operations on the
        eigenvalues for every step; a product with `cross` for every step that is asked.

    References:
        Lee et al. (2019, arXiv:1902.06720), whose convention is "half_mean".

    >>> import torch
    >>> import thalweg as tw
    >>> kernel = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> path = tw.ntk.gradient_descent(kernel, None, torch.tensor([1.0, 1.0]), lr=0.1, steps=[0, 1, 100], momentum=0.5)
    >>> path["train"][0, :, 0, 0].round(6).tolist(), round(float(path.limit[0]), 6)
    ([0.0, 0.3, 1.0], 1.0)
    """
    began = time.perf_counter()
    problem = KernelProblem.of(kernel, cross, targets, start, start_test)
    decay = decay_of(problem, origin, origin_test, weight_decay)
    rule = Descent.of(
        problem.factor(loss),
        lr,
        momentum,
        weight_decay,
        nesterov=nesterov,
        to_zero=decay is not None,
        schedule=schedule,
        device=problem.kernel.device,
    )
    points = points_of("steps", steps, whole=True)
    problem = problem.with_members(len(rule.lr), "learning rates")
    spectrum = Spectrum.of(problem.kernel)
    limit = rule.limit(spectrum.values[:, -1]).expand(problem.members)
    return closed_path(
        "gradient descent of a constant kernel",
        problem,
        spectrum,
        rule.along(spectrum.values, [int(point) for point in points]),
        ("step", points),
        loss,
        FORMULAS[loss],
        decay=decay,
        limit=limit.cpu().numpy(),
        notes=(*spectrum.notes, *_too_fast(rule, limit)),
        began=began,
    )


def _too_fast(rule: Descent, limit: Tensor) -> tuple[str, ...]:
    """A sentence where learning rates are above the limit of stability."""
    over = rule.lr.flatten() >= limit
    if not bool(over.any()):
        return ()
    worst = float((rule.lr.flatten() / limit).max())
    said = f"The learning rate of {int(over.sum())} of {len(limit)} members is at or above the limit of stability"
    return (f"{said} (up to {worst:.3g} times it): the residual does not go to 0.",)
