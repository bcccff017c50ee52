"""One Cholesky factor of a kernel, with as little added to its diagonal as it needs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import UsageError

_MOST = 1e-3  # of a kernel's size, which is the most that is added
_TOLD = 1e-3  # of the targets, from which it is said that they are not fitted
_SAME = 1e-12  # of two variances, below which the distance of two examples is rounding


@dataclass(frozen=True, eq=False)
class Factored:
    """kernel + noise I + jitter I = L L^T, in float64.

    Args:
        kernel: without noise: (members or 1, n, n).
        noise: that is asked for: (members or 1,).
        jitter: that was needed beside it, 0 where none was: (members or 1,).
        lower: L: (members or 1, n, n).
    """

    kernel: Tensor
    noise: Tensor
    jitter: Tensor
    lower: Tensor

    @classmethod
    def of(cls, kernel: Tensor, noise: Tensor) -> "Factored":
        """Factor symmetric matrices (members or 1, n, n); noise is (1,) or one a member.

        The jitter is 0, or else n eps |kernel| times 1, 10, 100, ..., where |kernel| is the largest sum of a row and
        eps the rounding of float64: the first that makes all pivots larger than rounding. Where that is not the first
        of all, the kernel has negative eigenvalues of about that size, and ten times as much is added, where that is
        allowed: as much as they are would nearly cancel them, and solutions would be of any size.

        Raises:
            UsageError: one has eigenvalues that are negative by more than rounding.
        """
        n, eps = kernel.shape[1], torch.finfo(kernel.dtype).eps
        size = kernel.abs().sum(2).amax(1)
        noise = noise.expand(len(kernel))
        lower, jitter = torch.zeros_like(kernel), torch.zeros_like(size)
        left, trial = torch.ones(len(kernel), dtype=torch.bool, device=kernel.device), torch.zeros_like(size)
        while bool(left.any()):
            added = (noise + trial)[left]
            found, failed = torch.linalg.cholesky_ex(_with_diagonal(kernel[left], added))
            pivots = found.diagonal(dim1=1, dim2=2).square()
            good = (failed == 0) & (pivots.amin(1) > n * eps * pivots.amax(1))
            rows = left.nonzero().flatten()[good]
            lower[rows], jitter[rows] = found[good], trial[rows]
            left = left.clone()
            left[rows] = False
            trial = torch.where(trial > 0, 10 * trial, n * eps * size.clamp_min(torch.finfo(kernel.dtype).tiny))
            if bool((left & (trial > _MOST * size)).any()):
                low = float(torch.linalg.eigvalsh(kernel[left])[0, 0])
                msg = f"A kernel is not 0 and has no negative eigenvalues; the smallest of this one is {low:.3g}, and "
                most = float(size[left][0])
                raise UsageError(msg + f"the largest sum of a row {most:.3g}. Give noise, or other examples.")
        more = (jitter > 5 * n * eps * size) & (10 * jitter <= _MOST * size)
        if bool(more.any()):
            jitter = torch.where(more, 10 * jitter, jitter)
            added = (noise + jitter)[more]
            lower[more] = torch.linalg.cholesky(_with_diagonal(kernel[more], added))
        return cls(kernel, noise, jitter, lower)

    def solve(self, right: Tensor) -> Tensor:
        """(kernel + noise + jitter)^-1 right: (members, n, columns)."""
        many = max(len(self.lower), len(right))
        lower = self.lower.expand(many, -1, -1)
        return torch.cholesky_solve(right.expand(many, -1, -1), lower)

    def residual(self, right: Tensor, solution: Tensor) -> Tensor:
        """|(kernel + noise) solution - right| / |right|, which jitter makes more than rounding: (members,)."""
        off = self.kernel @ solution + self.noise[:, None, None] * solution - right
        size = right.flatten(1).norm(dim=1)
        return off.flatten(1).norm(dim=1) / size.where(size > 0, torch.ones_like(size))

    def unfitted(self, residual: Tensor) -> tuple[str, ...]:
        """A sentence where jitter keeps the solution from the targets, by the largest of these residuals."""
        worst = float(residual.max())
        if worst < _TOLD or float(self.jitter.max()) == 0:
            return ()
        return (f"{worst:.2g} of the targets is not fitted: equal or nearly equal examples have different targets.",)

    @property
    def half_determinant(self) -> Tensor:
        """log det(kernel + noise + jitter) / 2: (members or 1,)."""
        return self.lower.diagonal(dim1=1, dim2=2).log().sum(1)

    @property
    def inverse_diagonal(self) -> Tensor:
        """Of (kernel + noise + jitter)^-1: (members or 1, n)."""
        unit = torch.eye(self.lower.shape[1], dtype=self.lower.dtype, device=self.lower.device)
        return torch.linalg.solve_triangular(self.lower, unit.expand_as(self.lower), upper=False).square().sum(1)

    @property
    def effective_rank(self) -> Tensor:
        """(trace kernel)^2 / |kernel|_F^2, from 1 to n: (members or 1,)."""
        squares = self.kernel.square().sum((1, 2))
        traces = self.kernel.diagonal(dim1=1, dim2=2).sum(1)
        return traces.square() / squares.where(squares > 0, torch.ones_like(squares))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of kernels that needed jitter."""
        worst = int(self.jitter.argmax())
        if float(self.jitter[worst]) == 0:
            return ()
        kernel = self.kernel[worst]
        values = torch.linalg.eigvalsh(kernel)
        n = len(values)
        rank = int((values > n * torch.finfo(values.dtype).eps * values[-1]).sum())
        sizes = kernel.diagonal()
        sums = sizes[:, None] + sizes
        same = int(((sums - 2 * kernel <= _SAME * sums).triu(1)).any(0).sum())
        said = f"The kernel is singular to rounding (rank {rank} of {n}): {float(self.jitter[worst]):.2g} was added to "
        said += "its diagonal, so that examples are fitted nearly, not exactly."
        return (said, f"{same} of {n} examples have the same features as an earlier one.") if same else (said,)


def _with_diagonal(kernels: Tensor, added: Tensor) -> Tensor:
    """Kernels that are nobody else's with so much added to their diagonals, in place."""
    kernels.diagonal(dim1=1, dim2=2).add_(added[:, None])
    return kernels
