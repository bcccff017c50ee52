"""The density of eigenvalues, by stochastic Lanczos quadrature."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, Line
from thalweg.guard import guarded
from thalweg.progress import Watcher, automatic
from thalweg.randomness import generator
from thalweg.results import Result
from thalweg.spectra.lanczos import Krylov
from thalweg.spectra.operator import Operator
from thalweg.spectra.result import Array, Estimate, Measurement
from thalweg.statistics import standard_error
from thalweg.statistics.student_t import reach

_GRID = 400
_WIDTH = 0.02  # of a bump in a figure, as a share of the spectrum's width


@dataclass(frozen=True, eq=False)
class SpectralDensity(Result):
    """The nodes and weights of a quadrature by each probe: sum over nodes of w f(lambda) is about tr f(A) / n.

    >>> import torch
    >>> import thalweg as tw
    >>> found = tw.spectra.density(tw.spectra.from_matrix(3 * torch.eye(4)), steps=2)
    >>> found.moment(2).mean.round(3).tolist()
    [9.0]

    Args:
        nodes: Ritz values in ascending order: (members, probes, steps); NaN where a probe ended before.
        weights: of each, summing to 1 over the nodes of a probe: (members, probes, steps).
        reading: "node" and "weight" (member, probe, place), and "active" (member), how many entries are.
    """

    nodes: Array = field(repr=False)
    weights: Array = field(repr=False)

    def moment(self, order: int) -> Estimate:
        """tr A^order / n: (members,)."""
        return _over_probes((self._mass * np.nan_to_num(self.nodes) ** order).sum(2))

    def cumulative(self, at: ArrayLike) -> Estimate:
        """The share of eigenvalues up to each point (points,): (members, points).

        It steps at the nodes by their weights, halfway up at a node itself.
        """
        points = np.asarray(at, dtype=np.float64)[:, None]
        below = (self.nodes[:, :, None] < points) + 0.5 * (self.nodes[:, :, None] == points)
        return _over_probes((below * self._mass[:, :, None]).sum(3))

    def smoothed(self, at: ArrayLike, width: float) -> Estimate:
        """The density at each point (points,), every node being a Gaussian bump: (members, points). Its integral is 1.

        Args:
            at: eigenvalues.
            width: standard deviation of a bump.

        Raises:
            UsageError: a width that is not above 0.
        """
        if not width > 0:
            msg = f"smoothed width must be above 0; got {width}."
            raise UsageError(msg)
        distance = (np.asarray(at, dtype=np.float64)[:, None] - np.nan_to_num(self.nodes)[:, :, None]) / width
        with np.errstate(under="ignore"):  # far from a bump there is nothing left of it
            bumps = np.exp(-0.5 * distance**2) / (width * (2 * np.pi) ** 0.5)
            weighed = (bumps * self._mass[:, :, None]).sum(3)
        return _over_probes(weighed)

    def figure(self, member: int = 0) -> Figure:
        """The density of one member on a log scale, with its 95 % band over probes, by Student's t.

        Raises:
            UsageError: no such member, or one that is not finite.
        """
        if not -len(self.nodes) <= member < len(self.nodes):
            msg = f"There is no member {member}; the density has {len(self.nodes)} (0 to {len(self.nodes) - 1})."
            raise UsageError(msg)
        nodes = self.nodes[member][np.isfinite(self.nodes[member])]
        if not len(nodes):
            msg = f"Member {member} is not finite, so it has no spectrum to draw."
            raise UsageError(msg)
        extent = max(nodes.max() - nodes.min(), 1e-12)
        at = np.linspace(nodes.min() - 0.1 * extent, nodes.max() + 0.1 * extent, _GRID)
        found = self.smoothed(at, _WIDTH * extent)
        mean, error = found.mean[member], found.standard_error[member]
        least = 0.1 / int(self.reading["active"][member]) / (_WIDTH * extent)
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
    def _mass(self) -> Array:
        """The weights, 0 where a probe ended before; NaN where a probe has no node, as its member is NaN."""
        none = np.isnan(self.nodes).all(2, keepdims=True)
        return np.where(none, np.nan, np.nan_to_num(self.weights))


@guarded
def density(
    A: Operator, *, steps: int = 60, probes: int = 4, seed: int = 0, progress: Watcher | None = automatic
) -> SpectralDensity:
    """How the eigenvalues of every member's matrix are distributed, by stochastic Lanczos quadrature.

    From a random v of length 1, Lanczos' method gives a T whose eigenvalues, with the squared first components of its
    eigenvectors as weights, are the quadrature of v^T f(A) v that is exact for polynomials up to degree 2 steps - 1;
    the mean over v is tr f(A) / n (Ubaru, Chen & Saad, 2017, doi:10.1137/16M1104974; Ghorbani et al., 2019,
    arXiv:1901.10159).

    >>> import torch
    >>> import thalweg as tw
    >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([0.0, 0.0, 1.0, 1.0])))
    >>> tw.spectra.density(A, steps=4, probes=50).cumulative([0.5]).mean.round(1).tolist()
    [[0.5]]

    Args:
        A: such as `curvature.hessian(problem, population)`.
        steps: of Lanczos' method, reorthogonalized in full: nodes a probe.
        probes: random vectors, shared by all members; from two on there are standard errors.
        seed: of the vectors.
        progress: told how far it is.

    Raises:
        UsageError: no step or no probe.

    Cost: steps x probes products. Memory: `steps` matrices (members, n).
    """
    measurement = Measurement("density", A, "spectral density", seed, progress)
    check_count("density steps", steps)
    check_count("density probes", probes)
    nodes, weights = np.full((2, len(A), probes, steps), np.nan)
    with measurement.watched():
        for probe in range(probes):
            krylov = Krylov(A, A.gaussian(generator(seed, "spectrum", probe)), seed=seed)
            while krylov.steps < steps and not krylov.full.all():
                krylov.extend()
                measurement.tell(probe * steps + krylov.steps, probes * steps)
            for member in range(len(A)):
                pairs = krylov.ritz(member)
                nodes[member, probe, : len(pairs.values)] = pairs.values
                weights[member, probe, : len(pairs.values)] = pairs.coefficients[0] ** 2
    dims = ("member", "probe", "place")
    reading = measurement.reading(
        {"node": nodes, "weight": weights, "active": A.active.sum(1).cpu().numpy()},
        {"node": dims, "weight": dims, "active": ("member",)},
        samples=probes,
        notes=(f"{probes} probes of {steps} steps.",),
    )
    return SpectralDensity(reading, nodes, weights)


def _over_probes(values: Array) -> Estimate:
    """Mean and standard error over the second axis."""
    return Estimate(values.mean(1), standard_error(values, axis=1))
