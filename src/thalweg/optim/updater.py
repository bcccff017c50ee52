"""An update rule applied to a population.

Rules are elementwise, so theta can be updated block by block, which keeps every intermediate result in the
cache and needs no memory of theta's size; or, where torch has a fused kernel, member by member.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thalweg.optim.matrix_rule import MatrixRule
from thalweg.optim.rule import Rule, State, needed
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.torch_optimizer import TorchOptimizer, TorchOptimizers, kept
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
    """A tensor that a `MatrixRule` takes whole, (members, rows, columns), as views of theta and of the rule's state."""

    rule: MatrixRule
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
        rule: the rule, or a wrapper of one, with numbers or sweeps as fields.
        theta: the population's parameters, changed by `step`.
        state: what the rule remembers, by name; zeros by default (see `new_state`).
        layout: of theta, for what depends on tensors.
        mask: True where a parameter is active; elsewhere theta, what the rule sees of the gradient and what it
            remembers stay zero, if they are at the start (see `masked_state`). None: all are active.

    Memory: one matrix of theta's size per slot, the rule's factors, and one scratch block.

    >>> import torch
    >>> import thalweg as tw
    >>> rule, theta = tw.optim.Momentum(0.1), torch.zeros(2, 3)
    >>> updater = tw.optim.Updater(rule, theta)
    >>> for step in (1, 2):
    ...     numbers = rule.hyper_parameters() | {"schedule": 1.0}
    ...     updater.step(torch.ones(2, 3), tw.optim.StepHyperparameters(numbers, step))
    >>> theta
    tensor([[-0.2900, -0.2900, -0.2900],
            [-0.2900, -0.2900, -0.2900]])
    """

    def __init__(
        self,
        rule: Rule | Wrapper,
        theta: Float[Tensor, "members parameters"],
        state: Mapping[str, Tensor] | None = None,
        layout: Layout | None = None,
        mask: Bool[Tensor, "members parameters"] | None = None,
    ) -> None:
        self.wrappers, self.rule = unwrapped(rule)
        self.ascent = next((wrapper for wrapper in self.wrappers if wrapper.ascends), None)
        self.theta = theta
        self.layout = layout
        self.mask = None if mask is None else mask.to(theta.dtype)
        self.state = dict(state) if state is not None else new_state(rule, theta, layout)
        self.elementwise = _elementwise(self.rule)
        # torch's fused SGD leaves out full vectors of 16-bit numbers on CPUs (pytorch issue 191763).
        whole_words = theta.dtype in (torch.float32, torch.float64)
        self.fused = self.rule.fused and whole_words and theta.shape[1] >= _WIDE and self.rule.decay_on is None
        self.torch_optimizers = (
            TorchOptimizers(self.rule, theta, self.state, needed(self.rule, layout))
            if isinstance(self.rule, TorchOptimizer)
            else None
        )
        self.matrices = list(_matrices(self.rule, theta, self.state, layout))
        between = _between(self.matrices, theta.shape[1])
        self.scratch = torch.empty(min(theta.numel(), _BLOCK), dtype=theta.dtype, device=theta.device)
        self.blocks = [self._block(rows, part) for columns in between for rows, part in _blocks(len(theta), columns)]
        self._rows = theta.unbind(), {slot: matrix.unbind() for slot, matrix in self.state.items()}

    def _block(self, rows: slice, columns: slice) -> Block:
        theta = self.theta[rows, columns]
        state = {slot: self.state[slot][rows, columns] for slot in self.elementwise.slots}
        state |= {tally: self.state[tally][rows] for tally in self.elementwise.tallies}
        where = _decaying(self.elementwise, self.layout, theta, columns)
        return Block(rows, columns, theta, state, self.scratch[: theta.numel()].view_as(theta), where)

    def look_ahead(self, h: StepHyperparameters, out: Float[Tensor, "members parameters"]) -> None:
        """Write the point at which the coming step wants its gradient."""
        for block in self.blocks:
            self.rule.look_ahead(block.theta, block.state, h.rows(block.rows), out[block.rows, block.columns])

    def step(
        self, gradient: Float[Tensor, "members parameters"], h: StepHyperparameters, active: Tensor | None = None
    ) -> None:
        """One update; `gradient` is consumed. Members that are not `active` (members,) keep theta and state.

        The gradient is masked already where there is a mask, as clipping needs it.
        """
        own = [self.state[slot] for wrapper in self.wrappers for slot in wrapper.own_slots]
        own += [self.theta] if self.wrappers else []  # which a wrapper may change after the step
        with _keeping(own, None if active is None else ~active):
            for wrapper in self.wrappers:
                wrapper.before(self.theta, gradient, self.state, h, self.layout)
                self._mask(gradient)  # a mean over a tensor is taken from masked entries too
            self._step(gradient, h, active)
            self._mask(self.theta)  # rules that mix the columns of a tensor write to all of them
            for wrapper in reversed(self.wrappers):
                wrapper.after(self.theta, self.state, h, self.layout)

    def _mask(self, matrix: Tensor) -> None:
        if self.mask is not None:
            matrix.mul_(self.mask)

    def _step(self, gradient: Tensor, h: StepHyperparameters, active: Tensor | None) -> None:
        members = list(range(len(self.theta))) if active is None else active.nonzero().flatten().tolist()
        if self.fused:
            self._step_rows(members, gradient.unbind(), h)
            return
        if self.torch_optimizers is not None:
            self._decay_rows(gradient, h, active)
            self.torch_optimizers.step(members, gradient, h)
            return
        inner = h if self.elementwise is self.rule else h.under("fallback")
        for block in self.blocks:
            self._step_block(block, gradient[block.rows, block.columns], inner.rows(block.rows), active)
        for matrix in self.matrices:
            self._step_matrix(matrix, gradient[:, matrix.columns], h, active)
        if self.elementwise.tallies:
            tallies = {name: self.state[name] for name in self.elementwise.tallies}
            with _keeping(tallies.values(), None if active is None else ~active.cpu()):
                self.elementwise.advance(tallies, inner)

    def _decay_rows(self, gradient: Tensor, h: StepHyperparameters, active: Tensor | None) -> None:
        """Weight decay of the rule's own, ahead of an optimizer's step."""
        with _keeping([self.theta], None if active is None else ~active):
            for block in self.blocks:
                piece = gradient[block.rows, block.columns]
                self.rule.decayed(block.theta, piece, block.state, h.rows(block.rows), block.where)

    def _step_rows(self, members: list[int], gradients: tuple[Tensor, ...], h: StepHyperparameters) -> None:
        """One call of the kernel for all of these members, or one each where they have values of their own."""
        thetas, state = self._rows
        each = list(h.each(len(self.theta)))
        for rows in [members] if h.shared else [[member] for member in members]:
            chosen = {slot: [matrix[row] for row in rows] for slot, matrix in state.items()}
            pieces = [gradients[row] for row in rows]
            if rows:
                self.rule.update_fused([thetas[row] for row in rows], pieces, chosen, each[rows[0]])

    def _step_block(self, block: Block, gradient: Tensor, h: StepHyperparameters, active: Tensor | None) -> None:
        kept = (block.theta, *(block.state[slot] for slot in self.elementwise.slots))
        with _keeping(kept, None if active is None else ~active[block.rows]):
            self.elementwise.decayed(block.theta, gradient, block.state, h, block.where)
            self.elementwise.update(block.theta, gradient, block.state, h, block.scratch)

    def _step_matrix(self, matrix: Matrix, gradient: Tensor, h: StepHyperparameters, active: Tensor | None) -> None:
        if active is not None:
            gradient[~active] = 0  # eigendecompositions refuse what is not finite
        with _keeping((matrix.theta, *matrix.state.values()), None if active is None else ~active):
            matrix.rule.decayed(self.theta[:, matrix.columns], gradient, matrix.state, h, matrix.where)
            matrix.rule.update_matrix(matrix.theta, gradient.view(matrix.theta.shape), matrix.state, h.for_matrices)


@contextlib.contextmanager
def _keeping(matrices: Iterable[Tensor], frozen: Tensor | None) -> Iterator[None]:
    """Undo what is done to the rows that are `frozen`."""
    kept = [] if frozen is None else [(matrix, matrix[frozen]) for matrix in matrices]
    yield
    for matrix, before in kept:
        matrix[frozen] = before


def new_state(rule: Rule | Wrapper, theta: Tensor, layout: Layout | None) -> dict[str, Tensor]:
    """What a rule and all its wrappers remember before the first step: zeros, one row per member each."""
    _, inner = unwrapped(rule)
    state = {slot: torch.zeros_like(theta) for slot in rule.slots}
    if isinstance(inner, MatrixRule):
        for entry in _whole(inner, layout):
            for name, size in inner.factors(*_as_matrix(entry)).items():
                before = state.get(name, theta.new_zeros(len(theta), 0))
                state[name] = torch.cat([before, theta.new_zeros(len(theta), math.prod(size))], dim=1)
    if isinstance(inner, TorchOptimizer):
        _, widths = kept(inner, needed(inner, layout), theta.dtype)
        state |= {
            name: torch.zeros(len(theta), width, dtype=dtype, device=theta.device)
            for name, (width, dtype) in widths.items()
        }
    tallies = _elementwise(inner).tallies
    return state | {name: torch.zeros(len(theta), 1, dtype=torch.float64) for name in tallies}


def _elementwise(rule: Rule) -> Rule:
    """What updates the columns that are in no matrix: the rule itself, or a matrix rule's fallback if it needs one."""
    return (isinstance(rule, MatrixRule) and rule.fallback) or rule


