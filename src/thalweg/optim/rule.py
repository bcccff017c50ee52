"""What an update rule is, and how it is applied to a population.

A rule is elementwise over theta (members, parameters): its formula never mixes members or parameters.
It can therefore be applied block by block, which keeps every intermediate result in the cache and
needs no memory of theta's size.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import UsageError, check_choice
from thalweg.sweep import Sweep, plain

Swept = float | Sweep
Hyper = Any  # a float, or a column (members, 1)
State = Mapping[str, Tensor]

DECAYS = ("l2", "lr_coupled", "schedule_coupled", "constant")
_BLOCK = 2**18  # elements of theta a block holds


@dataclass(frozen=True)
class Values:
    """The hyper-parameters of one step, by name: floats, or columns (members, 1).

    `lr` is the scheduled rate; `schedule` the multiplier in it; `step` counts from 1.
    """

    numbers: dict[str, Hyper]
    step: int

    def __getattr__(self, name: str) -> Hyper:
        try:
            return self.numbers[name]
        except KeyError:
            raise AttributeError(name) from None

    def rows(self, rows: slice) -> "Values":
        """The values of these members."""
        if not any(isinstance(value, Tensor) for value in self.numbers.values()):
            return self
        chosen = {name: value[rows] if isinstance(value, Tensor) else value for name, value in self.numbers.items()}
        return Values(chosen, self.step)


@dataclass(frozen=True)
class Rule:
    """An update rule: its hyper-parameters as fields, its formula as `update`.

    Every rule knows weight decay, by one of four conventions that differ by factors of thousands:

    - "l2": the gradient becomes g + weight_decay theta, before anything else sees it;
    - "lr_coupled" (torch, optax): theta shrinks by 1 - lr_t weight_decay before the step;
    - "schedule_coupled" (the paper's): by 1 - s_t weight_decay, s_t being the schedule's multiplier;
    - "constant" (the lecture's): by 1 - weight_decay, at every step.

    A list in place of a number means one value a configuration: all lists of a rule go together.
    """

    lr: Swept
    slots: ClassVar[tuple[str, ...]] = ()
    looks_ahead: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        check_choice(f"{type(self).__name__} decay", getattr(self, "decay", "l2"), DECAYS)
        for name in ("lr", "weight_decay", "eps"):
            self._within(name, 0, float("inf"))
        for name in ("beta", "beta1", "beta2", "alpha"):
            self._within(name, 0, 1)

    def _within(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name, None)
        points = value.points if isinstance(value, Sweep) else [] if value is None else np.atleast_1d(value)
        for point in points:
            if not low <= point < high:
                bound = "be finite and not negative" if high == float("inf") else f"lie in [{low}, {high})"
                msg = f"{type(self).__name__} {name} must {bound}; got {point:g}."
                raise UsageError(msg)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: Values, scratch: Tensor) -> None:
        """One step in place: theta and the state's tensors are (members, parameters), scratch is free to use."""
        raise NotImplementedError

    def look_ahead(self, theta: Tensor, state: State, h: Values, out: Tensor) -> None:
        """Where the gradient is taken, written to `out`; only rules with `looks_ahead` have such a point."""
        raise NotImplementedError

    def hyper_parameters(self) -> dict[str, Any]:
        """The numeric fields by name: what may be swept."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if not isinstance(value, str | bool)}


def axpy(y: Tensor, a: Hyper, x: Tensor) -> Tensor:
    """y <- y + a x for a number or a column a."""
    return y.addcmul_(x, a) if isinstance(a, Tensor) else y.add_(x, alpha=a)


def add_quotient(y: Tensor, a: Hyper, x: Tensor, z: Tensor) -> Tensor:
    """y <- y + a x / z for a number or a column a; z is overwritten."""
    return axpy(y, a, torch.div(x, z, out=z)) if isinstance(a, Tensor) else y.addcdiv_(x, z, value=a)


@dataclass(frozen=True)
class Block:
    """A piece of theta small enough for the cache, with the same piece of the rule's state."""

    rows: slice
    columns: slice
    theta: Tensor
    state: State
    scratch: Tensor


class Updater:
    """Applies a rule to a population's theta in place, block by block.

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

    def look_ahead(self, h: Values, out: Float[Tensor, "members parameters"]) -> None:
        """Write the point at which the coming step wants its gradient."""
        for block in self.blocks:
            self.rule.look_ahead(block.theta, block.state, h.rows(block.rows), out[block.rows, block.columns])

    def step(self, gradient: Float[Tensor, "members parameters"], h: Values, alive: Tensor | None = None) -> None:
        """One update; `gradient` is consumed. Members outside `alive` (members,) keep theta and state."""
        for block in self.blocks:
            dead = None if alive is None else ~alive[block.rows]
            matrices = (block.theta, *block.state.values())
            kept = [] if dead is None else [(matrix, matrix[dead]) for matrix in matrices]
            self._apply(block, gradient[block.rows, block.columns], h.rows(block.rows))
            for matrix, before in kept:
                matrix[dead] = before

    def _apply(self, block: Block, gradient: Tensor, h: Values) -> None:
        decayed(getattr(self.rule, "decay", "l2"), block.theta, gradient, h)
        self.rule.update(block.theta, gradient, block.state, h, block.scratch)


def decayed(convention: str, theta: Tensor, gradient: Tensor, h: Values) -> None:
    """Weight decay by the given convention (see `Rule`), from theta before the step."""
    weight_decay = h.numbers.get("weight_decay", 0.0)
    if not isinstance(weight_decay, Tensor) and weight_decay == 0:
        return
    if convention == "l2":
        axpy(gradient, weight_decay, theta)
    else:
        rate = {"lr_coupled": h.lr, "schedule_coupled": h.schedule, "constant": 1.0}[convention]
        theta.mul_(1 - rate * weight_decay)


def _blocks(members: int, parameters: int) -> Iterator[tuple[slice, slice]]:
    """Whole rows while they fit a block, else equal pieces of single rows."""
    rows = max(1, _BLOCK // parameters)
    width = math.ceil(parameters / math.ceil(parameters / _BLOCK))
    for top in range(0, members, rows):
        for left in range(0, parameters, width):
            yield slice(top, min(top + rows, members)), slice(left, min(left + width, parameters))
