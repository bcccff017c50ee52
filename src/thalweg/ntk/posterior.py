"""Gaussian processes with the kernels of wide networks: predictions, their covariance and their evidence."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, Line, Scatter
from thalweg.guard import guarded
from thalweg.ntk.cholesky import Factored
from thalweg.ntk.dynamics_coefficients import number
from thalweg.ntk.dynamics_problem import KernelProblem, numbers_of
from thalweg.ntk.nonnegative import not_negative
from thalweg.results import Cost, Provenance, Reading, Result


@dataclass(frozen=True, eq=False)
class Posterior(Result):
    """What a Gaussian process knows after it has seen the targets: what `posterior` returns.

    >>> import torch
    >>> import thalweg as tw
    >>> found = tw.ntk.posterior(torch.eye(2), torch.tensor([[0.5, 0.0]]), torch.ones(1, 1), torch.tensor([1.0, 2.0]))
    >>> found["mean"].tolist(), found["covariance"].tolist()
    ([[[0.5]]], [[[0.75]]])

    Args:
        reading: "mean" (member, test example, output), where there are test examples; "covariance" (member, test
            example, other test example) or "variance" (member, test example), by what is known of them;
            "log marginal likelihood", "gcv", "jitter", "effective rank", "residual" (member,); "leave-one-out
            residual" (member, example, output) and "leave-one-out variance" (member, example); "targets".
    """

    def figure(self, member: int = 0) -> Figure:
        """Targets against what the other examples say of them, with two standard deviations.

        Raises:
            UsageError: no such member.
        """
        residuals = self["leave-one-out residual"]
        if not 0 <= member < len(residuals):
            msg = f"There is no member {member}; the posterior has {len(residuals)} (0 to {len(residuals) - 1})."
            raise UsageError(msg)
        targets = self["targets"][member]
        predicted = targets - residuals[member]
        error = np.broadcast_to(2 * np.sqrt(self["leave-one-out variance"][member])[:, None], targets.shape)
        ends = np.array([min(targets.min(), predicted.min()), max(targets.max(), predicted.max())])
        marks = (Line(ends, ends, label="equal"), Scatter(targets.ravel(), predicted.ravel(), error=error.ravel()))
        title, caption = "Each target as the other examples predict it", " ".join(self.reading.notes)
        return Figure.of(title, marks, Axis("target"), Axis("prediction without it"), caption=caption)


@guarded
def posterior(
    kernel: ArrayLike | Tensor,
    cross: ArrayLike | Tensor | None,
    own: ArrayLike | Tensor | None,
    targets: ArrayLike | Tensor,
    *,
    noise: float = 0.0,
) -> Posterior:
    """The posterior of a Gaussian process with this kernel, its evidence and its leave-one-out errors.

        mean = K* A^-1 y,    covariance = K** - K* A^-1 K*^T,    A = K + noise I
        log p(y) = -1/2 y^T A^-1 y - 1/2 log det A - n/2 log 2 pi
        y_i - mean without i = [A^-1 y]_i / [A^-1]_ii,    of variance 1 / [A^-1]_ii
        GCV = 1/n |A^-1 y|^2 / (1/n trace A^-1)^2

    With the covariance K of outputs at initialization (NNGP) it is Bayes' posterior of the infinitely wide network;
    with the tangent kernel it is NTKGP, whose mean is where gradient flow ends, but whose covariance is not the spread
    of trained networks: that is `ensemble`. All follow from one Cholesky factor.

    Args:
        kernel: prior covariance of the training examples, the same for every output: (n, n) or (members, n, n).
        cross: of test examples with training examples, (n_test, n) or (members, n_test, n); None: no test examples.
        own: of test examples with themselves, (n_test, n_test), or its diagonal alone (n_test,), or either with
            members in front; None: no covariance. (n_test, n_test) is taken for a whole one.
        targets: (n,), (n, C) or (members, n, C); the C outputs are independent, each with this prior.
        noise: variance of the noise on targets.

    Returns:
        See `Posterior`. A singular kernel gets the least jitter that makes it factor; "jitter" says how much, and
        "residual" is |(K + noise) alpha - y| / |y| of the solution without it. No variance is negative: those that
        rounding makes so are 0, and a note says where kernels that do not belong together made them so.

    Raises:
        UsageError: shapes that do not fit each other, numbers that are not finite, a kernel that is not symmetric or
            has negative eigenvalues, or negative noise.

    Cost: n^3 / 3 for the factor and as much for leave-one-out, n^2 for every test example and output, each member.

    References:
        Lee et al. (2018, arXiv:1711.00165); Rasmussen & Williams (2006), 2.2 and 5.4; Golub, Heath & Wahba (1979,
        doi:10.1080/00401706.1979.10489751).

    >>> import torch
    >>> import thalweg as tw
    >>> kernel = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> found = tw.ntk.posterior(kernel, None, None, torch.tensor([1.0, 1.0]))
    >>> found["leave-one-out residual"].round(6).tolist()  # 1 - 1/2
    [[[0.5], [0.5]]]
    >>> found["log marginal likelihood"].round(4).tolist(), found["jitter"].tolist()
    ([-2.7205], [0.0])
    """
    began = time.perf_counter()
    problem = KernelProblem.of(kernel, cross, targets)
    if problem.blocks:
        msg = "posterior takes a kernel that all outputs share; this one has blocks of outputs. Use regression."
        raise UsageError(msg)
    if own is not None and problem.cross is None:
        msg = "own is the kernel of test examples, which needs theirs with training examples: give cross."
        raise UsageError(msg)
    factored = Factored.of(problem.kernel, _noise(problem, number("noise", noise)))
    y = problem.targets
    alpha = factored.solve(y)
    n, outputs = alpha.shape[1:]
    inverse = factored.inverse_diagonal
    fit = -(y * alpha).sum((1, 2)) / 2
    constant = n / 2 * math.log(2 * math.pi)
    arrays: dict[str, Tensor] = {}
    dims: dict[str, tuple[str, ...]] = {}
    below: tuple[str, ...] = ()
    if problem.cross is not None:
        arrays["mean"], dims["mean"] = problem.cross @ alpha, ("member", "test example", "output")
        if own is not None:
            name, found = _covariance(factored, problem.cross, own)
            found, below = not_negative(found, own)
            arrays[name] = found
            dims[name] = ("member", "test example", "other test example")[: found.ndim]
    arrays |= {
        "log marginal likelihood": fit - outputs * (factored.half_determinant + constant),
        "gcv": alpha.square().sum((1, 2)) / n / (inverse.sum(1) / n).square(),
        "leave-one-out residual": alpha / inverse[..., None],
        "leave-one-out variance": 1 / inverse,
        "targets": y,
        "jitter": factored.jitter,
        "effective rank": factored.effective_rank,
        "residual": factored.residual(y, alpha),
    }
    single = ("log marginal likelihood", "gcv", "jitter", "effective rank", "residual")
    dims |= dict.fromkeys(single, ("member",)) | {"leave-one-out variance": ("member", "example")}
    dims |= dict.fromkeys(("leave-one-out residual", "targets"), ("member", "example", "output"))
    many = max(len(one) for one in arrays.values())
    reading = Reading(
        "posterior of a Gaussian process",
        {name: one.expand(many, *one.shape[1:]).cpu().numpy() for name, one in arrays.items()},
        dims,
        sample_size=n,
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(None, str(alpha.device), "float64"),
        notes=(
            f"{n} examples, noise of variance {noise:g}.",
            *factored.notes,
            *factored.unfitted(arrays["residual"]),
            *below,
        ),
    )
    return Posterior(reading)


def _noise(problem: KernelProblem, noise: float) -> Tensor:
    return torch.full((1,), noise, dtype=torch.float64, device=problem.kernel.device)


def _covariance(factored: Factored, cross: Tensor, own: Any) -> tuple[str, Tensor]:
    """What is known of the test examples, "covariance" or "variance", and that."""
    tests = cross.shape[1]
    given = numbers_of("own", own, cross.device)
    if given.shape[-2:] == (tests, tests):
        square = given if given.ndim == 3 else given[None]
    elif given.shape[-1:] == (tests,) and given.ndim in (1, 2):
        square = None
    else:
        msg = f"own is ({tests}, {tests}), as there are {tests} test examples in cross, or its diagonal ({tests},), or "
        raise UsageError(msg + f"either with members in front; got {tuple(given.shape)}.")
    many = max(len(factored.lower), len(cross))
    half = torch.linalg.solve_triangular(
        factored.lower.expand(many, -1, -1), cross.mT.expand(many, -1, -1), upper=False
    )
    if square is None:
        diagonal = given if given.ndim == 2 else given[None]
        return "variance", diagonal - half.square().sum(1)
    found = square - half.mT @ half
    return "covariance", (found + found.mT) / 2
