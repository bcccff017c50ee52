"""An optimizer of torch's interface as a subject."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import UsageError
from thalweg.optim.testing.specification import Specification, specification_of_torch
from thalweg.optim.testing.subject import MATRICES, MIXED, GradientAt, Make, Shapes, check_rate
from thalweg.optim.torch_optimizer import Unmade, made, steps_with_closure
from thalweg.sweep import plain


class TorchSubject:
    """What makes an optimizer of torch's interface.

    Raises:
        UsageError: it makes none, or one that maximizes, has the learning rate 0 or needs a closure.
    """

    def __init__(self, make: Make, specification: Specification | None) -> None:
        self.make = make
        try:
            self.shapes, parameters = MIXED, _parameters(torch.ones(37), MIXED)
            optimizer = made(make, parameters)
        except Unmade:  # such as one for matrices alone
            self.shapes, parameters = MATRICES, _parameters(torch.ones(31), MATRICES)
            optimizer = made(make, parameters)
        name = type(optimizer).__name__
        if any(group.get("maximize") for group in optimizer.param_groups):
            msg = f"check follows losses downhill; give {name} without maximize=True."
            raise UsageError(msg)
        check_rate(name, max(float(group.get("lr", 1.0)) for group in optimizer.param_groups))
        self.groups, self.specification = optimizer.param_groups, specification or specification_of_torch(optimizer)
        self.name = f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        try:
            optimizer.step()
        except Exception as error:  # a requirement will find another fault again
            if steps_with_closure(optimizer, parameters):
                says = f"{type(error).__name__}: {error}"
                msg = f"check hands gradients over, and {name} cannot step without a closure ({says})."
                raise UsageError(msg) from error

    def run(self, start: Tensor, shapes: Shapes | None = None, **changes: Any) -> "TorchRun":
        """A fresh run."""
        return TorchRun(self.make, start, shapes or self.shapes, changes)

    def knows(self, *names: str) -> bool:
        """Whether these settings can be changed."""
        return all(_place(self.groups[0], name) is not None for name in names)


class TorchRun:
    """An optimizer of torch's interface at work; gradients are views of the vector handed over."""

    def __init__(self, make: Make, start: Tensor, shapes: Shapes, changes: dict[str, Any]) -> None:
        self.make, self.shapes, self.changes = make, shapes, changes
        self.parameters = _parameters(start, shapes)
        self.optimizer = make(self.parameters)
        for group in self.optimizer.param_groups:
            # A rate that is a tensor would bring its own precision.
            group |= {name: value.double() for name, value in group.items() if _is_number(value)}
            for name, value in changes.items():
                _change(group, name, value)

    @property
    def theta(self) -> Tensor:
        """A copy of the parameters."""
        return torch.cat([parameter.detach().flatten() for parameter in self.parameters])

    def advance(self, gradient_at: GradientAt) -> None:
        """One step."""
        gradient = gradient_at(self.theta)
        for parameter, piece in zip(self.parameters, _cut(gradient, self.shapes), strict=True):
            parameter.grad = piece
        self.optimizer.step()

    def memory(self) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters and all tensors of the state."""
        kept = [value for state in self.optimizer.state.values() for value in state.values()]
        return list(self.parameters), [value for value in kept if isinstance(value, Tensor)]

    def resumed(self) -> "TorchRun":
        """A new optimizer that has loaded this one's state_dict."""
        other = TorchRun(self.make, self.theta, self.shapes, self.changes)
        other.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        return other


def _cut(vector: Tensor, shapes: Shapes) -> list[Tensor]:
    pieces = vector.split([torch.Size(shape).numel() for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _parameters(start: Tensor, shapes: Shapes) -> list[nn.Parameter]:
    return [nn.Parameter(piece.clone()) for piece in _cut(start, shapes)]


def _is_number(value: Any) -> bool:
    """Whether a setting is a tensor in place of a number."""
    return isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point()


def _place(group: dict[str, Any], name: str) -> tuple[str, int | None] | None:
    """Where a group of torch's keeps a setting: its key, and the index in a pair."""
    if name in ("beta1", "beta2") and "betas" in group:
        return "betas", int(name == "beta2")
    key = "momentum" if name == "beta" else name
    return (key, None) if isinstance(plain(group.get(key)), int | float) else None


def _change(group: dict[str, Any], name: str, value: float) -> None:
    place = _place(group, name)
    if place is None:
        msg = f"This optimizer has no setting {name}."
        raise UsageError(msg)
    key, index = place
    if index is None:
        group[key] = value
    else:
        group[key] = tuple(value if at == index else old for at, old in enumerate(group[key]))
