"""One step of a kernel's program: what a node does to second moments, distances and tangent kernels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Own:
    """What is known of a value for every input alone.

    Args:
        q: E u^2, (inputs, *positions), float64.
        mean: E u, of that shape; None where it is 0.
        extra: what the step itself needs again for pairs of inputs, one row an input.
        distance: E (u_p - u_r)^2 / 2 of positions p and r of one input, (inputs, *positions, *positions), where needed.
    """

    q: Tensor
    mean: Tensor | None = None
    extra: Tensor | None = None
    distance: Tensor | None = None


@dataclass(eq=False)
class Block:
    """What is known of a value for pairs: D = E (u - v)^2 / 2 and Theta; a step may overwrite what it is given."""

    distance: Tensor
    theta: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Pairing:
    """Which pairs a block holds, and what is known of both sides.

    Args:
        outer: every input with every other, (inputs, others, ...); else every input with itself, (inputs, ...).
        full: every position with every other, (..., *positions, *positions); else with the same, (..., *positions).
        left, right: `Own` of what the step reads, for the inputs of each side.
        own, other: `Own` of what it gives.
        same: of outer pairs, whether both sides are the same inputs in the same order.
        dtype: of blocks.
    """

    outer: bool
    full: bool
    left: Sequence[Own]
    right: Sequence[Own]
    own: Own
    other: Own
    same: bool
    dtype: torch.dtype

    def of_left(self, values: Tensor, full: bool | None = None) -> Tensor:
        """What belongs to inputs and their positions, so that it broadcasts with blocks."""
        full = self.full if full is None else full
        values = values.to(self.dtype)
        values = values[:, None] if self.outer else values
        return values[(..., *[None] * (values.dim() - 1 - self.outer))] if full else values

    def of_right(self, values: Tensor, full: bool | None = None) -> Tensor:
        """What belongs to the others and their positions, so that it broadcasts with blocks."""
        full = self.full if full is None else full
        values = values.to(self.dtype)
        count = values.dim() - 1
        if full:
            values = values[(slice(None), *[None] * count)]
        return values[None] if self.outer else values


Raws = Mapping[str, Tensor]


class Step(Protocol):
    """A node of the program.

    Args:
        inputs: numbers of the steps whose values it reads.
        positions: sizes of the axes of positions of what it gives.
    """

    @property
    def inputs(self) -> tuple[int, ...]:
        """See above."""
        ...

    @property
    def positions(self) -> tuple[int, ...]:
        """See above."""
        ...

    def needs(self, full: bool) -> tuple[bool, ...]:
        """Of every value that it reads, whether pairs of different positions are needed, where it must give `full`."""
        ...

    def own(self, given: Sequence[Own], raws: Raws) -> Own:
        """What is known of every input alone."""
        ...

    def block(self, at: Pairing, blocks: Sequence[Block]) -> Block:
        """What is known of pairs."""
        ...
