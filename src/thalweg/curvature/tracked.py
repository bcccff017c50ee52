"""What a `Tracker` knows of the members it follows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.spectra.restarted import Basis


@dataclass
class Tracked:
    """Readings, and the vectors from which the next ones begin; of all members or of neighboring ones.

    Args:
        steps: of the readings.
        found: of each, arrays (members,): largest eigenvalues, residuals, products, whether the search converged.
        bases: of the last ones, (members, kept, parameters).
        before: the largest eigenvalues of the last one: (members,).
        name: of the matrix.
        hvps: products of a matrix with a vector in all, of every member.
        seconds: that readings took.
    """

    steps: list[int] = field(default_factory=list)
    found: list[tuple[NDArray[Any], ...]] = field(default_factory=list)
    bases: list[Basis] = field(default_factory=list)
    before: Tensor | None = None
    name: str = ""
    hvps: int = 0
    seconds: float = 0.0

    def rows(self, rows: slice) -> "Tracked":
        """The same of neighboring members, whose costs are counted anew."""
        return replace(
            self,
            steps=list(self.steps),
            found=[tuple(array[rows] for array in one) for one in self.found],
            bases=[basis[rows].clone() for basis in self.bases],
            before=None if self.before is None else self.before[rows].clone(),
            hvps=0,
            seconds=0.0,
        )

    def joined(self, parts: Sequence["Tracked"]) -> "Tracked":
        """What parts know of all members, in their order, at costs beside those of these."""
        befores = [part.before for part in parts if part.before is not None]
        return Tracked(
            steps=parts[0].steps,
            found=[
                tuple(map(np.concatenate, zip(*of_parts, strict=True)))
                for of_parts in zip(*(part.found for part in parts), strict=True)
            ],
            bases=[torch.cat(of_parts) for of_parts in zip(*(part.bases for part in parts), strict=True)],
            before=torch.cat(befores) if befores else None,
            name=parts[0].name,
            hvps=self.hvps + sum(part.hvps for part in parts),
            seconds=self.seconds + sum(part.seconds for part in parts),
        )

    def forget(self, step: int) -> None:
        """Drop the readings of this step and later ones."""
        kept = sum(one < step for one in self.steps)
        self.steps, self.found = self.steps[:kept], self.found[:kept]
        if not kept:
            self.bases = []
