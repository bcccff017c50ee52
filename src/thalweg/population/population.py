"""Members as rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from thalweg.errors import StorageError, UsageError
from thalweg.population.copying import converted, copied, matching
from thalweg.population.layout import Layout, same_layout
from thalweg.randomness import global_stream
from thalweg.results import Summarized, Table
from thalweg.storage.statefile import misfits

_EXTRA = "_extra_state"  # how names end of what `get_extra_state` gives


@dataclass(frozen=True, eq=False)
class Population(Summarized):
    """Networks of one architecture, one row each; immutable (functions return new ones).

    Args:
        theta: the trained parameters.
        buffers: what else the model keeps, by name, members in front: running statistics of
            normalization layers, frozen parameters.
        layout: which columns are which tensors.
        template: a private copy of the model that `module` builds on; its own numbers are never used.
        mask: True where a parameter is active; elsewhere it is zero and stays zero. None: all are active.

    >>> import torch
    >>> import thalweg as tw
    >>> population = tw.Population.initialize(lambda: tw.nets.mlp(4, 3, 2), seeds=[0, 1])
    >>> population.theta.shape, len(population[0])
    (torch.Size([2, 23]), 1)
    >>> population.module(1)(torch.zeros(5, 4)).shape
    torch.Size([5, 2])
    """

    theta: Float[Tensor, "members parameters"]
    buffers: Mapping[str, Tensor]
    layout: Layout
    template: nn.Module = field(repr=False)
    mask: Bool[Tensor, "members parameters"] | None = None

    @classmethod
    def of(cls, modules: Sequence[nn.Module]) -> "Population":
        """The given modules as members; they are read, never kept or changed."""
        if not modules:
            msg = "A population needs at least one module; got an empty list."
            raise UsageError(msg)
        template = copied(modules[0])
        layout = Layout.of(template)
        for module in modules[1:]:
            same_layout(layout, Layout.of(module))
        theta = torch.stack([_row(module, layout) for module in modules])
        states = [dict(_others(module, layout)) for module in modules]
        buffers = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        return cls(theta, buffers, layout, template)

    @classmethod
    def initialize(cls, model: Callable[[], nn.Module], seeds: Iterable[int]) -> "Population":
        """One freshly built module per seed, each drawn from the stream (seed, "initialization").

        Cost: one call of `model` a member; torch's initializers read the fan-in of a single module,
        which is why members are not initialized as one stacked tensor.
        """
        modules = []
        for seed in seeds:
            with global_stream(seed, "initialization"):
                modules.append(model())
        return cls.of(modules)

    @classmethod
    def concatenate(cls, populations: Sequence["Population"]) -> "Population":
        """The members of several populations of one architecture, one after the other, as a copy.

        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> len(tw.Population.concatenate([problem.initialize(2), problem.initialize(3)]))
        5

        Raises:
            UsageError: none at all, or two of different architectures.
        """
        if not populations:
            msg = "Population.concatenate needs at least one population; got none."
            raise UsageError(msg)
        first, *others = populations
        for other in others:
            same_layout(first.layout, other.layout)
        masks = None
        if any(one.mask is not None for one in populations):
            masks = torch.cat(
                [torch.ones_like(one.theta, dtype=torch.bool) if one.mask is None else one.mask for one in populations]
            )
        return replace(
            first,
            theta=torch.cat([one.theta for one in populations]),
            buffers={name: torch.cat([one.buffers[name] for one in populations]) for name in first.buffers},
            mask=masks,
        )

    def facts(self) -> dict[str, str]:
        """Members, parameters, precision and place; how much of it is active, and how many members are not finite."""
        theta = self.theta
        finite = int(theta.isfinite().all(1).sum())
        active = "" if self.mask is None else f", {self.mask.double().mean():.1%} active"
        return {
            "members": f"{len(self):,}" + ("" if finite == len(self) else f", {len(self) - finite:,} not finite"),
            "parameters": f"{self.layout.parameters:,} in {len(self.layout.entries)} tensors{active}",
            "dtype": str(theta.dtype).removeprefix("torch."),
            "device": str(theta.device),
        }

    def details(self) -> Table:
        """Every tensor of a member."""
        return self.layout.details()

    def __len__(self) -> int:
        return self.theta.shape[0]

    def __iter__(self) -> Iterator["Population"]:
        return (self[member] for member in range(len(self)))

    def __getitem__(self, which: int | slice | Sequence[int] | Tensor) -> "Population":
        """The chosen members, always as a population (an integer gives a population of one)."""
        if isinstance(which, np.integer) or (isinstance(which, Tensor) and which.ndim == 0):
            which = int(which)
        if isinstance(which, int):
            if not -len(self) <= which < len(self):
                msg = f"There is no member {which}; the population has {len(self)} (0 to {len(self) - 1})."
                raise UsageError(msg)
            which = [which]
        index = which if isinstance(which, slice) else torch.as_tensor(which, device=self.theta.device)
        return replace(
            self,
            theta=self.theta[index],
            buffers={name: buffer[index] for name, buffer in self.buffers.items()},
            mask=None if self.mask is None else self.mask[index],
        )

    @property
    def running(self) -> dict[str, Tensor]:
        """The buffers that the model may change when it is called: all but frozen parameters."""
        names = {name for name, _ in self.template.named_buffers()}
        return {name: buffer for name, buffer in self.buffers.items() if name in names}

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "Population":
        """The same population on another device or in another floating dtype."""
        return replace(
            self,
            theta=self.theta.to(device, dtype),
            buffers={name: buffer.to(device, matching(buffer, dtype)) for name, buffer in self.buffers.items()},
            template=converted(copied(self.template), device, dtype),
            mask=None if self.mask is None else self.mask.to(device),
        )

    def copy(self) -> "Population":
        """A population that shares no memory with this one."""
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        return replace(self, theta=self.theta.clone(), buffers=buffers)

    def with_theta(self, theta: Float[Tensor, "members parameters"]) -> "Population":
        """The same architecture at other points; buffers are repeated when this is a population of one."""
        if theta.ndim != 2 or theta.shape[1] != self.layout.parameters:
            msg = f"theta must be (members, {self.layout.parameters}), got {tuple(theta.shape)}."
            raise UsageError(msg)
        buffers, mask = self.buffers, self.mask
        if len(theta) != len(self):
            if len(self) != 1:
                msg = f"{len(theta)} rows of theta for a population of {len(self)}; select one member first."
                raise UsageError(msg)
            buffers = {name: buffer.expand(len(theta), *buffer.shape[1:]) for name, buffer in buffers.items()}
            mask = None if mask is None else mask.expand(len(theta), -1)
            return replace(self, theta=theta, buffers=buffers, mask=mask).with_own_buffers()
        return replace(self, theta=theta, buffers=buffers, mask=mask)

    def with_own_buffers(self) -> "Population":
        """The same with copies of the buffers that the model may change, so that its writing stays here."""
        copies = {name: buffer.clone() for name, buffer in self.running.items()}
        return replace(self, buffers={**self.buffers, **copies})

    def with_mask(self, mask: Bool[Tensor, "*members parameters"]) -> "Population":
        """The members restricted to a mask, within the one they have: outside, parameters are and stay zero."""
        fitting = [(self.layout.parameters,), (1, self.layout.parameters), tuple(self.theta.shape)]
        if mask.dtype != torch.bool or tuple(mask.shape) not in fitting:
            msg = (
                f"A mask is boolean of shape ({self.layout.parameters},) or {tuple(self.theta.shape)} (one row a "
                f"member), got {str(mask.dtype).removeprefix('torch.')} {tuple(mask.shape)}."
            )
            raise UsageError(msg)
        mask = mask.to(self.theta.device).expand_as(self.theta)
        mask = mask if self.mask is None else mask & self.mask
        return replace(self, theta=self.theta * mask, mask=mask)

    def module(self, member: int) -> nn.Module:
        """Member `member` as an ordinary module of its own, sharing no memory with the population."""
        module = copied(self.template)
        row = self[member]
        tensors = {**self.layout.views(row.theta), **row.buffers}
        with torch.no_grad():
            for name, tensor in _named(module):
                if name in tensors:
                    tensor.copy_(tensors[name][0])
        return module

    def state_dict(self, member: int) -> dict[str, Tensor]:
        """Member `member` as a state dict, as torch's `load_state_dict` takes it."""
        return self.module(member).state_dict()

    def load(self, states: Sequence[Mapping[str, Tensor]]) -> "Population":
        """State dicts as members of this population's architecture.

        Of a tensor that has several names in the model (tied weights) one is enough.

        Raises:
            StorageError: keys are missing, unexpected or of another shape, every one of which is listed, or tensors
                differ that are one in the model.
        """
        modules = []
        for number, state in enumerate(states):
            module = copied(self.template)
            whole = _tied(module, state, number)
            expected = module.state_dict()
            whole = {**_extra(expected, state, number), **whole}
            _check_state(_tensors(expected), _tensors(whole), number)
            module.load_state_dict(whole)
            modules.append(module)
        return Population.of(modules)


