"""The index of a matrix: which share of its eigenvalues are negative."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from thalweg.errors import UsageError, check_count, check_type
from thalweg.guard import guarded
from thalweg.progress import Watcher, automatic
from thalweg.results import Result
from thalweg.spectra.density import density
from thalweg.spectra.matrix import within
from thalweg.spectra.operator import Operator
from thalweg.spectra.result import Array, Measurement
from thalweg.statistics import standard_error

_SHARES = ("negative", "near zero")


@dataclass(frozen=True, eq=False)
class NegativeIndex(Result):
    """What `negative_index` found.

    Args:
        reading: "negative", "near zero", "smallest eigenvalue" and "largest eigenvalue" (member), the shares with
            standard errors; NaN where a member is not finite.
    """


@guarded
def negative_index(
    A: Operator,
    *,
    threshold: float | None = None,
    dense_up_to: int = 1_000,
    steps: int = 60,
    probes: int = 4,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> NegativeIndex:
    """The share of negative eigenvalues of every member's matrix, on its active entries.

        negative = #{lambda < -threshold |lambda|_max} / n,    near zero = #{|lambda| <= threshold |lambda|_max} / n

    At a critical point of a loss, the first is 0 at a minimum and 1 at a maximum (Dauphin et al., 2014,
    arXiv:1406.2572). Up to `dense_up_to` active entries the matrix is written down and both are exact; beyond, they are
    estimated by the quadrature of `density`, with standard errors over probes, and the extreme eigenvalues are bounds
    from inside.

    >>> import torch
    >>> import thalweg as tw
    >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([-2.0, 0.0, 1.0, 3.0])))
    >>> tw.spectra.negative_index(A)["negative"].tolist()
    [0.25]

    Args:
        A: such as `curvature.hessian(problem, population)`.
        threshold: below which an eigenvalue counts as zero, as a share of the one that is largest in magnitude. None is
            the root of the precision: 1.5e-8 in float64, 3.4e-4 in float32, far above what rounding leaves of a zero.
        dense_up_to: how many active entries, at most, by the dense matrix.
        steps, probes: of the quadrature; it tells eigenvalues apart down to about the spectrum's width / steps.
        seed: of the probes.
        progress: told how far it is.

    Raises:
        UsageError: a threshold outside 0 to 1, or arguments that cannot be meant.

    Cost: one product for each active entry, or steps x probes. Memory: the dense matrices of as many members
    at once as fit the operator's memory budget, or `steps` matrices (members, n).
    """
    measurement = Measurement("negative_index", A, "negative index", seed, progress)
    check_count("negative_index dense_up_to", dense_up_to, 0)
    check_count("negative_index steps", steps)
    check_count("negative_index probes", probes)
    cut = torch.finfo(A.dtype).eps ** 0.5 if threshold is None else threshold
    check_type("negative_index threshold", cut, (int, float), "a share of the largest eigenvalue such as 1e-6")
    if not 0 <= cut < 1:
        msg = f"negative_index threshold must be at least 0 and below 1; got {threshold}."
        raise UsageError(msg)
    size = int(A.active.any(0).sum())
    exact = size <= dense_up_to
    if exact:
        with measurement.watched():
            spectra, products = _all_eigenvalues(A, size, measurement)
        weights = np.isfinite(spectra).astype(np.float64)
        how = f"From the dense matrix of {size} active {A.dimension}."
    else:
        found = density(A, steps=steps, probes=probes, seed=seed, progress=progress)
        spectra, weights, products = found.nodes, np.nan_to_num(found.weights), found.reading.cost.hvps
        how = f"By Lanczos quadrature, {probes} probes of {steps} steps for {size} active {A.dimension}."
    finite = np.asarray(np.isfinite(spectra).any((1, 2)))
    values = np.where(finite[:, None, None], spectra, 0)
    ends = np.nanmin(values, (1, 2)), np.nanmax(values, (1, 2))
    zero = cut * np.maximum(-ends[0], ends[1])[:, None, None]
    inside = {"negative": spectra < -zero, "near zero": np.abs(spectra) <= zero}
    total = np.where(finite[:, None], weights.sum(2), 1)
    each = {name: (weights * chosen).sum(2) / total for name, chosen in inside.items()}
    arrays = {name: each[name].mean(1) for name in _SHARES}
    arrays |= {"smallest eigenvalue": ends[0], "largest eigenvalue": ends[1]}
    return NegativeIndex(
        measurement.reading(
            {name: np.where(finite, array, np.nan) for name, array in arrays.items()},
            dict.fromkeys(arrays, ("member",)),
            standard_errors={name: np.where(finite, _error(each[name], exact=exact), np.nan) for name in _SHARES},
            samples=None if exact else probes,
            notes=(how, f"An eigenvalue within {cut:.2g} of the largest in magnitude counts as zero."),
            hvps=products,
        )
    )


def _all_eigenvalues(A: Operator, size: int, measurement: Measurement) -> tuple[Array, int]:
    """All eigenvalues on what is active, as of one probe: (members, 1, size), NaN behind; and products of all."""
    spectra, products = np.full((len(A), 1, size), np.nan), 0
    for rows, part in _parts(A, size):
        before = part.products
        matrices, active = within(part), part.active
        products += (part.products - before) * len(part)
        columns = active.any(0)
        for member, (matrix, mine) in enumerate(zip(matrices, active[:, columns], strict=True), start=rows.start):
            if matrix.isfinite().all():
                values = torch.linalg.eigvalsh(matrix[mine][:, mine].double())
                spectra[member, 0, : len(values)] = values.cpu().numpy()
        measurement.tell(rows.stop, len(A))
    return spectra, products


def _parts(A: Operator, size: int) -> Iterator[tuple[slice, Operator]]:
    """The operator of as many members at once as have their matrices within its memory budget."""
    rows = max(1, min(len(A), A.memory_budget // max(1, 3 * size**2 * torch.finfo(A.dtype).bits // 8)))
    for start in range(0, len(A), rows):
        part = slice(start, min(start + rows, len(A)))
        yield part, A if rows == len(A) else A[part]


def _error(each: Array, *, exact: bool) -> Array:
    """The standard error over probes (members, probes): 0 of what is exact, NaN of a single probe."""
    return np.zeros(len(each)) if exact else standard_error(each)
