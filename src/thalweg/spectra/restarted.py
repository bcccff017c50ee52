"""The largest eigenvalue of a matrix that moves little by little, sought from the vectors of an earlier search."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from thalweg.randomness import generator
from thalweg.spectra.operator import Operator
from thalweg.spectra.symmetry import Vectors

Basis = Float[Tensor, "members vectors n"]
KEPT = 3  # vectors that a later search begins with: those next to the largest may pass it
_CERTAIN = 2  # of them that may leave no room above the largest


@dataclass(frozen=True, eq=False)
class Uppermost:
    """What `largest_from` found; NaN where a member is not finite.

    Args:
        values: lambda_max: (members,).
        residuals: |A x - value x|: (members,).
        products: that each member took: (members,).
        converged: whether the search ended by its own rule, not by `max_products`: (members,).
        vectors: to begin a later search with: (members, vectors, n).
    """

    values: Float[Tensor, " members"]
    residuals: Float[Tensor, " members"]
    products: Int64[Tensor, " members"]
    converged: Bool[Tensor, " members"]
    vectors: Basis


def random_basis(A: Operator, seed: int, counter: int) -> Basis:
    """Vectors to begin with, the same for every member, as many as its active entries allow."""
    draws = [A.gaussian(generator(seed, f"tracker, {place}", counter)) for place in range(KEPT)]
    active = max(1, int((draws[0] != 0).sum(1).min()))
    return torch.stack(draws[:active], dim=1)


def largest_from(
    A: Operator,
    basis: Basis,
    *,
    before: Float[Tensor, " members"],
    random: bool,
    spare: Vectors,
    tolerance: float,
    max_products: int,
) -> Uppermost:
    """The algebraically largest eigenvalue of every member's matrix, sought from a few vectors.

    Ritz pairs (theta_i, x_i) are sought in a space that grows by a residual A x_i - theta_i x_i at a time, that which
    reaches highest, until the first two leave no room above:

        theta_i + |A x_i - theta_i x_i| <= theta_1 + tolerance |theta_1|    for i = 1, 2

    It grows at least once. Where the basis is random, or the result falls by more than the tolerance below `before`,
    all pairs are held to a tenth of the tolerance. A member that is done stays as it is while others go on, so that it
    does not depend on them.

    Args:
        A: the matrices.
        basis: to begin with, of full rank.
        before: lambda_max at the last search; NaN where there was none.
        random: whether the basis says nothing of A.
        spare: a direction to go on with where residuals vanish.
        tolerance: a share of lambda_max, or of a thousandth of the eigenvalue that is largest in magnitude.
        max_products: at most, or as many as the basis has vectors.
    """
    members, size = basis.shape[:2]
    basis = kept = torch.linalg.qr(basis.mT)[0].mT
    images = torch.stack([A(basis[:, place]) for place in range(size)], dim=1)
    values, residuals = torch.full((2, members), torch.nan, dtype=torch.float64)
    products, converged = torch.full((members,), size), torch.zeros(members, dtype=torch.bool)
    searching, taken = torch.ones(members, dtype=torch.bool), size
    while True:
        matrix = (basis @ images.mT).double().cpu()
        searching = searching & torch.isfinite(matrix).all(2).all(1)
        theta, shares = torch.linalg.eigh((matrix + matrix.mT).masked_fill(~searching[:, None, None], 0) / 2)
        theta, shares = theta.flip(1), shares.flip(2).mT[:, :size].to(basis)  # the uppermost first
        vectors = shares @ basis
        rests = (shares @ images).addcmul_(vectors, theta[:, :size, None].to(basis), value=-1)
        lengths = torch.linalg.vector_norm(rests, dim=2).double().cpu()
        strictly = (theta[:, 0] < before - tolerance * before.abs()) | random
        room = torch.where(strictly, tolerance / 10, tolerance)
        room *= torch.maximum(theta[:, 0].abs(), 1e-3 * theta.abs().amax(1))
        above = theta[:, :size] + lengths - theta[:, :1]
        above[~strictly, _CERTAIN:] = -torch.inf
        near = (above <= room[:, None]).all(1)
        chosen = torch.where(near, size - 1, above.argmax(1))
        direction = _beside(basis, rests[torch.arange(members), chosen], spare)
        complete = (direction == 0).all(1).cpu()
        enough = near & (basis.shape[1] > size)
        done = searching & (enough | complete | (taken >= max_products))
        values[done], residuals[done], products[done] = theta[done, 0], lengths[done, 0], taken
        converged |= done & (near | complete)
        kept = torch.where(done[:, None, None].to(kept.device), vectors, kept)
        searching = searching & ~done
        if not searching.any():
            return Uppermost(values, residuals, products, converged, kept)
        direction = direction.masked_fill(~searching[:, None].to(direction.device), 0)
        basis = torch.cat([basis, direction[:, None]], dim=1)
        images, taken = torch.cat([images, A(direction)[:, None]], dim=1), taken + 1


def _beside(basis: Basis, rest: Vectors, spare: Vectors) -> Vectors:
    """The direction of `rest` outside of the basis, that of `spare` where it has none, and 0 where nothing is left."""
    found = _outside(basis, rest)
    none = (found == 0).all(1, keepdim=True)
    return torch.where(none, _outside(basis, spare), found) if none.any() else found


def _outside(basis: Basis, vectors: Vectors) -> Vectors:
    """Vectors of length 1 made orthogonal to the basis, twice; 0 where less than a thousandth is left."""
    lost = torch.zeros(len(vectors), 1, dtype=torch.bool, device=vectors.device)
    vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    for _ in range(2):
        vectors = vectors - (basis.mT @ (basis @ vectors.unsqueeze(2))).squeeze(2)
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        lost |= ~(length > 1e-3)
        vectors = vectors / length
    return vectors.masked_fill(lost, 0)
