"""Critical points of any kind, by Newton's method for the equation that the gradient vanishes."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.curvature import hessian
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Evaluator, Sample, as_sample
from thalweg.figures import Axis, Figure, ReferenceLine, Scatter
from thalweg.guard import guarded
from thalweg.population import Batch, Population, Problem, derivatives
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.spectra import as_matrix

_DAMPED, _UP, _DOWN = 0.1, 2.0, 5.0  # the first damping by the mean eigenvalue; its factors after a step
_AHEAD = 0.1  # of a step, for the second derivative along it
_BENT = 0.75  # twice the correction by the step, at most
BEFORE, AFTER, ALONG = "gradient norm before", "gradient norm", "curvature along the gradient"


@dataclass(frozen=True, eq=False)
class CriticalPoints(Result):
    """What `critical_points` came to.

    Args:
        reading: of each member, "gradient norm" and "loss" where it ended, "gradient norm before" where it began;
            "converged"; and "curvature along the gradient", |H g| / (|H| |g|): where this is small and g is not, |g|
            has a minimum that is no zero.
        population: where each member ended.
        tolerance: of the gradient's norm.
        steps: tried.
    """

    population: Population
    tolerance: float
    steps: int

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether the norm of the gradient is within the tolerance: (members,)."""
        return self.reading["converged"]

    def distinct(self, groups: ArrayLike | None = None, *, tolerance: float = 1e-7) -> NDArray[np.bool_]:
        """One member for each critical point, as a mask: points of one loss count as one, which symmetric ones have.

        Of members whose losses agree to the tolerance, a chain of which counts as agreeing, it is the lowest.

        Args:
            groups: what each member belongs to, such as its seed: (members,). Members of different groups are not
                compared; None is one group.
            tolerance: as a share of the group's loss that is largest in magnitude.

        Returns:
            (members,); false wherever the search did not converge.
        """
        losses = self["loss"]
        names = np.zeros(len(losses)) if groups is None else np.asarray(groups)
        if names.shape != losses.shape:
            msg = f"distinct needs the group of each of {len(losses)} members; got shape {names.shape}."
            raise UsageError(msg)
        mask = np.zeros(len(losses), dtype=bool)
        for name in np.unique(names):
            mine = np.flatnonzero(self.converged & (names == name))
            mine = mine[losses[mine].argsort(kind="stable")]
            apart = tolerance * np.abs(losses[mine]).max(initial=0)
            mask[mine] = np.diff(losses[mine], prepend=-np.inf) > apart
        return mask

    def figure(self) -> Figure:
        """The norm of every member's gradient, after the search against before it."""
        marks = (
            Scatter(self[BEFORE], self[AFTER], label="members"),
            ReferenceLine(self.tolerance, "horizontal", label="tolerance"),
        )
        axes = (Axis(name, self.reading.units[name], scale="log") for name in (BEFORE, AFTER))
        return Figure.of("Where searches for critical points ended", marks, *axes, caption=" ".join(self.reading.notes))


