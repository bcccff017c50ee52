"""Any optimizer of torch's interface as an update rule."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from thalweg.errors import UsageError
from thalweg.optim.rule import Rule, Swept
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.population import Layout

_TRIALS = 3  # steps by which an optimizer shows what it keeps

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class TorchOptimizer(Rule):
    """An optimizer with torch's interface, one for each member: `TorchOptimizer(1e-3, lambda p: torch.optim.RAdam(p))`.

    Before every step each of its parameter groups is given `lr`, which may be swept and follows the schedule; all else
    is as `make` sets it. What it keeps (tensors and numbers, by parameter and by group, from the first step on) lies in
    matrices with one row per member, so runs resume exactly; an optimizer that counts in attributes of its own is
    refused. Random numbers it draws are torch's, and do not resume. Weight decay is the optimizer's own; the rule's
    comes besides.

    Args:
        lr: the learning rate.
        make: from a member's parameters, in the order of its layout, to the optimizer.

    Raises:
        UsageError: `make` returns no optimizer, or one that has modes (`train()`, `eval()`); in training, one whose
            groups have rates of their own, that needs a closure or cannot step on these gradients, or that keeps what
            cannot be resumed.

    Cost: Python loops over members, parameters and what is kept of each, so rules written for populations are faster.

    >>> import torch
    >>> import thalweg as tw
    >>> tw.optim.TorchOptimizer(1e-3, lambda p: torch.optim.ASGD(p, lambd=0.0)).what  # doctest: +ELLIPSIS
    'torch.optim.asgd.ASGD(alpha=0.75, capturable=False, ... weight_decay=0)'
    """

    lr: Swept
    make: Make = field(repr=False)
    what: str = field(init=False, default="")
    elementwise: ClassVar[bool] = False  # as far as anybody knows

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.make):
            msg = f"TorchOptimizer make must be a function such as lambda p: torch.optim.RAdam(p); got {self.make!r}."
            raise UsageError(msg)
        try:
            optimizer = made(self.make, [nn.Parameter(torch.zeros(2, 2))])
            called, settings = type(optimizer), sorted(optimizer.defaults.items())
        except Unmade:  # it may need the parameters of the model, which are not known here
            called, settings = self.make, []
        shown = ", ".join(f"{name}={value!r}" for name, value in settings if name != "lr")
        name = getattr(called, "__qualname__", type(called).__qualname__)
        object.__setattr__(self, "what", f"{called.__module__}.{name}({shown})")


class Unmade(UsageError):
    """`make` raised an error of its own."""


def made(make: Make, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that `make` makes.

    Raises:
        UsageError: it is no optimizer, or none that fits, or cannot be made of these parameters.
    """
    try:
        optimizer = make(parameters)
    except Exception as error:
        shapes = [tuple(p.shape) for p in parameters]
        msg = f"TorchOptimizer make fails on parameters {shapes}: {type(error).__name__}: {error}"
        raise Unmade(msg) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        msg = (
            "TorchOptimizer make must return a torch.optim.Optimizer on the parameters it is given, as "
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

    It is a tensor of this shape, or a number of the type `number`; `slot` is the name of the matrix.
    """

    parameter: int
    key: str
    slot: str
    columns: slice
    shape: tuple[int, ...]
    number: type | None


def slot_of(parameter: int, key: str, dtype: torch.dtype, widths: Mapping[str, tuple[int, torch.dtype]]) -> str:
    """The name of the matrix for what is kept under a key, of all parameters or of a group.

    Tensors of another dtype than the first one under that key have a matrix of their own, or they would be rounded.
    """
    slot = f"torch.state.{key}" if parameter >= 0 else f"torch.group.{-1 - parameter}.{key}"
    known = widths.get(slot, (0, dtype))[1]
    return slot if known == dtype else f"{slot}.{str(dtype).removeprefix('torch.')}"


def kept(
    rule: TorchOptimizer, layout: Layout, dtype: torch.dtype
) -> tuple[list[Kept], dict[str, tuple[int, torch.dtype]]]:
    """What the optimizer keeps of a member, and the width and dtype of each matrix, found by steps on small numbers.

    Raises:
        UsageError: it cannot step, as without a closure, or keeps what no matrix can hold, or not from the first step
            on.
    """
    parameters = [nn.Parameter(torch.zeros(entry.shape, dtype=dtype)) for entry in layout]
    optimizer = made(rule.make, parameters)
    _check_rates(optimizer)
    before = _besides(optimizer)
    _trial(optimizer, parameters)
    first = {(index, key) for index, key, _ in _everything(optimizer, parameters)}
    for _ in range(_TRIALS - 1):
        _trial(optimizer, parameters)
    found, after = _everything(optimizer, parameters), _besides(optimizer)
    late = {key for index, key, _ in found if (index, key) not in first}
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if late or changed:
        what = ", ".join(map(repr, sorted(late or changed)))
        how = f"makes {what} later than in its first step" if late else f"changes {what}"
        msg = (
            f"{type(optimizer).__name__} {how}, so its runs could not be resumed; what it keeps must be tensors or "
            "numbers in self.state[parameter] or self.param_groups, there from the first step on."
        )
        raise UsageError(msg)
    places: list[Kept] = []
    widths: dict[str, tuple[int, torch.dtype]] = {}
    for index, key, value in found:
        tensor = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
        number = None if isinstance(value, Tensor) else type(value)
        slot = slot_of(index, key, tensor.dtype, widths)
        start = widths.get(slot, (0, tensor.dtype))[0]
        widths[slot] = start + tensor.numel(), tensor.dtype
        places.append(Kept(index, key, slot, slice(start, start + tensor.numel()), tuple(tensor.shape), number))
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


def _trial(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
    """One step on small gradients."""
    _give_gradients(parameters)
    try:
        optimizer.step()
    except Exception as error:
        name, says = type(optimizer).__name__, f"{type(error).__name__}: {error}".removesuffix(": ")
        msg = f"{name} cannot step on gradients of {[tuple(p.shape) for p in parameters]}: {says}"
        if steps_with_closure(optimizer, parameters):
            msg = f"{name} cannot step without a closure ({says}); optimizers that do are supported."
        raise UsageError(msg) from error


def steps_with_closure(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> bool:
    """Whether an optimizer that has failed to step does so if it may ask for gradients and the loss itself."""

    def closure() -> Any:
        _give_gradients(parameters)
        return torch.zeros(())

    try:
        optimizer.step(closure)
    except Exception:
        return False
    return True


def _give_gradients(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-3)


def _check_rates(optimizer: torch.optim.Optimizer) -> None:
    """Raise UsageError where groups have rates of their own, which the rule's would take the place of."""
    rates = list(dict.fromkeys(float(group["lr"]) for group in optimizer.param_groups if "lr" in group))
    if len(rates) > 1:
        shown = ", ".join(f"{rate:g}" for rate in rates)
        msg = (
            f"The parameter groups of {type(optimizer).__name__} have rates {shown}; "
            "TorchOptimizer gives all of them its lr. Write one rate, and requires_grad_(False) on what is not to move."
        )
        raise UsageError(msg)


@functools.cache
def _of_torch() -> frozenset[str]:
    """The attributes every optimizer has. Asked for late: the first optimizer of a process loads torch's compiler."""
    return frozenset(vars(torch.optim.SGD([torch.zeros(1)])))


def _besides(optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """What an optimizer has in other places than `_everything` looks at, as text, by a name for each."""
    own = {name: value for name, value in vars(optimizer).items() if name not in _of_torch()}
    own |= {
        f"param_groups[{index}][{key!r}]": value
        for index, group in enumerate(optimizer.param_groups)
        for key, value in group.items()
        if key != "params" and not isinstance(value, Tensor | int | float)
    }
    for state in optimizer.state.values():
        if isinstance(state, Mapping):
            odd = {
                key: value for key, value in state.items() if not isinstance(value, Tensor | int | float | str | None)
            }
            own |= {f"state[parameter][{key!r}]": value for key, value in odd.items()}
    return {name: repr(value) for name, value in own.items()}


class TorchOptimizers:
    """The optimizers of a population's members, on the rows of theta; what they keep are views of the state.

    Args:
        rule: what makes them.
        theta: (members, parameters), changed by their steps.
        state: the matrices of `kept`, by slot.
        layout: of theta.
    """

    def __init__(self, rule: TorchOptimizer, theta: Tensor, state: Mapping[str, Tensor], layout: Layout) -> None:
        self.places, _ = kept(rule, layout, theta.dtype)
        self.state, self.layout = state, layout
        self.views = [list(layout.views(row).values()) for row in theta]
        self.parameters = [[nn.Parameter(view) for view in views] for views in self.views]
        self.optimizers = [made(rule.make, parameters) for parameters in self.parameters]
        self.fresh = set(range(len(theta)))  # members that have made no step here

    def step(self, members: Sequence[int], gradient: Tensor, h: StepHyperparameters) -> None:
        """One step of each of these members."""
        if h.step > 1:  # those of a run that goes on, or that begin in mid-run with their moments
            for member in self.fresh & set(members):
                self._load(member)
        self.fresh -= set(members)
        each = list(h.each(len(self.optimizers)))
        for member in members:
            optimizer = self.optimizers[member]
            for group in optimizer.param_groups:
                group["lr"] = each[member].lr
            for parameter, piece in zip(
                self.parameters[member], self.layout.views(gradient[member]).values(), strict=True
            ):
                parameter.grad = piece.clone()
            with torch.enable_grad():
                optimizer.step()
            self._bind(member)
            self._save(member)

    def _bind(self, member: int) -> None:
        """Take what the optimizer put in the place of a parameter's memory into theta."""
        for parameter, view in zip(self.parameters[member], self.views[member], strict=True):
            if parameter.data_ptr() != view.data_ptr() or parameter.stride() != view.stride():
                view.copy_(parameter.detach())
                parameter.data = view

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
