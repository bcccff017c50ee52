"""An update rule applied to a population.

Rules are elementwise, so theta can be updated block by block, which keeps every intermediate result in the
cache and needs no memory of theta's size; or, where torch has a fused kernel, member by member.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.optim.rule import Rule, State, needed
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.torch_optimizer import Foreign, TorchOptimizer, kept
from thalweg.optim.wrapper import Wrapper, unwrapped
from thalweg.population import Layout
from thalweg.population.layout import Entry

_BLOCK = 2**18  # elements of theta a block holds
_WIDE = 2**13  # parameters from which a fused kernel for each member beats the formula for all of them


@dataclass(frozen=True)
class Block:
    """A piece of theta small enough for the cache, with the same piece of the rule's state.

    `where` is 1 for the columns that decay and 0 for others; None where all do.
    """

    rows: slice
    columns: slice
    theta: Tensor
    state: State
    scratch: Tensor
    where: Tensor | None


@dataclass(frozen=True)
class Matrix:
    """A tensor that a rule takes whole, (members, rows, columns), as views of theta and of the rule's state."""

    columns: slice
    theta: Tensor
    state: State
    where: Tensor | None


class Updater:
    """Applies a rule to a population's theta in place.

    Whether by the formula or by torch's kernel depends on the rule and on the number of parameters alone, so that a
    member takes the same path whoever else is in the population: bit for bit in float32 for elementwise rules, to
    rounding in float64 (Python and torch round powers apart) and for rules that take products of matrices.

    Args:
        rule: the rule, or what is around it, with numbers or sweeps as fields.
        theta: the population's parameters, changed by `step`.
        state: what the rule remembers, by name; zeros by default (see `new_state`).
        layout: of theta, for what depends on tensors.

    Memory: one matrix of theta's size a slot, the rule's factors, and one scratch block.
    """

    def __init__(
        self,
        rule: Rule | Wrapper,
        theta: Float[Tensor, "members parameters"],
        state: Mapping[str, Tensor] | None = None,
        layout: Layout | None = None,
    ) -> None:
        self.around, self.rule = unwrapped(rule)
        self.ascent = next((layer for layer in self.around if layer.ascends), None)
        self.theta = theta
        self.layout = layout
        self.state = dict(state) if state is not None else new_state(rule, theta, layout)
        self.elementwise = self.rule.fallback or self.rule
        # torch's fused SGD leaves out full vectors of 16-bit numbers on CPUs (pytorch issue 191763).
        whole_words = theta.dtype in (torch.float32, torch.float64)
        self.fused = self.rule.fused and whole_words and theta.shape[1] >= _WIDE and self.rule.decay_on is None
        self.foreign = (
            Foreign(self.rule, theta, self.state, needed(self.rule, layout))
            if isinstance(self.rule, TorchOptimizer)
            else None
        )
        whole, between = _parted(self.rule, layout, theta.shape[1])
        self.matrices = list(self._matrices(whole))
        self.scratch = torch.empty(min(theta.numel(), _BLOCK), dtype=theta.dtype, device=theta.device)
        self.blocks = [self._block(rows, part) for columns in between for rows, part in _blocks(len(theta), columns)]
        self._rows = theta.unbind(), {slot: matrix.unbind() for slot, matrix in self.state.items()}

    def _block(self, rows: slice, columns: slice) -> Block:
        theta = self.theta[rows, columns]
        state = {slot: self.state[slot][rows, columns] for slot in self.elementwise.slots}
        state |= {tally: self.state[tally][rows] for tally in self.elementwise.tallies}
        where = _decaying(self.elementwise, self.layout, theta, columns)
        return Block(rows, columns, theta, state, self.scratch[: theta.numel()].view_as(theta), where)

    def _matrices(self, whole: list[Entry]) -> Iterator[Matrix]:
        starts: dict[str, int] = {}
        for entry in whole:
            shape = (len(self.theta), *_as_matrix(entry))
            state = {slot: self.state[slot][:, entry.columns].view(shape) for slot in self.rule.matrix_slots}
            for name, size in self.rule.factors(*_as_matrix(entry)).items():
                start = starts.get(name, 0)
                starts[name] = start + math.prod(size)
                state[name] = self.state[name][:, start : starts[name]].view(len(self.theta), *size)
            where = _decaying(self.rule, self.layout, self.theta, entry.columns)
            yield Matrix(entry.columns, self.theta[:, entry.columns].view(shape), state, where)

    def look_ahead(self, h: StepHyperparameters, out: Float[Tensor, "members parameters"]) -> None:
        """Write the point at which the coming step wants its gradient."""
        for block in self.blocks:
            self.rule.look_ahead(block.theta, block.state, h.rows(block.rows), out[block.rows, block.columns])

    def step(
        self, gradient: Float[Tensor, "members parameters"], h: StepHyperparameters, alive: Tensor | None = None
    ) -> None:
        """One update; `gradient` is consumed. Members outside `alive` (members,) keep theta and state."""
        own = [self.state[slot] for layer in self.around for slot in layer.own_slots]
        with _keeping(own, None if alive is None else ~alive):
            for layer in self.around:
                layer.before(self.theta, gradient, self.state, h, self.layout)
            self._step(gradient, h, alive)
            for layer in reversed(self.around):
                layer.after(self.theta, self.state, h)

    def _step(self, gradient: Tensor, h: StepHyperparameters, alive: Tensor | None) -> None:
        living = list(range(len(self.theta))) if alive is None else alive.nonzero().flatten().tolist()
        if self.fused:
            self._step_rows(living, gradient.unbind(), h)
            return
        if self.foreign is not None:
            self._decay_rows(gradient, h, alive)
            self.foreign.step(living, gradient, h)
            return
        inner = h if self.rule.fallback is None else h.under("fallback")
        for block in self.blocks:
            self._step_block(block, gradient[block.rows, block.columns], inner.rows(block.rows), alive)
        for matrix in self.matrices:
            self._step_matrix(matrix, gradient[:, matrix.columns], h, alive)
        if self.elementwise.tallies:
            tallies = {name: self.state[name] for name in self.elementwise.tallies}
            with _keeping(tallies.values(), None if alive is None else ~alive.cpu()):
                self.elementwise.advance(tallies, inner)

    def _decay_rows(self, gradient: Tensor, h: StepHyperparameters, alive: Tensor | None) -> None:
        """Weight decay of the rule's own, ahead of an optimizer's step."""
        with _keeping([self.theta], None if alive is None else ~alive):
            for block in self.blocks:
                slope = gradient[block.rows, block.columns]
                self.rule.decayed(block.theta, slope, block.state, h.rows(block.rows), block.where)

    def _step_rows(self, members: list[int], gradients: tuple[Tensor, ...], h: StepHyperparameters) -> None:
        """One call of the kernel for all of these members, or one each where they have values of their own."""
        thetas, state = self._rows
        each = list(h.each(len(self.theta)))
        for rows in [members] if h.shared else [[member] for member in members]:
            chosen = {slot: [matrix[row] for row in rows] for slot, matrix in state.items()}
            slopes = [gradients[row] for row in rows]
            if rows:
                self.rule.update_fused([thetas[row] for row in rows], slopes, chosen, each[rows[0]])

    def _step_block(self, block: Block, gradient: Tensor, h: StepHyperparameters, alive: Tensor | None) -> None:
        kept = (block.theta, *(block.state[slot] for slot in self.elementwise.slots))
        with _keeping(kept, None if alive is None else ~alive[block.rows]):
            self.elementwise.decayed(block.theta, gradient, block.state, h, block.where)
            self.elementwise.update(block.theta, gradient, block.state, h, block.scratch)

    def _step_matrix(self, matrix: Matrix, gradient: Tensor, h: StepHyperparameters, alive: Tensor | None) -> None:
        if alive is not None:
            gradient[~alive] = 0  # eigendecompositions refuse what is not finite
        with _keeping((matrix.theta, *matrix.state.values()), None if alive is None else ~alive):
            self.rule.decayed(self.theta[:, matrix.columns], gradient, matrix.state, h, matrix.where)
            self.rule.update_matrix(matrix.theta, gradient.view(matrix.theta.shape), matrix.state, h.for_matrices)


