"""Training with a constant kernel and any loss in continuous time, by an adaptive integrator."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import LSODA
from torch import Tensor

from thalweg.errors import UsageError, check_count
from thalweg.guard import guarded
from thalweg.ntk.dynamics_any_loss import AnyLoss, OnOutputs
from thalweg.ntk.dynamics_coefficients import number
from thalweg.ntk.dynamics_path import Path, decay_of, path_of
from thalweg.ntk.dynamics_problem import points_of
from thalweg.ntk.dynamics_spectrum import Spectrum

_FINEST = 1e-13  # relative tolerance: below it rounding is taken for an error


@guarded
def flow(
    kernel: ArrayLike | Tensor,
    cross: ArrayLike | Tensor | None,
    targets: ArrayLike | Tensor,
    *,
    loss: AnyLoss,
    times: float | Sequence[float],
    start: ArrayLike | Tensor | None = None,
    start_test: ArrayLike | Tensor | None = None,
    outputs: int | None = None,
    weight_decay: float = 0.0,
    origin: ArrayLike | Tensor | None = None,
    origin_test: ArrayLike | Tensor | None = None,
    tolerance: float = 1e-10,
    cap: int = 100_000,
) -> Path:
    """Outputs of a linearized network under gradient flow on any loss, d theta / dt = -grad L, at any times.

        d f / dt = -Theta grad_f L(f)

    It is `descend` at a learning rate towards 0, with t = steps times rate; of the squared error `gradient_flow` is the
    closed form. With Theta = Q diag(lambda) Q^T it is integrated where the network moves, f = f_0 + Q diag(root lambda)
    z and d z / dt = -diag(root lambda) Q^T grad_f L: there the equation is the gradient flow of L itself, so that an
    error in z is one of no more than root lambda_max its size in any output, of training or of test examples, and what
    the kernel cannot move is not there. The method is LSODA (scipy.integrate), which takes Adams's formulas of up to
    order 12 and changes to backward differentiation where the equation is stiff, as it is once the fast directions have
    come to rest; implicit Runge-Kutta of fixed order needs several times the steps at tolerances such as this.

    Args:
        kernel, cross, start, start_test, weight_decay, origin, origin_test: as in `gradient_descent`.
        targets, loss, outputs: as in `descend`; the loss is the mean over the training examples.
        times: one or several, at least 0 and finite, ascending.
        tolerance: of a step's error in outputs, relative to how far they have moved, and absolute; from 1e-13.
        cap: steps of the integrator that a member may take.

    Returns:
        As `descend`, at times; and "integration steps" and "gradients", evaluations of the loss's gradient, (member,).

    Raises:
        UsageError: as `descend`; or a member that does not reach the last time within the cap, or that the integrator
            gives up, with the time at which it stopped.

    Cost: one eigendecomposition of each kernel, rows^3; a product with its eigenvectors for every gradient, n^2 C, or
        (n C)^2 with blocks of outputs. Where it is stiff, a system of as many equations as there are outputs is solved
        every few steps, (n C)^3: some seconds for 200 examples of 10 classes.

    References:
        Lee et al. (2019, arXiv:1902.06720), section 2; the method: Petzold (1983, doi:10.1137/0904010).

    >>> import torch
    >>> import thalweg as tw
    >>> path = tw.ntk.flow(torch.eye(2), None, torch.tensor([1.0, 1.0]), loss="logistic", times=[0.0, 1.0, 10.0])
    >>> path["train"][0, :, 0, 0].round(4).tolist()  # d f / dt = 1 / (2 (1 + e^f)): f + e^f = 1 + t / 2
    [0.0, 0.235, 1.5033]
    """
    began = time.perf_counter()
    wanted = OnOutputs.of(loss, targets)
    problem = wanted.problem(kernel, cross, start, start_test, outputs)
    decay, rate = decay_of(problem, origin, origin_test, weight_decay), number("weight_decay", weight_decay)
    number("tolerance", tolerance, 1)
    if tolerance < _FINEST:
        msg = f"tolerance is at least {_FINEST:g}, which rounding allows; got {tolerance:g}."
        raise UsageError(msg)
    check_count("cap", cap)
    points = points_of("times", times, whole=False)
    if math.isinf(points[-1]):
        msg = "times of flow are finite, as it takes them step by step; for the squared error gradient_flow has an end."
        raise UsageError(msg)
    spectrum = Spectrum.of(problem.kernel)
    trained, tested, losses, counts = [], [], [], []
    shrunk = torch.expm1(-rate * torch.tensor(points, dtype=torch.float64, device=problem.kernel.device))[:, None, None]
    for member in range(problem.members):
        first = _of(problem.start, member)
        away = None if decay is None else _of(decay.train, member)
        moves = _Moves.of(spectrum, member)

        def slope(at: float, z: Tensor, first: Tensor = first, moves: _Moves = moves, away: Any = away) -> Tensor:
            train = first + moves.outputs(z)
            train = train if away is None else train + math.expm1(-rate * at) * away
            gradient = wanted.gradient(problem.by_example(train)[None])[0].reshape(first.shape)
            return -moves.along(gradient) - rate * z

        found, count = _integrated(slope, moves, first.shape[1], points, tolerance, cap, member)
        train = first + moves.outputs(found)
        train = train if away is None else train + shrunk * away
        trained.append(train)
        losses.append(wanted.mean(problem.by_example(train)))
        counts.append(count)
        if problem.cross is not None and problem.start_test is not None:
            test = _of(problem.start_test, member) + _of(problem.cross, member) @ moves.coefficients(found)
            tested.append(test if decay is None or decay.test is None else test + shrunk * _of(decay.test, member))
    steps, gradients = torch.tensor(counts, dtype=torch.float64).unbind(1)
    return path_of(
        "gradient flow of a constant kernel",
        problem,
        torch.stack(trained),
        torch.stack(tested) if tested else None,
        ("time", points),
        torch.stack(losses),
        f"{wanted.loss.name}, mean over the examples",
        limit=np.full(problem.members, math.inf),
        notes=(
            *spectrum.notes,
            f"Integrated by LSODA to a tolerance of {tolerance:g} a step, in up to {int(steps.max()):,} steps and "
            f"{int(gradients.max()):,} gradients a member.",
        ),
        began=began,
        eigenvalues=spectrum.values.cpu().numpy(),
        by_member={"integration steps": steps, "gradients": gradients},
    )


def _of(values: Tensor, member: int) -> Tensor:
    """A member's, where there is one for each, or one for all."""
    return values[member if len(values) > 1 else 0]


