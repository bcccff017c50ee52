"""Bends that may move within a random subspace alone: a control, as a curve through few dimensions joins little."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.randomness import generator


class Subspace:
    """Moves trained rows back into the affine subspaces in which they began.

        row <- start + Q Q^T (row - start),    Q orthonormal, (parameters, dimension), of normal draws

    For rules whose steps are linear in the gradients (SGD, momentum) that is the projected gradient.

    Args:
        start: the rows to begin with: (trained, paths, parameters).
        dimension: of the subspace.
        seeds: of each path, whose subspace is drawn from the stream (seed, "subspace"); equal seeds share one.
        trained: which of the control rows they are.

    Memory: a matrix (parameters, dimension) for each different seed.
    """

    def __init__(
        self, start: Float[Tensor, "trained paths parameters"], dimension: int, seeds: Sequence[int], trained: slice
    ) -> None:
        self._start, self._trained = start.clone(), trained
        self._groups = []
        for seed in dict.fromkeys(seeds):
            drawn = torch.randn(start.shape[-1], dimension, generator=generator(seed, "subspace"), dtype=torch.float64)
            basis = torch.linalg.qr(drawn).Q.to(start)
            self._groups.append((torch.tensor([one == seed for one in seeds], device=start.device), basis))

    def __call__(self, control: Float[Tensor, "controls paths parameters"]) -> None:
        """Project the trained rows, in place."""
        rows = control[self._trained]
        for paths, basis in self._groups:
            start = self._start[:, paths]
            rows[:, paths] = start + (rows[:, paths] - start) @ basis @ basis.T
