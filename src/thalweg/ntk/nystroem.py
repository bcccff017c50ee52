"""A random sketch of a positive semi-definite matrix, and the preconditioner that it makes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.randomness import generator
from thalweg.spectra import Operator
from thalweg.spectra.symmetry import Vectors


@dataclass(frozen=True, eq=False)
class Sketch:
    """U diag(lambda) U^T, the Nystroem approximation of every member's A.

    Args:
        basis: U^T, rows of length 1: (members, rank, n).
        values: lambda, descending: (members, rank).
    """

    basis: Float[Tensor, "members rank n"]
    values: Float[Tensor, "members rank"]

    def precondition(self, vectors: Vectors, ridge: float) -> Vectors:
        """P^(-1) v for P^(-1) = (lambda_rank + ridge) U (lambda + ridge)^(-1) U^T + (I - U U^T).

        Values that rounding leaves of 0 count as n eps lambda_1, so that without a ridge nothing is divided by 0.
        """
        if not self.values.shape[1]:
            return vectors
        precision = torch.finfo(vectors.dtype)
        floor = (precision.eps * self.basis.shape[2] * self.values[:, :1]).clamp_min(precision.tiny)
        known = torch.maximum(self.values, floor) + ridge
        shares = (self.basis @ vectors.unsqueeze(2)).squeeze(2)
        change = (known[:, -1:] / known - 1) * shares
        return vectors + (self.basis.mT @ change.unsqueeze(2)).squeeze(2)


def sketched(A: Operator, rank: int, seed: int, tell: Callable[[int], None]) -> Sketch:
    """The approximation A Omega (Omega^T A Omega)^(-1) (A Omega)^T for random orthonormal columns Omega.

    A is shifted by root(n) eps |A Omega| while its root is taken, so that rounding makes no negative eigenvalue, and
    the shift is taken off lambda again. A member that is not finite has an approximation of 0.

    Args:
        A: positive semi-definite.
        rank: how many columns, at most as many as there are active entries.
        seed: of Omega, which all members share.
        tell: told the number of products so far.

    Cost: `rank` products.

    References:
        Frangella, Tropp & Udell (2021), arXiv:2110.02820, algorithm 2.1; Tropp et al. (2017), arXiv:1706.05736.
    """
    if not rank:
        return Sketch(*(torch.zeros(len(A), 0, *rest, dtype=A.dtype, device=A.device) for rest in ((A.shape[1],), ())))
    draws = torch.stack([A.gaussian(generator(seed, "nystroem", place)) for place in range(rank)], dim=1)
    omega = torch.linalg.qr(draws.mT)[0].mT
    images = torch.empty_like(omega)
    for place in range(rank):
        images[:, place] = A(omega[:, place])
        tell(place + 1)
    broken = ~images.isfinite().all(2).all(1)
    images = images.double().masked_fill(broken[:, None, None], 0)
    omega = omega.double()
    size = torch.linalg.matrix_norm(images, dim=(1, 2))
    shift = (A.shape[1] ** 0.5 * torch.finfo(A.dtype).eps * size).clamp_min(torch.finfo(torch.float64).tiny ** 0.5)
    shifted = images + shift[:, None, None] * omega
    inner = omega @ shifted.mT
    values, turn = torch.linalg.eigh((inner + inner.mT) / 2)
    # C^(-1) with C C^T = Omega^T Y, by eigenvalues: Cholesky's fails where rounding outweighs the shift
    root = turn / values.clamp_min(shift[:, None] / 2).sqrt()[:, None]
    _, singular, basis = torch.linalg.svd(root.mT @ shifted, full_matrices=False)
    found = (singular.square() - shift[:, None]).clamp_min(0).masked_fill(broken[:, None], 0)
    return Sketch(basis.to(A.dtype), found.to(A.dtype))
