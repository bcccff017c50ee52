"""Linear systems of a kernel that is known by its products: conjugate gradients behind a random sketch."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import UsageError, check_count, check_type
from thalweg.figures import Axis, Figure, Line, ReferenceLine, Scatter
from thalweg.guard import guarded
from thalweg.ntk.nystroem import Sketch, sketched
from thalweg.progress import Watcher, automatic
from thalweg.results import Result
from thalweg.spectra import Operator
from thalweg.spectra.result import Measurement
from thalweg.spectra.symmetry import Vectors

_WORTH_RESTARTING = 0.5  # of the residual before, at most, that a restart must leave for another


@dataclass(frozen=True, eq=False)
class Solution(Result):
    """What `solve` found.

    Args:
        vectors: x, on the operator's device: (members, n); 0 where A does not act, NaN where a member is not finite.
        converged: whether the residual of a member met the tolerance: (members,).
        reading: "residual" (member), |b - (A + ridge) x| / |b|, computed anew from x; "iterations" (member);
            "converged" (member); "residual by iteration" (member, iteration), as the recursion has it, NaN after a
            member's last; "sketched eigenvalue" (member, rank), those that the preconditioner knows.
    """

    vectors: Vectors = field(repr=False)
    converged: NDArray[np.bool_]

    def figure(self) -> Figure:
        """The residual of every member over the iterations, and the one computed anew at the end."""
        table = self["residual by iteration"]
        at = self.reading.coordinate("iteration")
        label = "member {}" if len(table) > 1 else ""
        lines = [Line(at, np.where(row > 0, row, np.nan), label=label.format(i)) for i, row in enumerate(table)]
        true = self["residual"]
        last = np.array([np.flatnonzero(np.isfinite(row)).max(initial=-1) + 1.0 for row in table])
        anew = Scatter(last, np.where(true > 0, true, np.nan), label="computed anew")
        goal = float(self["tolerance"])
        return Figure.of(
            self.reading.name,
            (*(lines if len(at) else ()), anew, ReferenceLine(goal, label="tolerance")),
            Axis("iteration"),
            Axis("residual, as a share of the right-hand side", scale="log"),
            caption=" ".join(self.reading.notes),
        )


@guarded
def solve(
    A: Operator,
    targets: Float[Tensor, "*members n"],
    *,
    ridge: float,
    rank: int = 20,
    tolerance: float = 1e-5,
    max_iterations: int = 500,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Solution:
    """x of (A + ridge) x = b for every member, A being positive semi-definite and known by its products.

    Conjugate gradients, whose iterations grow with the root of the condition number, behind the preconditioner of a
    random sketch: A is about U diag(lambda) U^T by `rank` products (see Frangella et al.), and

        P^(-1) = (lambda_rank + ridge) U (lambda + ridge)^(-1) U^T + (I - U U^T)

    takes the eigenvalues above lambda_rank out of the condition number, of which about (lambda_rank + ridge) /
    (lambda_min + ridge) is left. Where the recursion's residual is small and the true one is not, by rounding, it
    begins anew from there as long as that helps.

    >>> import torch
    >>> import thalweg as tw
    >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([100.0, 10.0, 1.0])))
    >>> found = tw.ntk.solve(A, torch.ones(3), ridge=1.0, rank=2)
    >>> (1 / found.vectors[0]).round(decimals=2).tolist(), found.converged.tolist()
    ([101.0, 11.0, 2.0], [True])

    Args:
        A: such as `operator(problem, population)`.
        targets: b: (members, n), or (n,) for all members; where A does not act it counts as 0.
        ridge: added to the diagonal, not negative; with 0 a singular A has a solution only for some b.
        rank: columns of the sketch; 0 is none, plain conjugate gradients; at most as many as there are active entries.
        tolerance: of the residual, as a share of |b|.
        max_iterations: at most.
        seed: of the sketch.
        progress: told how far it is; it may end before the announced total.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: rank + iterations + 2 products. Memory: `rank` matrices (members, n), four times over while it is sketched.

    References:
        Frangella, Tropp & Udell (2021), arXiv:2110.02820; Hestenes & Stiefel (1952), doi:10.6028/jres.049.044.
    """
    measurement = Measurement("solve", A, "solution", seed, progress)
    b = _checked(A, targets, ridge, tolerance)
    check_count("solve rank", rank, 0)
    check_count("solve max_iterations", max_iterations)
    rank = min(rank, int(A.active.sum(1).min()))
    total = rank + max_iterations
    with measurement.watched():
        sketch = sketched(A, rank, seed, lambda done: measurement.tell(done, total))
        search = _Search(A, b, float(ridge), sketch, float(tolerance))
        while search.restart():
            while bool(search.searching.any()) and len(search.history) < max_iterations:
                search.step()
                measurement.tell(rank + len(search.history), total)
            if len(search.history) >= max_iterations:
                search.restart()  # for the residual of where it ended
                break
    residual = search.residual.cpu().numpy()
    converged = residual <= tolerance
    history = torch.stack(search.history, dim=1).cpu().numpy() if search.history else np.empty((len(A), 0))
    arrays = {
        "residual": residual,
        "iterations": search.iterations.cpu().numpy(),
        "converged": converged,
        "residual by iteration": history,
        "sketched eigenvalue": sketch.values.cpu().numpy(),
        "tolerance": tolerance,
    }
    dims = {"residual by iteration": ("member", "iteration"), "sketched eigenvalue": ("member", "rank")}
    short = "" if converged.all() else f"{int((~converged).sum())} of {len(A)} did not come to {tolerance:g}."
    work = f"{measurement.products} products, ridge {ridge:g}, sketch of rank {rank}."
    reading = measurement.reading(
        arrays,
        {name: dims.get(name, ("member",)) for name in arrays if name != "tolerance"},
        {"iteration": np.arange(1, history.shape[1] + 1), "rank": np.arange(1, rank + 1)},
        notes=(f"Conjugate gradients: {work}", *([short] if short else [])),
    )
    vectors = (search.x * A.active).masked_fill(search.residual.isnan()[:, None], torch.nan)
    return Solution(reading, vectors, converged)


class _Search:
    """Preconditioned conjugate gradients for all members at once; one that is done, or that cannot go on, stays.

    Attributes:
        x: so far: (members, n).
        residual: |b - (A + ridge) x| / |b| where it was computed last: (members,).
        searching: who goes on: (members,).
        iterations: of each: (members,).
        history: the recursion's residual after each step, NaN of those who did not take part: (members,) each.
    """

    def __init__(self, A: Operator, b: Vectors, ridge: float, sketch: Sketch, tolerance: float) -> None:
        self.A, self.b, self.ridge, self.sketch, self.tolerance = A, b, ridge, sketch, tolerance
        self.size = _dot(b, b).sqrt()
        self.x, self.history = torch.zeros_like(b), []
        self.residual = torch.full_like(self.size, torch.inf)
        self.iterations = torch.zeros(len(b), dtype=torch.int64, device=b.device)

    def restart(self) -> bool:
        """Begin from x with the residual computed anew; whether somebody goes on: whom the last start brought near."""
        self.rest = self.b - self._product(self.x)
        before, self.residual = self.residual, self._share(self.rest)
        self.searching = (self.residual > self.tolerance) & (self.residual < _WORTH_RESTARTING * before)
        self.direction = self.sketch.precondition(self.rest, self.ridge)
        self.inner = _dot(self.rest, self.direction)
        return bool(self.searching.any())

    def step(self) -> None:
        """One product."""
        image = self._product(self.direction)
        curvature = _dot(self.direction, image)
        going = self.searching & (curvature > 0) & (self.inner > 0)  # NaN is not above 0
        length = torch.where(going, self.inner / curvature, 0.0)[:, None].to(self.x)
        self.x = torch.where(going[:, None], self.x + length * self.direction, self.x)
        self.rest = torch.where(going[:, None], self.rest - length * image, self.rest)
        ahead = self.sketch.precondition(self.rest, self.ridge)
        inner = _dot(self.rest, ahead)
        turn = torch.where(going, inner / self.inner, 0.0)[:, None].to(self.x)
        self.direction, self.inner = ahead + turn * self.direction, inner
        share = self._share(self.rest)
        self.iterations += going
        self.history.append(share.masked_fill(~going, torch.nan))
        self.searching = going & (share > self.tolerance)

    def _product(self, vectors: Vectors) -> Vectors:
        return self.A(vectors) + self.ridge * vectors

    def _share(self, vectors: Vectors) -> Float[Tensor, " members"]:
        length = _dot(vectors, vectors).sqrt()
        return torch.where(self.size > 0, length / self.size.clamp_min(torch.finfo(torch.float64).tiny), length)


def _checked(A: Operator, targets: Tensor, ridge: float, tolerance: float) -> Vectors:
    """The right-hand side, one row a member."""
    check_type("solve ridge", ridge, (int, float), "a number such as 1e-3")
    check_type("solve tolerance", tolerance, (int, float), "a share such as 1e-5")
    if not 0 <= ridge < math.inf or not 0 < tolerance < math.inf:
        msg = f"solve ridge must be finite and not negative, and tolerance above 0; got {ridge} and {tolerance}."
        raise UsageError(msg)
    check_type("solve targets", targets, Tensor, f"a tensor ({A.shape[1]},) or {A.shape}")
    if tuple(targets.shape) not in ((A.shape[1],), A.shape) or not bool(targets.isfinite().all()):
        msg = f"solve targets must be finite, of shape ({A.shape[1]},) or {A.shape}; got {tuple(targets.shape)}."
        raise UsageError(msg)
    return targets.to(A.device, A.dtype).expand(A.shape) * A.active


def _dot(x: Vectors, y: Vectors) -> Float[Tensor, " members"]:
    return (x.double() * y).sum(1)
