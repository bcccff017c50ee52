"""Mean and covariance of wide networks that are trained from many initializations."""

import math
import time as clock
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.guard import guarded
from thalweg.ntk.dynamics_coefficients import Flow
from thalweg.ntk.dynamics_problem import FORMULAS, Convention, KernelProblem, numbers_of
from thalweg.ntk.dynamics_spectrum import Spectrum
from thalweg.ntk.nonnegative import not_negative
from thalweg.results import Cost, Provenance, Reading, Result


@guarded
def ensemble(
    kernel: ArrayLike | Tensor,
    cross: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    *,
    prior: ArrayLike | Tensor,
    prior_cross: ArrayLike | Tensor,
    prior_own: ArrayLike | Tensor,
    time: float = math.inf,
    loss: Convention = "half_sum",
) -> Result:
    """Mean and covariance, over initializations, of infinitely wide networks after gradient flow for a time.

        mean = B y,    covariance = K** + B K B^T - B K*^T - K* B^T,    B = Theta* Theta^-1 (I - exp(-s Theta t))

    where K is the covariance of outputs at initialization (NNGP), which trained networks keep off the data, and s
    is of the loss. It is Gaussian, but no posterior: no prior and likelihood have it. Of networks that are centered
    (`nets.centered`) the covariance is 0. With K = Theta at the end it is the posterior.

    Args:
        kernel, cross: tangent kernel of training examples, (n, n), and of test with training examples, (n_test, n).
        targets: (n,) or (n, C); each output has this mean and, independently, this covariance.
        prior, prior_cross, prior_own: covariance of outputs at initialization: of training examples, (n, n), of test
            with training examples, (n_test, n), and of test examples, (n_test, n_test).
        time: of gradient flow, which is steps times learning rate; infinite: to the end.
        loss: as in `gradient_flow`.

    Returns:
        "mean" (test example, output), "covariance" (test example, other test example).

    Raises:
        UsageError: shapes that do not fit each other, numbers that are not finite, kernels that are not symmetric or
            have negative eigenvalues, or a negative time.

    Cost: one eigendecomposition, n^3, and n^2 n_test.

    References:
        Lee et al. (2019, arXiv:1902.06720), equations 14 to 16; He, Lakshminarayanan & Teh (2020, arXiv:2007.05864).

    >>> import torch
    >>> import thalweg as tw
    >>> one, half = torch.eye(1), torch.full((1, 1), 0.5)
    >>> found = tw.ntk.ensemble(one, half, torch.tensor([2.0]), prior=one, prior_cross=half, prior_own=one)
    >>> found["mean"].tolist(), found["covariance"].tolist()
    ([[1.0]], [[0.75]])
    """
    began = clock.perf_counter()
    problem = KernelProblem.of(kernel, cross, targets)
    before = KernelProblem.of(prior, prior_cross, targets)
    if problem.blocks or before.blocks or problem.members > 1 or before.members > 1:
        msg = "ensemble takes one kernel, (n, n), that all outputs share, and one prior; got members or blocks of them."
        raise UsageError(msg)
    if problem.cross is None or before.cross is None or problem.cross.shape != before.cross.shape:
        msg = "ensemble needs cross and prior_cross, (test examples, training examples), of the same examples."
        raise UsageError(msg)
    if math.isnan(time) or time < 0:
        msg = f"time is a number of at least 0, or math.inf; got {time!r}."
        raise UsageError(msg)
    own = _own(prior_own, before.cross)
    spectrum = Spectrum.of(problem.kernel)
    (found,) = Flow(problem.factor(loss), 0.0, to_zero=False).along(spectrum.values, [time])
    moved = (found.fit * (spectrum.values > 0)).unsqueeze(-1) * spectrum.vectors.mT
    b = (problem.cross @ (spectrum.vectors @ moved))[0]
    k, k_cross = before.kernel[0], before.cross[0]
    both = b @ k_cross.mT
    covariance, below = not_negative((own + b @ k @ b.mT - both - both.mT)[None], own)
    reading = Reading(
        "an ensemble of trained networks",
        {"mean": (b @ problem.targets[0]).cpu().numpy(), "covariance": covariance[0].cpu().numpy()},
        {"mean": ("test example", "output"), "covariance": ("test example", "other test example")},
        cost=Cost(clock.perf_counter() - began),
        provenance=Provenance.here(None, str(b.device), "float64"),
        notes=(f"Loss: {FORMULAS[loss]}; gradient flow for {time:g}.", *spectrum.notes, *below),
    )
    return Result(reading)


def _own(given: Any, cross: Tensor) -> Tensor:
    own = numbers_of("prior_own", given, cross.device)
    tests = cross.shape[1]
    if own.shape != (tests, tests):
        msg = f"prior_own is ({tests}, {tests}), as there are {tests} test examples in cross; got {tuple(own.shape)}."
        raise UsageError(msg)
    return (own + own.mT) / 2