@contextlib.contextmanager
def _keeping(matrices: Iterable[Tensor], dead: Tensor | None) -> Iterator[None]:
    """Undo what is done to the rows that are `dead`."""
    kept = [] if dead is None else [(matrix, matrix[dead]) for matrix in matrices]
    yield
    for matrix, before in kept:
        matrix[dead] = before


def new_state(rule: Rule | Wrapper, theta: Tensor, layout: Layout | None) -> dict[str, Tensor]:
    """What a rule and all around it remember before the first step, zeros: one row a member each."""
    _, inner = unwrapped(rule)
    state = {slot: torch.zeros_like(theta) for slot in rule.slots}
    for entry in _parted(inner, layout, theta.shape[1])[0]:
        for name, size in inner.factors(*_as_matrix(entry)).items():
            before = state.get(name, theta.new_zeros(len(theta), 0))
            state[name] = torch.cat([before, theta.new_zeros(len(theta), math.prod(size))], dim=1)
    if isinstance(inner, TorchOptimizer):
        _, widths = kept(inner, needed(inner, layout), theta.dtype)
        state |= {
            name: torch.zeros(len(theta), width, dtype=dtype, device=theta.device)
            for name, (width, dtype) in widths.items()
        }
    tallies = (inner.fallback or inner).tallies
    return state | {name: torch.zeros(len(theta), 1, dtype=torch.float64) for name in tallies}


def _as_matrix(entry: Entry) -> tuple[int, int]:
    """Rows and columns of a tensor: its filters and all of each; a vector is one row."""
    rows = entry.filters or 1
    return rows, entry.size // rows


def _parted(rule: Rule, layout: Layout | None, parameters: int) -> tuple[list[Entry], list[slice]]:
    """The tensors that the rule takes whole, and the columns between them."""
    if not rule.takes_tensors:
        return [], [slice(0, parameters)]
    whole = [entry for entry in needed(rule, layout) if rule.take(entry)]
    edges = [0, *(edge for entry in whole for edge in (entry.columns.start, entry.columns.stop)), parameters]
    between = [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]
    return whole, between


def _decaying(rule: Rule, layout: Layout | None, theta: Tensor, columns: slice) -> Tensor | None:
    """1 for those of the columns that decay and 0 for others; None where all do."""
    return None if rule.decay_on is None else needed(rule, layout).where(*rule.decay_on)[columns].to(theta)


def _blocks(members: int, part: slice) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the blocks of some columns: whole rows while they fit a block, else equal pieces of rows."""
    parameters = part.stop - part.start
    rows = max(1, _BLOCK // parameters)
    width = math.ceil(parameters / math.ceil(parameters / _BLOCK))
    for top in range(0, members, rows):
        for left in range(part.start, part.stop, width):
            yield slice(top, min(top + rows, members)), slice(left, min(left + width, part.stop))
