"""Eigenvalues and eigenvectors at the ends of the spectrum."""

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.curvature.lanczos import Krylov
from thalweg.curvature.operator import SPOKEN, Operator
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.population import Population, Problem
from thalweg.progress import Progress, Watcher, ignore
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading

Array = NDArray[np.float64]
ENDS = ("largest", "smallest", "magnitude")


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """What `top_eigenvalues` found.

    Args:
        values: the outermost first: (members, k); NaN where a member is not finite, or has fewer parameters that live.
        vectors: of length 1: (members, k, parameters).
        residuals: |A x - value x|: an eigenvalue lies that near to the value, and mostly much nearer, by its square
            over the gap to the next one: (members, k).
        reading: values and residuals with cost and provenance.
    """

    values: NDArray[np.float64]
    vectors: Float[Tensor, "members k parameters"] = field(repr=False)
    residuals: NDArray[np.float64]
    reading: Reading


def top_eigenvalues(
    problem: Problem,
    population: Population,
    k: int = 5,
    *,
    which: str = "largest",
    matrix: str = "hessian",
    examples: ExampleSet | None = None,
    limit: int | None = None,
    scale: Tensor | None = None,
    tolerance: float = 1e-2,
    most: int = 200,
    seed: int = 0,
    progress: Watcher = ignore,
) -> Eigenpairs:
    """The k outermost eigenvalues of a curvature matrix of every member, by Lanczos' method until they are accurate.

    Args:
        problem, population, matrix, examples, limit, scale: see `Operator`.
        k: how many.
        which: "largest" (lambda_max first), "smallest" (the most negative first) or "magnitude" (|lambda|_max first):
            where the most negative is the longest, the last is not the first.
        tolerance: stop where every residual is at most this share of its value, or of a thousandth of the longest Ritz
            value where that is more.
        most: products at most, and at least k; the residuals say how far it came.
        seed: of the first vector.
        progress: told how far it is; fewer products than announced may do.

    Raises:
        UsageError: arguments that cannot be meant, or k beyond the number of parameters that live in any member.

    Cost: about 10 to 40 products (see `Operator`), for all members at once. Memory: as many matrices of theta's shape.
    Of an eigenvalue that is repeated exactly, copies may be missed.

    References:
        Parlett (1998, The Symmetric Eigenvalue Problem), section 13.2, for residuals as bounds.
    """
    check_count("top_eigenvalues k", k)
    check_count("top_eigenvalues most", most, least=k)
    check_choice("top_eigenvalues which", which, ENDS)
    check_type("top_eigenvalues seed", seed, int, "a whole number such as 0")
    check_type("top_eigenvalues tolerance", tolerance, (int, float), "a share such as 0.01")
    if not tolerance > 0:
        msg = f"top_eigenvalues tolerance must be above 0; got {tolerance}."
        raise UsageError(msg)
    began = time.perf_counter()
    operator = Operator(problem, population, matrix, examples, limit, scale)
    start = operator.gaussian(generator(seed, "lanczos"))
    living = int((start != 0).sum(1).max())
    if k > living:
        msg = f"top_eigenvalues k must be at most the number of parameters seen, {living}; got {k}."
        raise UsageError(msg)
    krylov = Krylov(operator, start, seed=seed)
    for step in range(1, min(most, living) + 1):
        krylov.extend()
        progress(Progress(f"eigenvalues of the {SPOKEN[matrix]}", step, min(most, living), time.perf_counter() - began))
        if step < k:
            continue
        chosen = [_chosen(krylov, member, k, which) for member in range(len(population))]
        values, residuals, floors = (np.array([one[place] for one in chosen]) for place in range(3))
        if ((residuals <= tolerance * floors) | krylov.full[:, None] | ~np.isfinite(values)).all():
            break
    stacked = population.theta.new_full((len(population), k, operator.shape[1]), torch.nan)
    for member, (*_, coefficients) in enumerate(chosen):
        stacked[member, : coefficients.shape[1]] = krylov.vectors(member, coefficients)
    dims = ("member", "rank")
    reading = Reading(
        f"{which} eigenvalues of the {SPOKEN[matrix]}",
        {"eigenvalue": values, "residual": residuals},
        {"eigenvalue": dims, "residual": dims},
        {"member": np.arange(len(population)), "rank": np.arange(1, k + 1)},
        sample_size=operator.count,
        cost=Cost(time.perf_counter() - began, hvps=operator.products * len(population)),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(
            f"Lanczos' method, {operator.products} products on {operator.count} examples, in evaluation mode.",
            "An eigenvalue lies within the residual of each value.",
            *operator.notes,
        ),
    )
    return Eigenpairs(values, stacked, residuals, reading)


def _chosen(krylov: Krylov, member: int, k: int, which: str) -> tuple[Array, Array, Array, Array]:
    """The k outermost Ritz values, their residuals, what these are small against, and the coefficients (m, <= k).

    The first three are NaN beyond a space of fewer dimensions.
    """
    values, vectors, residuals = krylov.ritz(member)
    order = {"largest": -values, "smallest": values, "magnitude": -np.abs(values)}[which].argsort(kind="stable")[:k]
    longest = np.abs(values).max(initial=0.0)
    found = np.full((3, k), np.nan)
    found[:, : len(order)] = values[order], residuals[order], np.maximum(np.abs(values[order]), 1e-3 * longest)
    return found[0], found[1], found[2], vectors[:, order]