def _as_matrix(entry: Entry) -> tuple[int, int]:
    """Rows and columns of a tensor: its filters and all of each; a vector is one row."""
    rows = entry.filters or 1
    return rows, entry.size // rows


def _whole(rule: MatrixRule, layout: Layout | None) -> list[Entry]:
    """The tensors that the rule takes."""
    return [entry for entry in needed(rule, layout) if rule.takes(entry)]


def _matrices(rule: Rule, theta: Tensor, state: State, layout: Layout | None) -> Iterator[Matrix]:
    """The tensors that the rule takes, as matrices; the factors of one kind lie one after the other in a row."""
    if not isinstance(rule, MatrixRule):
        return
    starts: dict[str, int] = {}
    for entry in _whole(rule, layout):
        shape = (len(theta), *_as_matrix(entry))
        views = {slot: state[slot][:, entry.columns].view(shape) for slot in rule.matrix_slots}
        for name, size in rule.factors(*_as_matrix(entry)).items():
            start = starts.get(name, 0)
            starts[name] = start + math.prod(size)
            views[name] = state[name][:, start : starts[name]].view(len(theta), *size)
        where = _decaying(rule, layout, theta, entry.columns)
        yield Matrix(rule, entry.columns, theta[:, entry.columns].view(shape), views, where)


def _between(matrices: list[Matrix], parameters: int) -> list[slice]:
    """The columns that are in no matrix."""
    edges = [0, *(edge for matrix in matrices for edge in (matrix.columns.start, matrix.columns.stop)), parameters]
    return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]


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
