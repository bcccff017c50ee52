"""Both ends of a kernel's spectrum, and its condition number, from one Krylov space."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_count, check_type
from thalweg.figures import Axis, Bars, Figure
from thalweg.guard import guarded
from thalweg.progress import Watcher, automatic
from thalweg.randomness import generator
from thalweg.results import Result
from thalweg.spectra import Krylov, Operator
from thalweg.spectra.result import Measurement


@dataclass(frozen=True, eq=False)
class Extremes(Result):
    """What `extremes` found.

    Args:
        reading: "largest" and "smallest" (member) eigenvalue, "largest residual" and "smallest residual", |A x - value
            x|: an eigenvalue lies at least that near to the value; "log10 condition number", of largest / smallest;
            "singular to working precision", where the smallest is below rounding, and that number is a lower bound of
            what it would be; "converged". NaN where a member is not finite.
        converged: whether both ends of a member met the tolerance: (members,).
    """

    converged: NDArray[np.bool_]

    def figure(self) -> Figure:
        """log10 of the condition number of every member."""
        values = self["log10 condition number"]
        bars = Bars([f"{member}" for member in range(len(values))], values)
        axis = Axis("log10 of largest / smallest eigenvalue")
        return Figure.of(self.reading.name, (bars,), Axis("member"), axis, caption=" ".join(self.reading.notes))


@guarded
def extremes(
    A: Operator,
    *,
    tolerance: float = 1e-2,
    max_products: int = 1_000,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Extremes:
    """The largest and the smallest eigenvalue of every member's matrix, by Lanczos' method until both are accurate.

    One Krylov space serves both. The smallest of a kernel is small beside the largest, so it is held to a share of
    itself, not of the largest, down to rounding: n eps lambda_max, n being the number of active entries.

    >>> import torch
    >>> import thalweg as tw
    >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([1000.0, 10.0, 5.0, 1.0])))
    >>> found = tw.ntk.extremes(A)
    >>> found["log10 condition number"].round(3).tolist(), found.converged.tolist()
    ([3.0], [True])

    Args:
        A: such as `operator(problem, population)`.
        tolerance: stop where each residual is at most this share of its value.
        max_products: at most; the whole space is spanned by as many as there are active entries.
        seed: of the first vector.
        progress: told how far it is; it may end before the announced total.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: products; often 20 for the largest, and for the smallest some times the root of the condition number, at most
    one for each active entry. Memory: as many matrices (members, n).

    References:
        Lanczos (1950), doi:10.6028/jres.045.026.
    """
    measurement = Measurement("extremes", A, "ends of the spectrum", seed, progress)
    check_type("extremes tolerance", tolerance, (int, float), "a share such as 0.01")
    if not tolerance > 0:
        msg = f"extremes tolerance must be above 0; got {tolerance}."
        raise UsageError(msg)
    check_count("extremes max_products", max_products)
    start = A.gaussian(generator(seed, "lanczos"))
    active = int((start != 0).sum(1).max())
    krylov, most = Krylov(A, start, seed=seed), min(max_products, active)
    floor = active * torch.finfo(A.dtype).eps
    look = 0
    with measurement.watched():
        for step in range(1, most + 1):
            krylov.extend()
            measurement.tell(step, most)
            if step < look and step < most:  # the small eigenproblems cost more than a product of a small kernel
                continue
            look = step + max(1, step // 8)
            found = np.array([_ends(krylov, member) for member in range(len(A))])
            low, low_residual, high, high_residual = found.T
            rounding = floor * np.maximum(np.abs(low), np.abs(high))
            near = low_residual <= np.maximum(tolerance * np.abs(low), rounding)
            near &= high_residual <= np.maximum(tolerance * np.abs(high), rounding)
            near |= krylov.full | (step == active)
            if (near | ~np.isfinite(low)).all():
                break
    singular = low <= rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        condition = np.log10(high / np.maximum(low, rounding))
    condition[~(high > 0)] = np.nan
    converged = np.asarray(near & np.isfinite(low))
    arrays = {
        "largest": high,
        "smallest": low,
        "largest residual": high_residual,
        "smallest residual": low_residual,
        "log10 condition number": condition,
        "singular to working precision": singular,
        "converged": converged,
    }
    reading = measurement.reading(
        arrays,
        dict.fromkeys(arrays, ("member",)),
        notes=(f"Lanczos' method, {measurement.products} products.", *_said(singular)),
    )
    return Extremes(reading, converged)


def _ends(krylov: Krylov, member: int) -> tuple[float, float, float, float]:
    """The smallest Ritz value and its residual, the largest and its residual."""
    pairs = krylov.ritz(member)
    return pairs.values[0], pairs.residuals[0], pairs.values[-1], pairs.residuals[-1]


def _said(singular: NDArray[np.bool_]) -> tuple[str, ...]:
    if not singular.any():
        return ()
    return (f"{int(singular.sum())} of {len(singular)} are singular to working precision.",)