@dataclass(frozen=True, eq=False)
class _Moves:
    """How a member's network moves: f = f_0 + Q root(lambda) z, along the eigenvectors whose lambda is not 0.

    Args:
        vectors: Q, (rows, rank).
        roots: root lambda, (rank, 1).
    """

    vectors: Tensor
    roots: Tensor

    @classmethod
    def of(cls, spectrum: Spectrum, member: int) -> "_Moves":
        """Those of one member's kernel."""
        values, vectors = _of(spectrum.values, member), _of(spectrum.vectors, member)
        kept = values > 0
        return cls(vectors[:, kept], values[kept].sqrt()[:, None])

    def outputs(self, z: Tensor) -> Tensor:
        """What outputs have moved: (..., rank, columns) to (..., rows, columns)."""
        return self.vectors @ (self.roots * z)

    def along(self, gradient: Tensor) -> Tensor:
        """root(lambda) Q^T g: (rows, columns) to (rank, columns)."""
        return self.roots * (self.vectors.mT @ gradient)

    def coefficients(self, z: Tensor) -> Tensor:
        """v, with which f = f_0 + Theta v on any examples: (..., rank, columns) to (..., rows, columns)."""
        return self.vectors @ (z / self.roots)


def _integrated(
    slope: Any, moves: _Moves, columns: int, points: Sequence[float], tolerance: float, cap: int, member: int
) -> tuple[Tensor, tuple[int, int]]:
    """z at the times, (times, rank, columns), and how many steps and gradients that took.

    Raises:
        UsageError: the last time is not reached.
    """
    shape, like = (len(moves.roots), columns), moves.roots
    end, left = points[-1], [one for one in points if one > 0]
    found = [torch.zeros(shape).to(like) for one in points if one == 0]
    if not left or not len(like):  # nothing has moved yet, or ever does
        return torch.zeros(len(points), *shape).to(like), (0, 0)

    def derivative(at: float, z: NDArray[np.float64]) -> NDArray[np.float64]:
        there = slope(at, torch.from_numpy(z.reshape(shape)).to(like))
        return there.cpu().numpy().reshape(-1)

    solver = LSODA(
        derivative,
        0.0,
        np.zeros(math.prod(shape)),
        end,
        rtol=tolerance,
        atol=tolerance / float(like.max()),
    )
    steps = 0
    while solver.status == "running":
        said = solver.step() if steps < cap else f"that is the cap of {cap:,} steps"
        steps += 1
        if said is not None or not np.isfinite(solver.y).all():
            msg = (
                f"The flow of member {member} stopped at time {solver.t:.4g} of {end:.4g} after {steps - 1:,} "
                f"steps: {said or 'its outputs are no longer finite'}. Raise cap or tolerance, or ask for earlier "
                "times."
            )
            raise UsageError(msg)
        reached = [one for one in left if one <= solver.t]
        if reached:
            between, left = solver.dense_output(), left[len(reached) :]
            found += [torch.from_numpy(between(one).reshape(shape)).to(like) for one in reached]
    return torch.stack(found), (steps, solver.nfev)
