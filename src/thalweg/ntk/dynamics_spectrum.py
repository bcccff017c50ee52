"""Eigenvalues of a kernel, without those that are rounding."""

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import UsageError

_INDEFINITE = 1e-3  # of the largest eigenvalue: below minus that, a kernel is none


@dataclass(frozen=True, eq=False)
class Spectrum:
    """kernel = vectors diag(values) vectors^T.

    Eigenvalues within the rounding, which are n times the precision of the largest, or the most negative one's size
    where that is more, are 0: neither a training output nor a test output moves along them.

    Args:
        values: ascending: (members or 1, rows).
        vectors: in columns: (members or 1, rows, rows).
        ranks: how many are above the rounding: (members or 1,).
        lowest: the smallest eigenvalue as found, which may be negative: (members or 1,).
    """

    values: Tensor
    vectors: Tensor
    ranks: Tensor
    lowest: Tensor

    @classmethod
    def of(cls, kernel: Tensor) -> "Spectrum":
        """That of symmetric matrices (members or 1, rows, rows), in float64.

        Raises:
            UsageError: a matrix with eigenvalues that are negative by more than rounding.
        """
        values, vectors = torch.linalg.eigh(kernel)
        lowest, highest = values[:, 0], values[:, -1]
        wrong = (lowest < -_INDEFINITE * highest.abs()).nonzero().flatten().tolist()
        if wrong:
            low, high = float(lowest[wrong[0]]), float(highest[wrong[0]])
            msg = f"A kernel has no negative eigenvalues; that of member {wrong[0]} runs from {low:.3g} to {high:.3g}."
            raise UsageError(msg)
        rounding = torch.maximum(values.shape[1] * torch.finfo(values.dtype).eps * highest, -lowest)
        real = values > rounding[:, None]
        return cls(values.where(real, torch.zeros_like(values)), vectors, real.sum(1), lowest)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of singular kernels."""
        rows = self.values.shape[1]
        if bool((self.ranks == rows).all()):
            return ()
        few = int(self.ranks.min())
        said = f"The kernel has rank {few} of {rows}" + (" at least" if int(self.ranks.max()) > few else "")
        return (f"{said} (smallest eigenvalue found: {float(self.lowest.min()):.2g}); nothing moves along the rest.",)
