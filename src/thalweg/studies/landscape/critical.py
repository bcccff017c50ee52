"""Critical points of any kind, by Newton's method for the equation that the gradient vanishes."""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thalweg import curvature
from thalweg.errors import UsageError, check_count
from thalweg.population import Batch, Population, Problem, derivatives
from thalweg.population.derivatives import Vectors
from thalweg.progress import Progress, Watcher, ignore
from thalweg.spectra import as_matrix

_DAMPED, _UP, _DOWN = 0.1, 2.0, 5.0  # the first damping by the mean eigenvalue; its factors after a step
_AHEAD = 0.1  # of a step, for the second derivative along it
_BENT = 0.75  # twice the correction by the step, at most


@dataclass(frozen=True, eq=False)
class Critical:
    """What a search for critical points came to.

    Args:
        population: where each member ended.
        norm: of its gradient there: (members,).
        found: whether that is within the tolerance: (members,).
        flat: |H g| / (|H| |g|): where this is small and g is not, |g| has a minimum that is no zero: (members,).
        steps: tried.
    """

    population: Population
    norm: Float[Tensor, " members"]
    found: Bool[Tensor, " members"]
    flat: Float[Tensor, " members"]
    steps: int


def critical_points(
    problem: Problem, population: Population, *, tolerance: float, steps: int = 80, progress: Watcher = ignore
) -> Critical:
    """From every member to a point nearby where the gradient g vanishes, a minimum or not.

    |g|^2 is made small by Levenberg's and Marquardt's method, with the dense Hessian H and a damping s of each member:

        delta = -(H^2 + s^2)^-1 H g = -Re (H + i s)^-1 g
        theta <- theta + delta + a/2    for a = -(H^2 + s^2)^-1 H (d^2/dt^2) g(theta + t delta)

    where that makes |g| smaller and 2 |a| is at most 0.75 |delta|; s falls to a fifth then, and doubles else. The
    correction by a follows the bends of narrow valleys (geodesic acceleration: Transtrum & Sethna, 2012,
    arXiv:1201.5885); its derivative is a difference of gradients. Complex H + i s has the condition of H, H^2 the
    square of it. Without the correction: Dauphin et al. (2014, arXiv:1406.2572), Pennington & Bahri (2017).

    Args:
        problem: in float64, on all of its training examples.
        population: where to begin; only read.
        tolerance: of |g|.
        steps: at most.
        progress: told how far it is.

    Raises:
        UsageError: a tolerance that is not above 0, or no step.

    Cost: a dense Hessian (a product a parameter), a complex factorization and two gradients a step, of the members that
    are not there yet. Memory: three complex matrices parameters^2 a member.
    """
    check_count("critical_points steps", steps)
    if not tolerance > 0:
        msg = f"critical_points tolerance must be above 0; got {tolerance}."
        raise UsageError(msg)
    began = time.perf_counter()
    at = population.copy()
    theta, g = at.theta, gradient(problem, at)
    norm = _length(g)
    hessian = as_matrix(curvature.hessian(problem, at))
    identity = torch.eye(theta.shape[1], dtype=theta.dtype, device=theta.device)
    size = torch.linalg.matrix_norm(hessian)
    damping, stale = _DAMPED * size / theta.shape[1] ** 0.5, torch.zeros_like(norm, dtype=torch.bool)
    tried = 0
    for step in range(1, steps + 1):
        renewed = (stale & (norm > tolerance)).nonzero().flatten()
        if len(renewed):
            hessian[renewed] = as_matrix(curvature.hessian(problem, at[renewed]))
            size[renewed] = torch.linalg.matrix_norm(hessian[renewed])
        away = (norm > tolerance).nonzero().flatten()
        if not len(away):
            break
        here = at[away]
        damped = torch.complex(hessian[away], damping[away, None, None] * identity)
        factors = torch.linalg.lu_factor(damped)
        delta = -_solved(factors, g[away])
        ahead = gradient(problem, here.with_theta(here.theta + _AHEAD * delta))
        straight = (hessian[away] @ delta.unsqueeze(2)).squeeze(2)
        correction = -_solved(factors, 2 / _AHEAD * ((ahead - g[away]) / _AHEAD - straight))
        there = here.with_theta(here.theta + delta + correction / 2)
        slope = gradient(problem, there)
        nearer = (_length(slope) < norm[away]) & (2 * _length(correction) <= _BENT * _length(delta))
        moved = away[nearer]
        theta[moved], g[moved], norm[moved] = there.theta[nearer], slope[nearer], _length(slope)[nearer]
        damping[away] *= torch.where(nearer, 1 / _DOWN, _UP)
        damping = torch.maximum(damping, torch.finfo(theta.dtype).eps * size)
        stale = torch.zeros_like(stale).index_fill(0, moved, 1)
        tried = step
        progress(Progress("critical points", step, steps, time.perf_counter() - began))
    curved = _length((hessian @ g.unsqueeze(2)).squeeze(2))
    return Critical(at, norm, norm <= tolerance, curved / (size * norm), tried)


def gradient(problem: Problem, population: Population) -> Vectors:
    """The gradient of every member's mean loss over all training examples."""
    return derivatives.gradient(problem, population, Batch.range(problem.data.train, 0, len(problem.data.train)))


def _solved(factors: tuple[Tensor, Tensor], right: Tensor) -> Tensor:
    """The real part of the solution, one row a member."""
    return torch.linalg.lu_solve(*factors, right.to(factors[0]).unsqueeze(2)).squeeze(2).real


def _length(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1)
