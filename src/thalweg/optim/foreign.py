"""Any optimizer of torch's interface as an update rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import UsageError
from thalweg.optim.rule import Rule, Swept
from thalweg.optim.values import Values
from thalweg.population import Layout

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Torch(Rule):
    """An optimizer with torch's interface, one for each member: `Torch(1e-3, lambda p: torch.optim.RAdam(p))`.

    Before every step each of its parameter groups is given `lr`, which may be swept and follows the schedule; all else
    is as `make` sets it. What it keeps (tensors and numbers, by parameter and by group) lies in matrices with a row a
    member, so runs resume exactly. Weight decay is the optimizer's own; the rule's comes besides.

    Args:
        lr: the learning rate.
        make: from a member's parameters, in the order of its layout, to the optimizer.

    Raises:
        UsageError: `make` returns no optimizer, or one that needs a closure or has modes (`train()`, `eval()`).

    Cost: Python loops over members, parameters and what is kept of each, so rules written for populations are faster.
    """

    lr: Swept
    make: Make = field(repr=False)
    what: str = field(init=False, default="")

    def __post_init__(self) -> None:
        super().__post_init__()
        optimizer = made(self.make, [nn.Parameter(torch.zeros(2, 2))])
        settings = ", ".join(f"{name}={value!r}" for name, value in sorted(optimizer.defaults.items()) if name != "lr")
        object.__setattr__(self, "what", f"{type(optimizer).__module__}.{type(optimizer).__qualname__}({settings})")


def made(make: Make, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that `make` makes.

    Raises:
        UsageError: it is none, or none that fits.
    """
    optimizer = make(parameters)
    if not isinstance(optimizer, torch.optim.Optimizer):
        msg = (
            "Torch make must return a torch.optim.Optimizer on the parameters it is given, as "
            f"lambda p: torch.optim.RAdam(p) does; got {type(optimizer).__name__}."
        )
        raise UsageError(msg)
    if hasattr(optimizer, "train") and hasattr(optimizer, "eval"):
        msg = (
            f"{type(optimizer).__name__} has modes, train() and eval(); write optim.ScheduleFreeAdamW or alike instead."
        )
        raise UsageError(msg)
    return optimizer


@dataclass(frozen=True)
class Kept:
    """One thing an optimizer keeps of a parameter, or of a group (-1, -2, ...), and its place in a matrix.

    It is a tensor of this shape, or a number of the type `number`.
    """

    parameter: int
    key: str
    columns: slice
    shape: tuple[int, ...]
    number: type | None

    @property
    def slot(self) -> str:
        """The name of the matrix."""
        return slot_of(self.parameter, self.key)


def slot_of(parameter: int, key: str) -> str:
    """The name of the matrix for what is kept under a key, of all parameters or of a group."""
    return f"torch.state.{key}" if parameter >= 0 else f"torch.group.{-1 - parameter}.{key}"


def kept(rule: Torch, layout: Layout, dtype: torch.dtype) -> tuple[list[Kept], dict[str, tuple[int, torch.dtype]]]:
    """What the optimizer keeps of a member, and the width and dtype of each matrix, found by a step on zeros.

    Raises:
        UsageError: it cannot step without a closure.
    """
    parameters = [nn.Parameter(torch.zeros(entry.shape, dtype=dtype)) for entry in layout]
    optimizer = made(rule.make, parameters)
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-3)
    try:
        optimizer.step()
    except TypeError as error:
        msg = f"{type(optimizer).__name__} cannot step without a closure ({error}); optimizers that do are supported."
        raise UsageError(msg) from error
    places: list[Kept] = []
    widths: dict[str, tuple[int, torch.dtype]] = {}
    for index, key, value in _everything(optimizer, parameters):
        tensor = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
        number = None if isinstance(value, Tensor) else type(value)
        slot = slot_of(index, key)
        start = widths.get(slot, (0, tensor.dtype))[0]
        widths[slot] = start + tensor.numel(), tensor.dtype
        places.append(Kept(index, key, slice(start, start + tensor.numel()), tuple(tensor.shape), number))
    return places, widths


def _everything(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> list[tuple[int, str, Any]]:
    """Tensors and numbers kept of each parameter, by its index, and of each group, by -1 - index."""
    found = [
        (index, key, value)
        for index, parameter in enumerate(parameters)
        for key, value in optimizer.state.get(parameter, {}).items()
    ]
    found += [
        (-1 - index, key, value)
        for index, group in enumerate(optimizer.param_groups)
        for key, value in group.items()
        if key not in ("params", "lr")
    ]
    return [one for one in found if isinstance(one[2], Tensor | int | float)]


class Foreign:
    """The optimizers of a population's members, on the rows of theta; what they keep are views of the state.

    Args:
        rule: what makes them.
        theta: (members, parameters), changed by their steps.
        state: the matrices of `kept`, by slot.
        layout: of theta.
    """

    def __init__(self, rule: Torch, theta: Tensor, state: Mapping[str, Tensor], layout: Layout) -> None:
        self.places, _ = kept(rule, layout, theta.dtype)
        self.state, self.layout = state, layout
        self.parameters = [[nn.Parameter(view) for view in layout.views(row).values()] for row in theta]
        self.optimizers = [made(rule.make, parameters) for parameters in self.parameters]
        self.fresh = True

    def step(self, members: Sequence[int], gradient: Tensor, h: Values) -> None:
        """One step of each of these members."""
        if self.fresh and h.step > 1:  # the run goes on from a checkpoint
            for member in range(len(self.optimizers)):
                self._load(member)
        self.fresh = False
        each = list(h.each(len(self.optimizers)))
        for member in members:
            optimizer = self.optimizers[member]
            for group in optimizer.param_groups:
                group["lr"] = each[member].lr
            for parameter, slope in zip(
                self.parameters[member], self.layout.views(gradient[member]).values(), strict=True
            ):
                parameter.grad = slope.clone()
            with torch.enable_grad():
                optimizer.step()
            self._save(member)

    def _holder(self, member: int, place: Kept) -> tuple[dict[str, Any], str]:
        """Where an optimizer has this: the mapping, and the key in it."""
        optimizer = self.optimizers[member]
        if place.parameter < 0:
            return optimizer.param_groups[-1 - place.parameter], place.key
        return optimizer.state[self.parameters[member][place.parameter]], place.key

    def _load(self, member: int) -> None:
        for place in self.places:
            holder, key = self._holder(member, place)
            row = self.state[place.slot][member, place.columns]
            holder[key] = row.view(place.shape) if place.number is None else place.number(row.item())

    def _save(self, member: int) -> None:
        for place in self.places:
            holder, key = self._holder(member, place)
            row = self.state[place.slot][member, place.columns]
            if place.number is not None:
                row.fill_(holder[key])
            elif holder[key].data_ptr() != row.data_ptr():
                row.copy_(holder[key].flatten())
                holder[key] = row.view(place.shape)
