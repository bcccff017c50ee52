"""An update rule applied to a population.

Rules are elementwise, so theta can be updated block by block, which keeps every intermediate result in the
cache and needs no memory of theta's size; or, where torch has a fused kernel, member by member.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.optim.decay import decayed
from thalweg.optim.rule import Rule, State, Values

_BLOCK = 2**18  # elements of theta a block holds
_WIDE = 2**13  # parameters from which a fused kernel for each member beats the formula for all of them


@dataclass(frozen=True)
class Block:
    """A piece of theta small enough for the cache, with the same piece of the rule's state."""

    rows: slice
    columns: slice
    theta: Tensor
    state: State
    scratch: Tensor


class Updater:
    """Applies a rule to a population's theta in place.

    Whether by the formula or by torch's kernel depends on the rule and on the number of parameters alone,
    so that a member takes the same path, bit for bit, whoever else is in the population.

    Args:
        rule: the rule, with numbers or sweeps as fields.
        theta: the population's parameters, changed by `step`.
        state: the rule's matrices, by slot; zeros by default.

    Memory: one matrix of theta's size a slot, and one scratch block.
    """

    def __init__(
        self, rule: Rule, theta: Float[Tensor, "members parameters"], state: Mapping[str, Tensor] | None = None
    ) -> None:
        self.rule = rule
        self.theta = theta
        self.state = dict(state) if state is not None else {slot: torch.zeros_like(theta) for slot in rule.slots}
        self.fused = rule.fused and theta.shape[1] >= _WIDE
        scratch = torch.empty(min(theta.numel(), _BLOCK), dtype=theta.dtype, device=theta.device)
        self.blocks = [
            Block(
                rows,
                columns,
                theta[rows, columns],
                {slot: matrix[rows, columns] for slot, matrix in self.state.items()},
                scratch[: theta[rows, columns].numel()].view_as(theta[rows, columns]),
            )
            for rows, columns in _blocks(*theta.shape)
        ]
        self._rows = theta.unbind(), {slot: matrix.unbind() for slot, matrix in self.state.items()}

    def look_ahead(self, h: Values, out: Float[Tensor, "members parameters"]) -> None:
        """Write the point at which the coming step wants its gradient."""
        for block in self.blocks:
            self.rule.look_ahead(block.theta, block.state, h.rows(block.rows), out[block.rows, block.columns])

    def step(self, gradient: Float[Tensor, "members parameters"], h: Values, alive: Tensor | None = None) -> None:
        """One update; `gradient` is consumed. Members outside `alive` (members,) keep theta and state."""
        if self.fused:
            living = list(range(len(self.theta))) if alive is None else alive.nonzero().flatten().tolist()
            self._step_rows(living, gradient.unbind(), h)
        else:
            for block in self.blocks:
                self._step_block(block, gradient[block.rows, block.columns], h.rows(block.rows), alive)

    def _step_rows(self, members: list[int], gradients: tuple[Tensor, ...], h: Values) -> None:
        """One call of the kernel for all of these members, or one each where they have values of their own."""
        thetas, state = self._rows
        each = list(h.each(len(self.theta)))
        for rows in [members] if h.shared else [[member] for member in members]:
            chosen = {slot: [matrix[row] for row in rows] for slot, matrix in state.items()}
            slopes = [gradients[row] for row in rows]
            if rows:
                self.rule.update_fused([thetas[row] for row in rows], slopes, chosen, each[rows[0]])

    def _step_block(self, block: Block, gradient: Tensor, h: Values, alive: Tensor | None) -> None:
        dead = None if alive is None else ~alive[block.rows]
        kept = [] if dead is None else [(matrix, matrix[dead]) for matrix in (block.theta, *block.state.values())]
        decayed(self.rule.decay, block.theta, gradient, h)
        self.rule.update(block.theta, gradient, block.state, h, block.scratch)
        for matrix, before in kept:
            matrix[dead] = before


def _blocks(members: int, parameters: int) -> Iterator[tuple[slice, slice]]:
    """Whole rows while they fit a block, else equal pieces of single rows."""
    rows = max(1, _BLOCK // parameters)
    width = math.ceil(parameters / math.ceil(parameters / _BLOCK))
    for top in range(0, members, rows):
        for left in range(0, parameters, width):
            yield slice(top, min(top + rows, members)), slice(left, min(left + width, parameters))