def _named(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _row(module: nn.Module, layout: Layout) -> Float[Tensor, " parameters"]:
    return layout.pack({name: parameter.detach() for name, parameter in module.named_parameters()})


def _others(module: nn.Module, layout: Layout) -> list[tuple[str, Tensor]]:
    """Buffers and frozen parameters, detached."""
    trained = {entry.name for entry in layout}
    return [(name, tensor.detach()) for name, tensor in _named(module) if name not in trained]


def _check_state(expected: Mapping[str, Tensor], got: Mapping[str, Tensor], number: int) -> None:
    faults = misfits(expected, got)
    if faults:
        msg = f"State dict {number} does not fit the model: {'; '.join(faults)}.{_prefix(expected, got)}"
        raise StorageError(msg)


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a state dict holds beside what `get_extra_state` gives."""
    return {name: tensor for name, tensor in state.items() if not name.endswith(_EXTRA)}


def _extra(expected: Mapping[str, Any], got: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What `get_extra_state` gives for the model; raises StorageError where a state dict has something else."""
    own = {name: value for name, value in expected.items() if name.endswith(_EXTRA)}
    for name, value in got.items():
        if name.endswith(_EXTRA) and (name not in own or not _alike(own[name], value)):
            msg = (
                f"State dict {number} has another {name!r} than the model, and members differ in tensors only; build "
                "the model with it, or keep what differs in buffers (register_buffer)."
            )
            raise StorageError(msg)
    return own


def _alike(one: Any, other: Any) -> bool:
    try:
        return bool(torch.equal(one, other) if isinstance(one, Tensor) else one == other)
    except (TypeError, ValueError, RuntimeError):  # of what cannot be compared
        return type(one) is type(other)


def _prefix(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> str:
    """What to write where all names have a prefix, as torch.compile and averages of models give them."""
    for name in got:
        start = next((name.removesuffix(one) for one in expected if name.endswith(f".{one}")), "")
        if start and all(start + one in got for one in expected):
            given = (
                f"name.removeprefix({start!r}): tensor for name, tensor in state.items() if name.startswith({start!r})"
            )
            return f" All are there with {start!r} before their names: write {{{given}}}."
    return ""


def _tied(module: nn.Module, got: Mapping[str, Tensor], number: int) -> Mapping[str, Tensor]:
    """A state dict with all names of tensors that have several in the model; raises StorageError where they differ."""
    names: dict[Tensor, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    whole = dict(got)
    for of in names.values():
        first, *others = [name for name in of if name in got] or of
        for other in others:
            if other in got and not torch.equal(got[first], got[other]):
                msg = (
                    f"State dict {number} has two different tensors {first!r} and {other!r}, which are one in the "
                    "model; build the model without tied weights, or leave out the one that is not meant."
                )
                raise StorageError(msg)
        if first in got:
            whole |= dict.fromkeys(of, got[first])
    return whole
