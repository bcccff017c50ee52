"""Units that have one value for all inputs, and the biases that can take it up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils._pytree import tree_map

from thalweg.population.binding import call
from thalweg.population.structure import Slice, Structure, UnitGroup
from thalweg.tickets.slicing_check import in_double

_SAME = 1e-12  # of the largest value of a unit


@dataclass(frozen=True, eq=False)
class Constants:
    """Units of a group that are constant where they are read, and what they add there.

    Args:
        units: those whose value can be taken up by everything that reads them.
        added: by the name of a bias, what it must be increased by.
    """

    units: Bool[Tensor, " units"]
    added: Mapping[str, Float[Tensor, " outputs"]]

    @classmethod
    def of(
        cls, structure: Structure, work: nn.Module, group: UnitGroup, suspected: Bool[Tensor, " units"], inputs: Any
    ) -> "Constants":
        """By what the layers that read the group receive on some inputs.

        Args:
            structure, work, group: see `foldable`, which holds.
            suspected: units that no weight writes.
            inputs: a batch of the model.
        """
        seen = _received(work, [one.module for one in structure.readers(group)], inputs)
        units, parts = suspected.clone(), []
        for one in group.read:
            path = one.tensor.removesuffix("weight").rstrip(".")
            layer = work.get_submodule(path)
            lines = _lines(layer, seen[path])[:, one.positions]  # (examples and places, units, width)
            spread = (lines - lines[:1]).abs().amax((0, 2))
            values = lines[0]
            even = spread <= _SAME * values.abs().amax(1).clamp_min(1)
            absorbs = layer.bias is not None and not _zeros_at_border(layer)
            units &= even & (torch.tensor(absorbs) | (values == 0).all(1))
            parts.append((one, layer, path, values))
        added: dict[str, Tensor] = {}
        for one, layer, path, values in parts:
            if layer.bias is not None:
                name = f"{path}.bias".lstrip(".")
                added[name] = added.get(name, 0) + _sum_of(layer.weight.detach(), one, values, units)
        return cls(units, added)

    def fold(self, tensors: dict[str, Tensor]) -> set[str]:
        """Add the constants to the biases in place; which of them changed."""
        changed = {name for name, values in self.added.items() if bool(values.any())}
        for name in changed:
            tensors[name] += self.added[name]
        return changed


def foldable(structure: Structure, work: nn.Module, group: UnitGroup) -> bool:
    """Whether all that reads a group are linear layers and convolutions, each called once with a weight of its own."""
    weights = {one.tensor for one in group.read}
    for operation in structure.readers(group):
        layer, name = work.get_submodule(operation.module), f"{operation.module}.weight".lstrip(".")
        plain = type(layer) is nn.Linear or (
            isinstance(layer, _ConvNd) and not isinstance(layer, _ConvTransposeNd) and layer.groups == 1
        )
        if not plain or name not in weights or len(structure.uses(name)) != 1:
            return False
        bias = f"{operation.module}.bias".lstrip(".")
        if layer.bias is not None and (bias not in structure.names or len(structure.uses(bias)) != 1):
            return False
        weights.discard(name)
    return not weights and all(one.dim == 1 and one.rows is None for one in group.read)


def _received(work: nn.Module, paths: list[str], inputs: Any) -> dict[str, Tensor]:
    """What modules are called with on some inputs, by path."""
    seen: dict[str, Tensor] = {}
    hooks = [
        work.get_submodule(path).register_forward_pre_hook(
            lambda _, arguments, path=path: seen.__setitem__(path, arguments[0].detach())
        )
        for path in paths
    ]
    try:
        with torch.no_grad():
            call(work, tree_map(in_double, inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _lines(layer: nn.Module, received: Tensor) -> Float[Tensor, "lines inputs"]:
    """What a layer received, units last."""
    if isinstance(layer, _ConvNd):
        received = received.movedim(-len(layer.kernel_size) - 1, -1)
    return received.reshape(-1, received.shape[-1])


def _zeros_at_border(layer: nn.Module) -> bool:
    """Whether a convolution reads zeros beside its input, where a constant is none."""
    if not isinstance(layer, _ConvNd) or layer.padding_mode != "zeros":
        return False
    return layer.padding == "same" or (not isinstance(layer.padding, str) and any(layer.padding))


def _sum_of(
    weight: Tensor, one: Slice, values: Float[Tensor, "units width"], units: Bool[Tensor, " units"]
) -> Float[Tensor, " outputs"]:
    """What constants add to every output: their weights, summed over a kernel, times them."""
    weight = weight.flatten(2).sum(2) if weight.ndim > 2 else weight
    return weight[:, one.positions[units].flatten()] @ values[units].flatten()
