"""Groups of units that may be exchanged, with all that belongs to each unit."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.population.structure.axes import Axis, Places, find, leaves, walk
from thalweg.population.structure.dimensions import axes
from thalweg.population.structure.flow import Flow

PLAIN = ("units", "channels")  # of a layer, which need no other name


@dataclass(frozen=True, eq=False)
class Slice:
    """Which indices along one dimension of a tensor belong to each unit of a group.

    Args:
        tensor: name of a parameter (see `Layout`) or of a buffer or frozen parameter (see `Population.buffers`).
        dim: of the tensor, without the members in front.
        positions: (units, width): indices along `dim`; width is 1 for a unit of a linear layer, the number of positions
            where channels were flattened, the size of a head, ...
        rows: indices along dimension 0 to which it is confined, as in a grouped convolution; None: all of them.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.convnet((4,)), tw.data.digits(image=True))
    >>> slices = problem.structure.groups[0].slices
    >>> [(one.tensor, one.dim, one.positions.shape[1]) for one in slices]
    [('convolution1.weight', 0, 1), ('convolution1.bias', 0, 1), ('output.weight', 1, 16)]
    """

    tensor: str
    dim: int
    positions: Int64[Tensor, "units width"] = field(repr=False)
    rows: Int64[Tensor, " rows"] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class UnitGroup:
    """Units of a model that may be exchanged for each other, which leaves its function as it is.

    Args:
        name: the module that first writes them, and what they are where they are not its units.
        kind: a description of what they seem to be, by which nothing is decided: "units", "channels" (a convolution
            writes them), or "blocks" of either; "stream" where a value is added to what layers computed from it, as
            residual branches do; and where softmax weights values, "heads", "query-key" (dimensions of which scores
            are the sum) and "value" (dimensions of what is weighted). Attention that is written otherwise has units.
        units: how many.
        written: where a unit's own numbers are: weights and biases that make it, scales and shifts, running statistics.
        read: where the weights are that read it.

    Exchanging units means exchanging their indices in all of `slices` alike, one after the other; a tensor may have two
    along the same dimension (products of all units with all units, flattened). See `Structure.permuted`.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> (group,) = problem.structure.groups
    >>> group.name, group.kind, group.units, [one.tensor for one in group.written], [one.tensor for one in group.read]
    ('hidden1', 'units', 32, ['hidden1.weight', 'hidden1.bias'], ['output.weight'])
    """

    name: str
    kind: str
    units: int
    written: tuple[Slice, ...] = field(repr=False)
    read: tuple[Slice, ...] = field(repr=False)
    slices: tuple[Slice, ...] = field(repr=False)

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """Names of all tensors in which the units have indices."""
        return tuple(dict.fromkeys(one.tensor for one in self.slices))


Key = tuple[str, int, Places]  # tensor, dimension, rows (none: all)


def groups_of(flow: Flow, convolutions: Container[str]) -> dict[Axis, UnitGroup]:
    """The groups of a model that was followed, by axis, in the order of its tensors.

    Args:
        flow: what passes through it.
        convolutions: tensors that convolutions read.
    """
    own = _dimensions(flow)
    found: dict[Axis, dict[Key, list[Sequence[Places]]]] = {}
    blocks: set[Axis] = set()
    for key, axis in own.items():
        if not find(axis).reason:
            for leaf, places, whole in walk(axis, [(index,) for index in range(axis.size)]):
                found.setdefault(leaf, {}).setdefault(key, []).append(places)
                if whole:
                    blocks.add(leaf)
    drafts: dict[Axis, UnitGroup] = {}
    for axis, places in found.items():
        slices = {key: _slices(key, parts) for key, parts in places.items()}
        roles = {key: _plays(flow, key[0], own[key], axis) for key in slices}
        written, read = ([one for key, of in slices.items() if roles[key][side] for one in of] for side in (0, 1))
        first = (written or read)[0].tensor
        layer = first.rpartition(".")[0] or first
        kind = _kind(axis, axis in blocks, any(one.tensor in convolutions for one in written))
        name = layer if kind in PLAIN else f"{layer}: {kind}"
        drafts[axis] = UnitGroup(name, kind, axis.size, tuple(written), tuple(read), tuple(chain(*slices.values())))
    alike = Counter(group.name for group in drafts.values())
    seen: Counter[str] = Counter()
    groups: dict[Axis, UnitGroup] = {}
    for axis, group in drafts.items():
        number = seen[group.name]
        seen[group.name] += 1
        groups[axis] = replace(group, name=f"{group.name} {number}") if alike[group.name] > 1 else group
    return groups


def _dimensions(flow: Flow) -> dict[Key, Axis]:
    """All dimensions of tensors that are used, those that are other axes in some rows once for these rows."""
    found: dict[Key, Axis] = {}
    for name, dimensions in flow.tensors.items():
        for dim in range(len(dimensions) if flow.uses[name] else 0):
            found |= {(name, dim, rows): axis for rows, axis in flow.along(name, dim).items()}
    return found


def _plays(flow: Flow, tensor: str, dimension: Axis, leaf: Axis) -> tuple[bool, bool]:
    """Whether a dimension of a tensor goes on, and whether it is summed over; at least one of both.

    Where the tensor is split or moved before it is used, whether what the leaf is of does.
    """
    kept, contracted = ([axis for one in noted[tensor] for axis in axes(one)] for noted in (flow.kept, flow.contracted))
    goes, ends = (any(axis is dimension for axis in one) for one in (kept, contracted))
    if not goes and not ends:
        goes, ends = (any(leaf in leaves(axis) for axis in one) for one in (kept, contracted))
    return goes or not ends, ends


def _slices(key: Key, parts: list[Sequence[Places]]) -> list[Slice]:
    """The places of units, each occurrence beside the others; one slice more where units lie within blocks of units."""
    tensor, dim, rows = key
    apart: list[tuple[set[int], list[Sequence[Places]]]] = []
    for part in parts:
        places = {place for unit in part for place in unit}
        taken, own = next((one for one in apart if not one[0] & places), (set(), []))
        if not own:
            apart.append((taken, own))
        taken |= places
        own.append(part)
    return [
        Slice(
            tensor,
            dim,
            torch.tensor([[place for part in own for place in part[unit]] for unit in range(len(own[0]))]),
            torch.tensor(rows) if rows else None,
        )
        for _, own in apart
    ]


def _kind(axis: Axis, blocks: bool, convolved: bool) -> str:
    """What the units are, see `UnitGroup`."""
    if blocks:
        return "heads" if "heads" in axis.tags else "blocks"
    named = next((tag for tag in ("heads", "query-key", "value", "stream") if tag in axis.tags), "")
    return named or ("channels" if convolved else "units")
