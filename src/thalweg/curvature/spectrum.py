"""The spectral density of a curvature matrix, by stochastic Lanczos quadrature."""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thalweg.curvature.lanczos import Krylov
from thalweg.curvature.operator import SPOKEN, Operator
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.figures import Axis, Figure, Line
from thalweg.population import Population, Problem
from thalweg.progress import Progress, Watcher, ignore
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading
from thalweg.statistics.student_t import advice, reach

_GRID = 400
_WIDTH = 0.02  # of a bump in a figure, by the length of the spectrum


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The nodes and weights of quadratures by each probe: sum over nodes of w f(lambda) is about tr f(A) / n.

    Args:
        nodes: Ritz values in ascending order: (members, probes, steps); NaN where a space was complete before.
        weights: of each, summing to 1 over the nodes of a probe: (members, probes, steps).
        reading: both, with cost and provenance.
    """

    nodes: NDArray[np.float64] = field(repr=False)
    weights: NDArray[np.float64] = field(repr=False)
    reading: Reading

    def moment(self, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """tr A^order / n and its standard error over probes (NaN for one): (members,) each.

        Here and below, 95 % are within as many errors as Student's t for the number of probes says: 12.7 for two, 3.18
        for four, 2.26 for ten. All is NaN where a member is not finite.
        """
        return _over_probes((self._mass * np.nan_to_num(self.nodes) ** order).sum(2))

    def cumulative(self, at: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The share of eigenvalues up to each point (points,), and its standard error: (members, points) each.

        It steps at the nodes by their weights, halfway up at a node itself.
        """
        points = np.asarray(at, dtype=np.float64)[:, None]
        below = (self.nodes[:, :, None] < points) + 0.5 * (self.nodes[:, :, None] == points)
        return _over_probes((below * self._mass[:, :, None]).sum(3))

    def density(self, at: NDArray[np.float64], width: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The density at each point, every node being a bump of Gauss's of a standard deviation `width`.

        With its standard error over probes: (members, points) each. The integral is 1.
        """
        if not width > 0:
            msg = f"density width must be above 0; got {width}."
            raise UsageError(msg)
        distance = (np.asarray(at, dtype=np.float64)[:, None] - np.nan_to_num(self.nodes)[:, :, None]) / width
        bumps = np.exp(-0.5 * distance**2) / (width * (2 * np.pi) ** 0.5)
        return _over_probes((bumps * self._mass[:, :, None]).sum(3))

    def figure(self, member: int = 0) -> Figure:
        """The density of one member on a log scale, with its 95 % band over probes, by Student's t.

        Raises:
            UsageError: no such member, or one that is not finite.
        """
        if not -len(self.nodes) <= member < len(self.nodes):
            msg = f"There is no member {member}; the spectrum has {len(self.nodes)} (0 to {len(self.nodes) - 1})."
            raise UsageError(msg)
        nodes = self.nodes[member][np.isfinite(self.nodes[member])]
        if not len(nodes):
            msg = f"Member {member} is not finite, so it has no spectrum to draw."
            raise UsageError(msg)
        length = max(nodes.max() - nodes.min(), 1e-12)
        at = np.linspace(nodes.min() - 0.1 * length, nodes.max() + 0.1 * length, _GRID)
        mean, error = (values[member] for values in self.density(at, _WIDTH * length))
        least = 0.1 / int(self.reading["parameters seen"]) / (_WIDTH * length)
        probes = self.nodes.shape[1]
        wide = reach(probes) * error if probes > 1 else None
        drawn = {} if wide is None else {"low": np.maximum(mean - wide, least), "high": np.maximum(mean + wide, least)}
        said = " The band is of 95 %, by Student's t over probes." if drawn else ""
        return Figure.of(
            self.reading.name,
            (Line(at, np.maximum(mean, least), **drawn),),
            Axis("eigenvalue"),
            Axis("density", scale="log"),
            caption=f"{probes} probes of {self.nodes.shape[2]} steps; every node is a bump {_WIDTH:.0%} of the "
            f"spectrum wide. Values below a tenth of one eigenvalue are drawn there.{said}",
        )

    @property
    def _mass(self) -> NDArray[np.float64]:
        """The weights, 0 where a space was complete before; NaN where a probe has no node, as its member is NaN."""
        none = np.isnan(self.nodes).all(2, keepdims=True)
        return np.where(none, np.nan, np.nan_to_num(self.weights))


def spectrum(
    problem: Problem,
    population: Population,
    *,
    steps: int = 60,
    probes: int = 4,
    matrix: str = "hessian",
    examples: ExampleSet | None = None,
    limit: int | None = None,
    scale: Tensor | None = None,
    seed: int = 0,
    progress: Watcher = ignore,
) -> Spectrum:
    """The distribution of the eigenvalues of a curvature matrix of every member.

    From a random v of length 1, Lanczos' method gives a T whose eigenvalues, with the squared first components of its
    eigenvectors as weights, are the quadrature of v^T f(A) v that is exact for polynomials up to degree 2 steps - 1;
    the mean over v is tr f(A) / n (Ubaru, Chen & Saad, 2017, doi:10.1137/16M1104974; Ghorbani et al., 2019,
    arXiv:1901.10159).

    Args:
        problem, population, matrix, examples, limit, scale: see `Operator`.
        steps: of Lanczos' method, reorthogonalized in full: nodes a probe.
        probes: random vectors, shared by all members; from two on there are standard errors.
        seed: of the vectors.
        progress: told how far it is.

    Raises:
        UsageError: no step or no probe.

    Cost: steps x probes products. Memory: `steps` matrices of theta's shape.
    """
    check_count("spectrum steps", steps)
    check_count("spectrum probes", probes)
    check_type("spectrum seed", seed, int, "a whole number such as 0")
    began = time.perf_counter()
    operator = Operator(problem, population, matrix, examples, limit, scale)
    shape = (len(population), probes, steps)
    nodes, weights = np.full(shape, np.nan), np.full(shape, np.nan)
    dimension = 0
    for probe in range(probes):
        start = operator.gaussian(generator(seed, "spectrum", probe))
        dimension = int((start != 0).sum(1).max())
        krylov = Krylov(operator, start, seed=seed)
        while krylov.steps < steps and not krylov.full.all():
            krylov.extend()
            done, total = probe * steps + krylov.steps, probes * steps
            progress(Progress(f"spectrum of the {SPOKEN[matrix]}", done, total, time.perf_counter() - began))
        for member in range(len(population)):
            values, vectors, _ = krylov.ritz(member)
            nodes[member, probe, : len(values)] = values
            weights[member, probe, : len(values)] = vectors[0] ** 2
    dims = ("member", "probe", "place")
    reading = Reading(
        f"spectrum of the {SPOKEN[matrix]}",
        {"node": nodes, "weight": weights, "parameters seen": dimension},
        {"node": dims, "weight": dims},
        sample_size=operator.count,
        cost=Cost(time.perf_counter() - began, hvps=operator.products * len(population)),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(
            f"{probes} probes of {steps} steps on {operator.count} examples, in evaluation mode.",
            *((advice(probes),) if probes > 1 else ()),
            *operator.notes,
        ),
    )
    return Spectrum(nodes, weights, reading)


def _over_probes(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard error over the second axis."""
    probes = values.shape[1]
    error = values.std(1, ddof=1) / probes**0.5 if probes > 1 else np.full_like(values.mean(1), np.nan)
    return values.mean(1), error
