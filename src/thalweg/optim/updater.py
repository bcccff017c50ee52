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

from thalweg.errors import UsageError
from thalweg.optim.around import Around, unwrapped
from thalweg.optim.decay import decayed
from thalweg.optim.rule import Rule, State, Values
from thalweg.population import Layout

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
        rule: the rule, or what is around it, with numbers or sweeps as fields.
        theta: the population's parameters, changed by `step`.
        state: the rule's matrices, by slot; zeros by default.
        layout: of theta, for what depends on tensors.

    Memory: one matrix of theta's size a slot, and one scratch block.
    """

    def __init__(
        self,
        rule: Rule | Around,
        theta: Float[Tensor, "members parameters"],
        state: Mapping[str, Tensor] | None = None,
        layout: Layout | None = None,
    ) -> None:
        self.around, self.rule = unwrapped(rule)
        self.ascent = next((layer for layer in self.around if layer.ascends), None)
        self.theta = theta
        self.layout = layout
        self.state = dict(state) if state is not None else {slot: torch.zeros_like(theta) for slot in rule.slots}
        self.decaying = _decaying(self.rule, layout, theta)
        self.fused = self.rule.fused and theta.shape[1] >= _WIDE and self.decaying is None
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
        dead = None if alive is None else ~alive
        own = [self.state[slot] for layer in self.around for slot in layer.own_slots]
        kept = [] if dead is None else [(matrix, matrix[dead]) for matrix in own]
        for layer in self.around:
            layer.before(self.theta, gradient, self.state, h, self.layout)
        self._step(gradient, h, alive)
        for layer in reversed(self.around):
            layer.after(self.theta, self.state, h)
        for matrix, before in kept:
            matrix[dead] = before

    def _step(self, gradient: Tensor, h: Values, alive: Tensor | None) -> None:
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
        where = None if self.decaying is None else self.decaying[block.columns]
        decayed(self.rule.decay, block.theta, gradient, h, where)
        self.rule.update(block.theta, gradient, block.state, h, block.scratch)
        for matrix, before in kept:
            matrix[dead] = before


def _decaying(rule: Rule, layout: Layout | None, theta: Tensor) -> Tensor | None:
    """1 for the parameters that decay and 0 for others, (parameters,); None where all do."""
    if rule.decay_on is None:
        return None
    if layout is None:
        msg = f"{type(rule).__name__} decay_on names kinds of tensors; give its Updater the population's layout."
        raise UsageError(msg)
    return layout.where(*rule.decay_on).to(theta)


def _blocks(members: int, parameters: int) -> Iterator[tuple[slice, slice]]:
    """Whole rows while they fit a block, else equal pieces of single rows."""
    rows = max(1, _BLOCK // parameters)
    width = math.ceil(parameters / math.ceil(parameters / _BLOCK))
    for top in range(0, members, rows):
        for left in range(0, parameters, width):
            yield slice(top, min(top + rows, members)), slice(left, min(left + width, parameters))
