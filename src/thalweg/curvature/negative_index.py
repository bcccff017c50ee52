"""The index of a point: which share of the directions curve downwards."""

import time
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.curvature.operator import Operator
from thalweg.curvature.spectrum import spectrum
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.population import Population, Problem
from thalweg.progress import Progress, Watcher, ignore
from thalweg.results import Cost, Provenance, Reading

Array = NDArray[np.float64]
_SHARES = ("negative", "near zero")


def negative_index(
    problem: Problem,
    population: Population,
    *,
    threshold: float | None = None,
    dense_up_to: int = 1_000,
    steps: int = 60,
    probes: int = 4,
    examples: ExampleSet | None = None,
    limit: int | None = None,
    scale: Tensor | None = None,
    seed: int = 0,
    progress: Watcher = ignore,
) -> Reading:
    """The share of negative eigenvalues of the Hessian of every member, on the parameters that live.

        negative = #{lambda < -threshold |lambda|_max} / n,    near zero = #{|lambda| <= threshold |lambda|_max} / n

    At a critical point the first is 0 at a minimum and 1 at a maximum (Dauphin et al., 2014, arXiv:1406.2572). Up to
    `dense_up_to` parameters the matrix is written down and both are exact; beyond, they are estimated by the
    quadrature of `spectrum`, with standard errors over probes, and the extreme eigenvalues are bounds from inside.

    Args:
        problem, population, examples, limit, scale: see `Operator`.
        threshold: below which an eigenvalue counts as zero, by the longest one. None is the root of the precision:
            1.5e-8 in float64, 3.4e-4 in float32, far above what rounding leaves of a zero.
        dense_up_to: so many parameters at most by the dense matrix.
        steps, probes: of the quadrature; it tells eigenvalues apart down to about the length of the spectrum / steps.
        seed: of the probes.
        progress: told how far it is.

    Returns:
        "negative", "near zero", "smallest eigenvalue" and "largest eigenvalue" (member); NaN where a member is not
        finite.

    Raises:
        UsageError: a threshold outside 0 to 1, or arguments that cannot be meant.

    Cost: one product a parameter, or steps x probes. Memory: parameters^2 numbers a member, of so many members at once
    as fit the problem's memory budget, or `steps` matrices of theta's shape.
    """
    check_count("negative_index dense_up_to", dense_up_to, 0)
    check_count("negative_index steps", steps)
    check_count("negative_index probes", probes)
    check_type("negative_index seed", seed, int, "a whole number")
    cut = torch.finfo(problem.dtype).eps ** 0.5 if threshold is None else threshold
    check_type("negative_index threshold", cut, (int, float), "a share of the longest eigenvalue such as 1e-6")
    if not 0 <= cut < 1:
        msg = f"negative_index threshold must be at least 0 and below 1; got {threshold}."
        raise UsageError(msg)
    began = time.perf_counter()
    operator = Operator(problem, population, "hessian", examples, limit, scale)
    size, count = int(operator.seen.any(0).sum()), operator.count
    if size <= dense_up_to:
        spectra, products = _spectra(operator, size, progress)
        weights = np.isfinite(spectra).astype(np.float64)
        how = f"From the dense matrix of {size} parameters"
    else:
        del operator  # and the graphs it keeps
        found = spectrum(
            problem,
            population,
            steps=steps,
            probes=probes,
            examples=examples,
            limit=limit,
            scale=scale,
            seed=seed,
            progress=progress,
        )
        spectra, weights, products = found.nodes, np.nan_to_num(found.weights), found.reading.cost.hvps
        how = f"By Lanczos quadrature, {probes} probes of {steps} steps for {size} parameters"
    finite = np.asarray(np.isfinite(spectra).any((1, 2)))
    values = np.where(finite[:, None, None], spectra, 0)
    ends = np.nanmin(values, (1, 2)), np.nanmax(values, (1, 2))
    zero = cut * np.maximum(-ends[0], ends[1])[:, None, None]
    inside = {"negative": spectra < -zero, "near zero": np.abs(spectra) <= zero}
    total = np.where(finite[:, None], weights.sum(2), 1)
    each = {name: (weights * chosen).sum(2) / total for name, chosen in inside.items()}
    arrays = {name: each[name].mean(1) for name in _SHARES}
    arrays |= {"smallest eigenvalue": ends[0], "largest eigenvalue": ends[1]}
    return Reading(
        "negative index of the Hessian",
        {name: np.where(finite, array, np.nan) for name, array in arrays.items()},
        dict.fromkeys(arrays, ("member",)),
        {"member": np.arange(len(population))},
        standard_errors={name: _error(each[name], exact=size <= dense_up_to) for name in _SHARES},
        sample_size=count,
        cost=Cost(time.perf_counter() - began, hvps=products),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(
            f"{how}, on {count} examples, in evaluation mode.",
            f"What is within {cut:.2g} of the longest eigenvalue counts as zero.",
        ),
    )


def dense(operator: Operator) -> Float[Tensor, "members parameters parameters"]:
    """The matrix of every member, column by column: A e_j for all j that some member sees; symmetrized.

    Cost: a product for each of these. Memory: parameters^2 numbers a member.
    """
    members, parameters = operator.shape
    matrix = operator.population.theta.new_zeros(members, parameters, parameters)
    for column in operator.seen.any(0).nonzero().flatten().tolist():
        unit = torch.zeros_like(operator.population.theta)
        unit[:, column] = 1
        matrix[:, column] = operator(unit)
    return (matrix + matrix.mT) / 2


def _spectra(operator: Operator, size: int, progress: Watcher) -> tuple[Array, int]:
    """All eigenvalues on what is seen, as of one probe: (members, 1, size), NaN behind; and products of all members."""
    began, members = time.perf_counter(), len(operator.population)
    spectra, products = np.full((members, 1, size), np.nan), 0
    for rows, part in _parts(operator):
        matrices, seen = dense(part), part.seen
        products += part.products * len(matrices)
        for member, (matrix, alive) in enumerate(zip(matrices, seen, strict=True), start=rows.start):
            if matrix.isfinite().all():
                values = torch.linalg.eigvalsh(matrix[alive][:, alive].double())
                spectra[member, 0, : len(values)] = values.cpu().numpy()
        progress(Progress("index of the Hessian", rows.stop, members, time.perf_counter() - began))
    return spectra, products


def _parts(operator: Operator) -> Iterator[tuple[slice, Operator]]:
    """The operator on so many members at once as have their matrices within the memory budget."""
    members, parameters = operator.shape
    problem, population, scale = operator.problem, operator.population, operator.scale
    rows = max(1, min(members, problem.memory_budget // (3 * parameters**2 * population.theta.element_size())))
    if rows == members:
        yield slice(0, members), operator
        return
    for start in range(0, members, rows):
        part = slice(start, min(start + rows, members))
        inside = None if scale is None else scale[part]
        yield part, Operator(problem, population[part], operator.matrix, operator.examples, operator.limit, inside)


def _error(each: Array, *, exact: bool) -> Array:
    """The standard error over probes (members, probes): 0 of what is exact, NaN of a single probe."""
    if exact:
        return np.zeros(len(each))
    probes = each.shape[1]
    return each.std(1, ddof=1) / probes**0.5 if probes > 1 else np.full(len(each), np.nan)
