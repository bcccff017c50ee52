"""Eigenvalues and eigenvectors at the ends of the spectrum."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.guard import guarded
from thalweg.progress import Watcher, automatic
from thalweg.randomness import generator
from thalweg.results import Result
from thalweg.spectra.lanczos import Krylov
from thalweg.spectra.operator import Operator
from thalweg.spectra.result import Array, Measurement

ENDS = ("largest", "smallest", "magnitude")


@dataclass(frozen=True, eq=False)
class Eigenpairs(Result):
    """What `top_eigenvalues` found.

    >>> import torch
    >>> import thalweg as tw
    >>> found = tw.spectra.top_eigenvalues(tw.spectra.from_matrix(torch.eye(4)), 1)
    >>> found.values.round(3).tolist(), found.converged.tolist()
    ([[1.0]], [True])

    Args:
        values: the outermost first: (members, k); NaN where a member is not finite, or has fewer active entries.
        vectors: of length 1: (members, k, n).
        residuals: |A x - value x|: an eigenvalue lies at least that near to the value, and mostly much nearer, by the
            square of the residual over the gap to the next one: (members, k).
        converged: whether every residual of a member met the tolerance: (members,).
        reading: "eigenvalue" and "residual" (member, rank), and "converged" (member).
    """

    values: Array
    vectors: Float[Tensor, "members k n"] = field(repr=False)
    residuals: Array
    converged: NDArray[np.bool_]


@guarded
def top_eigenvalues(
    A: Operator,
    k: int = 5,
    *,
    which: str = "largest",
    tolerance: float = 1e-2,
    max_products: int = 200,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Eigenpairs:
    """The k outermost eigenvalues of every member's matrix, by Lanczos' method until they are accurate.

    >>> import torch
    >>> import thalweg as tw
    >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([3.0, 1.0, -7.0])))
    >>> tw.spectra.top_eigenvalues(A, 2)["eigenvalue"].round(3).tolist()
    [[3.0, 1.0]]

    Args:
        A: such as `curvature.hessian(problem, population)`.
        k: how many.
        which: "largest" (lambda_max first), "smallest" (the most negative first) or "magnitude" (|lambda|_max first).
            They differ where the most negative eigenvalue is the largest in magnitude.
        tolerance: stop where every residual is at most this share of its value, or of a thousandth of the value that is
            largest in magnitude where that is more.
        max_products: at most, and at least k; residuals and `converged` say how far it came.
        seed: of the first vector.
        progress: told how far it is; it may end before the announced total.

    Raises:
        UsageError: arguments that cannot be meant, or k beyond the number of active entries of every member.

    Cost: about 10 to 40 products, for all members at once. Memory: as many matrices (members, n). Of an eigenvalue that
    is repeated exactly, copies may be missed.

    References:
        Lanczos (1950), doi:10.6028/jres.045.026; Parlett (1998, The Symmetric Eigenvalue Problem), section 13.2, for
        residuals as bounds.
    """
    measurement = Measurement("top_eigenvalues", A, f"{which} eigenvalues", seed, progress)
    check_count("top_eigenvalues k", k)
    check_choice("top_eigenvalues which", which, ENDS)
    check_type("top_eigenvalues tolerance", tolerance, (int, float), "a share such as 0.01")
    if not tolerance > 0:
        msg = f"top_eigenvalues tolerance must be above 0; got {tolerance}."
        raise UsageError(msg)
    start = A.gaussian(generator(seed, "lanczos"))
    active = int((start != 0).sum(1).max())
    if k > active:
        msg = f"top_eigenvalues k must be at most the number of active {A.dimension}, {active}; got {k}."
        raise UsageError(msg)
    check_count("top_eigenvalues max_products", max_products, least=k)
    krylov = Krylov(A, start, seed=seed)
    with measurement.watched():
        for step in range(1, min(max_products, active) + 1):
            krylov.extend()
            measurement.tell(step, min(max_products, active))
            if step < k:
                continue
            chosen = [_chosen(krylov, member, k, which) for member in range(len(A))]
            values, residuals, floors = (np.array([one[place] for one in chosen]) for place in range(3))
            near = (residuals <= tolerance * floors) | krylov.full[:, None] | ~np.isfinite(values)
            if near.all():
                break
    vectors = start.new_full((len(A), k, A.shape[1]), torch.nan)
    for member, (*_, coefficients) in enumerate(chosen):
        vectors[member, : coefficients.shape[1]] = krylov.vectors(member, coefficients)
    converged = np.asarray(near.all(1) & np.isfinite(values).any(1))
    dims = ("member", "rank")
    reading = measurement.reading(
        {"eigenvalue": values, "residual": residuals, "converged": converged},
        {"eigenvalue": dims, "residual": dims, "converged": ("member",)},
        {"rank": np.arange(1, k + 1)},
        notes=(
            f"Lanczos' method, {measurement.products} products.",
            "An eigenvalue lies within the residual of each value.",
        ),
    )
    return Eigenpairs(reading, values, vectors, residuals, converged)


def _chosen(krylov: Krylov, member: int, k: int, which: str) -> tuple[Array, Array, Array, Array]:
    """The k outermost Ritz values, their residuals, what these are small against, and the coefficients (m, <= k).

    The first three are NaN beyond a space of fewer dimensions.
    """
    pairs = krylov.ritz(member)
    values = pairs.values
    order = {"largest": -values, "smallest": values, "magnitude": -np.abs(values)}[which].argsort(kind="stable")[:k]
    largest = np.abs(values).max(initial=0.0)
    found = np.full((3, k), np.nan)
    found[:, : len(order)] = values[order], pairs.residuals[order], np.maximum(np.abs(values[order]), 1e-3 * largest)
    return found[0], found[1], found[2], pairs.coefficients[:, order]
