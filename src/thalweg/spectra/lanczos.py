"""Lanczos' method with full reorthogonalization, on the matrices of all members at once."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.randomness import generator
from thalweg.spectra.symmetry import Product, Vectors


@dataclass(frozen=True, eq=False)
class Ritz:
    """What the basis of one member says of A: the eigenpairs (lambda, s) of T, x = Q s being near eigenvectors of A.

    >>> import thalweg as tw, torch
    >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([1.0, 2.0]))[None])
    >>> krylov = tw.spectra.Krylov(A, torch.ones(1, 2))
    >>> for _ in range(2):
    ...     krylov.extend()
    >>> [round(value, 4) for value in krylov.ritz(0).values.tolist()]
    [1.0, 2.0]

    Args:
        values: lambda in ascending order: (m,).
        coefficients: s in columns: (m, m).
        residuals: |A x - lambda x|, with what rounding may add, epsilon |T|: (m,).
    """

    values: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    residuals: NDArray[np.float64]


class Krylov:
    """An orthonormal basis Q of the space of b, A b, A^2 b, ..., grown by one product with A a step; T = Q^T A Q.

    >>> import torch
    >>> import thalweg as tw
    >>> matrix = torch.diag(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64))
    >>> krylov = tw.spectra.Krylov(lambda v: v @ matrix, torch.ones(1, 3, dtype=torch.float64))
    >>> for _ in range(3):
    ...     krylov.extend()
    >>> krylov.ritz(0).values.round(6).tolist()
    [1.0, 2.0, 4.0]

        w = A q_j - beta_{j-1} q_{j-1},    alpha_j = <q_j, w>,    w <- w - alpha_j q_j,    q_{j+1} = w / beta_j

    for beta_j = |w|, every w being made orthogonal to all of the basis, twice (Lanczos, 1950,
    doi:10.6028/jres.045.026; "twice is enough": Giraud et al., 2005, doi:10.1007/s00211-005-0615-4). Where the space is
    complete (beta_j = 0 to rounding) it goes on with a random vector orthogonal to it, so that eigenvalues that are
    repeated are found in the end; where the basis spans everything, `full` is set and the rest of T means nothing.

    Args:
        product: v -> A v for v (members, n), such as an `Operator`.
        start: b (members, n), no row of it zero; where it is 0, vectors stay 0.
        seed: of the random vectors.

    Memory: as many matrices (members, n) as steps.
    """

    @in_words
    def __init__(self, product: Product, start: Vectors, *, seed: int = 0) -> None:
        self.product, self.seed = product, seed
        self.members, self.n = start.shape
        self.active = start != 0
        self.basis = start.new_empty(self.members, 8, self.n)
        self.basis[:, 0] = start / torch.linalg.vector_norm(start, dim=1, keepdim=True)
        self.diagonal = np.zeros((self.members, 0))
        self.below = np.zeros((self.members, 0))
        self.full = np.zeros(self.members, dtype=bool)
        self.lengths = np.zeros(self.members, dtype=int)

    @property
    def steps(self) -> int:
        """Products so far; the basis has as many vectors, and the next one."""
        return self.diagonal.shape[1]

    def extend(self) -> None:
        """One step for all members."""
        j = self.steps
        if j + 2 > self.basis.shape[1]:
            self.basis = torch.cat([self.basis, torch.empty_like(self.basis)], dim=1)
        q = self.basis[:, j]
        w = self.product(q)
        alpha = (q * w).sum(1)
        size = torch.linalg.vector_norm(w, dim=1)
        for _ in range(2):
            self._orthogonalize(w, j + 1)
        beta = torch.linalg.vector_norm(w, dim=1)
        done = beta <= 10 * torch.finfo(w.dtype).eps * torch.maximum(size, self._scale(alpha))
        if done.any():
            fresh = torch.randn(self.n, generator=generator(self.seed, "krylov", j), dtype=torch.float64)
            w[done] = (fresh.to(w) * self.active)[done]
            for _ in range(2):
                self._orthogonalize(w, j + 1)
        length = torch.linalg.vector_norm(w, dim=1, keepdim=True)
        empty = (length < 1e-3).flatten() & done  # of a random vector hardly anything is left: the basis is full
        self.basis[:, j + 1] = (w / length.masked_fill(empty[:, None], 1)).masked_fill(empty[:, None], 0)
        self.diagonal = np.column_stack([self.diagonal, alpha.double().cpu().numpy()])
        self.below = np.column_stack([self.below, beta.masked_fill(done, 0).double().cpu().numpy()])
        self.lengths += ~self.full
        self.full |= empty.cpu().numpy()

    def ritz(self, member: int) -> "Ritz":
        """The eigenpairs of T of one member, and how well they stand for those of A."""
        m = self.lengths[member]
        below = self.below[member, :m]
        tridiagonal = np.diag(self.diagonal[member, :m]) + np.diag(below[:-1], 1) + np.diag(below[:-1], -1)
        if not np.isfinite(tridiagonal).all():
            return Ritz(np.full(m, np.nan), np.full((m, m), np.nan), np.full(m, np.nan))
        values, vectors = np.linalg.eigh(tridiagonal)
        rounding = torch.finfo(self.basis.dtype).eps * np.abs(values).max(initial=0.0)
        return Ritz(values, vectors, np.abs(below[-1] * vectors[-1]) + rounding)

    def vectors(self, member: int, coefficients: NDArray[np.float64]) -> Float[Tensor, "vectors n"]:
        """Q s for every column s of the coefficients (m, vectors)."""
        basis = self.basis[member, : len(coefficients)]
        return torch.as_tensor(coefficients.T, dtype=basis.dtype, device=basis.device) @ basis

    def _orthogonalize(self, w: Tensor, count: int) -> None:
        known = self.basis[:, :count]
        shares = known @ w.unsqueeze(2)
        w.sub_((known.mT @ shares).squeeze(2))

    def _scale(self, alpha: Tensor) -> Tensor:
        """The largest entry of T so far, by which an entry is zero or not."""
        largest = np.abs(np.concatenate([self.diagonal, self.below], axis=1)).max(1, initial=0.0)
        return torch.maximum(alpha.abs(), torch.as_tensor(largest).to(alpha))