@guarded
def critical_points(
    problem: Problem,
    population: Population,
    *,
    tolerance: float,
    steps: int = 80,
    on: Sample | str | ExampleSet = "train",
    progress: Watcher | None = automatic,
) -> CriticalPoints:
    """From every member to a point nearby where the gradient g vanishes, a minimum or not.

    |g|^2 is made small by Levenberg's and Marquardt's method, with the dense Hessian H and a damping s of each member:

        delta = -(H^2 + s^2)^-1 H g = -Re (H + i s)^-1 g
        theta <- theta + delta + a/2    for a = -(H^2 + s^2)^-1 H (d^2/dt^2) g(theta + t delta)

    where that makes |g| smaller and 2 |a| is at most 0.75 |delta|; s falls to a fifth then, and doubles else. The
    correction by a follows the bends of narrow valleys (geodesic acceleration: Transtrum & Sethna, 2012,
    arXiv:1201.5885); its derivative is a difference of gradients. Complex H + i s has the condition of H, H^2 the
    square of it. Without the correction: Dauphin et al. (2014, arXiv:1406.2572), Pennington & Bahri (2017).

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.linspace(-1, 1, 8, dtype=torch.float64)[:, None]
    >>> problem = tw.Problem(lambda: tw.nets.mlp(1, 1), (x, 2 * x), "squared_error", dtype=torch.float64)
    >>> found = tw.landscape.critical_points(problem, problem.initialize(1), tolerance=1e-10)
    >>> found.distinct().tolist(), [round(number, 6) + 0 for number in found.population.theta[0].tolist()]
    ([True], [2.0, 0.0])

    Args:
        problem: in float64, or the tolerance cannot be small.
        population: where to begin; only read. What is pruned stays 0, and g is that of the active parameters.
        tolerance: of |g|.
        steps: at most.
        on: the examples of the loss, all at once.
        progress: told how far it is.

    Raises:
        UsageError: a tolerance that is not above 0, or no step.

    Cost: a dense Hessian (a product a parameter), a complex factorization and two gradients a step, of the members that
    are not there yet. Memory: three complex matrices parameters^2 a member.
    """
    check_type("critical_points problem", problem, Problem, "a Problem")
    check_type("critical_points population", population, Population, "a Population such as run.final")
    check_type("critical_points tolerance", tolerance, (int, float), "a number above 0")
    check_count("critical_points steps", steps)
    if not tolerance > 0:
        msg = f"critical_points tolerance must be above 0; got {tolerance}."
        raise UsageError(msg)
    began, drawn = time.perf_counter(), as_sample("critical_points", on).draw(problem)
    loss = _Loss(problem, drawn.examples)
    at = population.copy()
    theta, g = at.theta, loss.gradient(at)
    norm = _length(g)
    before, hessian = norm.clone(), loss.hessian(at)
    identity = torch.eye(theta.shape[1], dtype=theta.dtype, device=theta.device)
    size = torch.linalg.matrix_norm(hessian)
    damping, stale = _DAMPED * size / theta.shape[1] ** 0.5, torch.zeros_like(norm, dtype=torch.bool)
    tried = 0
    with watched(progress) as told:
        for step in range(1, steps + 1):
            changed = (stale & (norm > tolerance)).nonzero().flatten()
            if len(changed):
                hessian[changed] = loss.hessian(at[changed])
                size[changed] = torch.linalg.matrix_norm(hessian[changed])
            away = (norm > tolerance).nonzero().flatten()
            if not len(away):
                break
            here = at[away]
            damped = torch.complex(hessian[away], damping[away, None, None] * identity)
            factors = torch.linalg.lu_factor(damped)
            delta = -_solved(factors, g[away])
            ahead = loss.gradient(here.with_theta(here.theta + _AHEAD * delta))
            straight = (hessian[away] @ delta.unsqueeze(2)).squeeze(2)
            correction = -_solved(factors, 2 / _AHEAD * ((ahead - g[away]) / _AHEAD - straight))
            there = here.with_theta(here.theta + delta + correction / 2)
            new = loss.gradient(there)
            nearer = (_length(new) < norm[away]) & (2 * _length(correction) <= _BENT * _length(delta))
            moved = away[nearer]
            theta[moved], g[moved], norm[moved] = there.theta[nearer], new[nearer], _length(new)[nearer]
            damping[away] *= torch.where(nearer, 1 / _DOWN, _UP)
            damping = torch.maximum(damping, torch.finfo(theta.dtype).eps * size)
            stale = torch.zeros_like(stale).index_fill(0, moved, 1)
            tried = step
            told(Progress("critical points", step, steps, time.perf_counter() - began))
    curved = _length((hessian @ g.unsqueeze(2)).squeeze(2))
    losses = Evaluator(problem, at, drawn.examples)()["loss"]
    arrays = {AFTER: norm, BEFORE: before, "loss": losses, "converged": norm <= tolerance}
    arrays[ALONG] = curved / (size * norm)
    reading = Reading(
        "critical points",
        {name: values.cpu().numpy() for name, values in arrays.items()},
        dict.fromkeys(arrays, ("member",)),
        {"member": np.arange(len(at))},
        dict.fromkeys((AFTER, BEFORE, "loss"), problem.loss.unit),
        sample_size=len(drawn),
        cost=Cost(time.perf_counter() - began, loss.gradients + len(at), loss.gradients, loss.products),
        provenance=Provenance.here(0, str(problem.device), str(problem.dtype)),
        notes=(f"On {drawn.text}, after {tried} steps; a norm up to {tolerance:.3g} counts as a critical point.",),
    )
    return CriticalPoints(reading, at, float(tolerance), tried)


class _Loss:
    """The mean loss over examples: its gradient and dense Hessian at populations, and how many were taken."""

    def __init__(self, problem: Problem, examples: ExampleSet) -> None:
        self.problem, self.examples = problem, examples
        self.batch = Batch.range(examples, 0, len(examples))
        self.gradients, self.products = 0, 0

    def gradient(self, population: Population) -> Float[Tensor, "members parameters"]:
        self.gradients += len(population)
        gradient = derivatives.gradient(self.problem, population, self.batch)
        return gradient if population.mask is None else gradient * population.mask

    def hessian(self, population: Population) -> Float[Tensor, "members parameters parameters"]:
        self.products += len(population) * population.layout.parameters
        return as_matrix(hessian(self.problem, population, on=self.examples))


def _solved(factors: tuple[Tensor, Tensor], right: Tensor) -> Tensor:
    """The real part of the solution, one row a member."""
    return torch.linalg.lu_solve(*factors, right.to(factors[0]).unsqueeze(2)).squeeze(2).real


def _length(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1)
