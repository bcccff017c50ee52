"""Units of a sparse ticket that do nothing, removed without changing its function."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from thalweg.errors import ModelError, UsageError, check_type
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.layout import same_layout
from thalweg.population.structure import Slice, Structure, UnitGroup
from thalweg.population.structure.roles import Layer
from thalweg.tickets.slicing import Sliced, sliced, slicing_reading
from thalweg.tickets.slicing_check import difference, outputs, sees_all
from thalweg.tickets.slicing_constant import Constants, foldable

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}  # constants are rounded to the dtype of the bias
_PARTS = ("query-key", "value")  # within a head, of which all heads must have as many


@guarded
def without_dead_units(problem: Problem, population: Population) -> Sliced:
    """The same function without the units that nothing reads, and without those that are constant.

    A unit that no weight reads is left out. One that no weight writes has one value c for all inputs, and where the
    layers that read it are linear or convolutions without zeros at the border, c goes into their biases:

        W h + b = W' h' + (b + w c)    for h = (h', c), W = (W', w)

    Both are repeated until nothing changes, as a unit may be read only by units that are dead themselves. What counts
    is the numbers: a weight that is 0 writes and reads nothing, whether a mask holds it there or not. Where a whole
    layer is dead one unit stays, so that no layer is empty. Inputs that nothing reads stay, as the model is called with
    all of them. The sparse tickets of magnitude pruning have many dead units, so that a part of their sparsity becomes
    smaller dense layers at no loss.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits(), dtype=torch.float64)
    >>> dense = problem.initialize(1)
    >>> mask = torch.ones(610, dtype=torch.bool)
    >>> mask[: 3 * 64] = False  # no weight writes the units 0 to 2
    >>> small = tw.tickets.without_dead_units(problem, dense.with_mask(mask))
    >>> small.module().hidden1.out_features, bool(small["difference"].max() < 1e-12)
    (5, True)

    Args:
        problem: whose model it is.
        population: one member; it is only read.

    Returns:
        See `Sliced`; its "difference" is from the network that was given.

    Raises:
        UsageError: several members, whose dead units are others; or a population of another model.
        ModelError: the model cannot be traced. Groups that cannot be sliced stay, and the notes say why.

    Cost: a forward pass on a few examples and a pass over the weights for each round, of which there are at most as
    many as layers, and what `sliced` costs.
    """
    began = time.perf_counter()
    check_type("without_dead_units problem", problem, Problem, "a Problem")
    check_type("without_dead_units population", population, Population, "a Population such as run.final[0]")
    same_layout(problem.layout, population.layout)
    if len(population) != 1:
        msg = f"Dead units are others in each member; give one of the {len(population)}, such as population[0]."
        raise UsageError(msg)
    inputs = problem.preflight.examples()[0]
    wanted = outputs(population.module(0), inputs)
    work = population.module(0).cpu().double().eval()
    dead, folded, biases = _found_dead(problem.structure, work, inputs)
    keep, notes = {}, []
    for name, gone in dead.items():
        if gone.all():
            gone[0] = False  # a layer is never empty
        if gone.any():
            keep[name] = (~gone).nonzero().flatten()
    changed = _with_numbers(population, work, biases)
    small, tried = None, dict(keep)
    try:
        small = sliced(problem, changed, keep)
    except ModelError:
        tried = {}
        for name, units in keep.items():
            try:
                small, tried = sliced(problem, changed, {**tried, name: units}), {**tried, name: units}
            except ModelError as error:
                notes.append(f"{name!r} stays as it is: {error}")
    if small is None:
        small = sliced(problem, population, {})
    apart = difference(wanted, outputs(small.module(), inputs))
    if apart > _TOLERANCE[problem.dtype]:
        msg = (
            f"Without its dead units the network would be another, by {apart:.2g} of its largest output; the model "
            "reads units in a way that its structure does not show. Masks work as they are."
        )
        raise ModelError(msg)
    removed = sum(problem.structure.group(name).units - len(units) for name, units in tried.items())
    notes.insert(0, f"{removed} units are removed; {folded} units were constant, and are in the biases behind them.")
    reading = slicing_reading(problem, population, small.population, small.plan, [apart], began, notes)
    return Sliced(reading, small.population, small.plan)


def _found_dead(
    structure: Structure, work: nn.Module, inputs: Any
) -> tuple[dict[str, Bool[Tensor, " units"]], int, set[str]]:
    """Which units of each group are dead; how many constants were folded, and into which biases.

    The module is changed: its dead units are zeroed, and constants are in its biases.
    """
    tensors = {name: tensor.detach() for name, tensor in (*work.named_parameters(), *work.named_buffers())}
    groups = [group for group in structure.groups if _removable(structure, group)]
    dead = {group.name: torch.zeros(group.units, dtype=torch.bool) for group in groups}
    folded, biases, changed = 0, set(), True
    while changed:
        changed = False
        for group in groups:
            unread = _zero(tensors, group, group.read) & ~dead[group.name]
            constant = _unwritten(structure, tensors, group) & ~dead[group.name] & ~unread
            if constant.any() and foldable(structure, work, group):
                values = Constants.of(structure, work, group, constant, inputs)
                biases |= values.fold(tensors)
                folded += int(values.units.sum())
                unread |= values.units
            if unread.any():
                _clear(tensors, group, unread)
                dead[group.name] |= unread
                changed = True
    return dead, folded, biases


def _removable(structure: Structure, group: UnitGroup) -> bool:
    """Whether units that nothing reads make no difference, as all that sums over them does so with weights."""
    read = {one.tensor for one in group.read}
    weighted = all(read & set(one.parameters) for one in structure.readers(group))
    return bool(read) and weighted and group.kind not in _PARTS and sees_all(structure, group.name) is None


def _unwritten(structure: Structure, tensors: Mapping[str, Tensor], group: UnitGroup) -> Bool[Tensor, " units"]:
    """Which units no weight writes; none, where something else than weights does."""
    layers = [Layer.of(one, structure.dims) for one in structure.writers(group)]
    if not layers or any(layer is None for layer in layers):
        return torch.zeros(group.units, dtype=torch.bool)
    weights = {layer.weight for layer in layers if layer is not None}
    return _zero(tensors, group, [one for one in group.written if one.tensor in weights])


def _zero(tensors: Mapping[str, Tensor], group: UnitGroup, slices: Any) -> Bool[Tensor, " units"]:
    """Which units have nothing but zeros in some slices."""
    zero = torch.ones(group.units, dtype=torch.bool)
    for one in slices:
        lines = _rows(tensors[one.tensor], one).movedim(one.dim, 0).flatten(1).count_nonzero(1)
        zero &= (lines[one.positions] == 0).all(1)
    return zero


def _rows(tensor: Tensor, one: Slice) -> Tensor:
    return (tensor if one.rows is None else tensor[one.rows]).unsqueeze(-1)  # never of one dimension


def _clear(tensors: Mapping[str, Tensor], group: UnitGroup, units: Bool[Tensor, " units"]) -> None:
    """Zeros in all parameters that units have indices in; running statistics may stay."""
    for one in group.slices:
        tensor, places = tensors[one.tensor], one.positions[units].flatten()
        part = tensor if one.rows is None else tensor[one.rows]
        if not one.tensor.endswith(("running_mean", "running_var")):
            part.index_fill_(one.dim, places, 0)
            if one.rows is not None:
                tensor[one.rows] = part


def _with_numbers(population: Population, work: nn.Module, biases: set[str]) -> Population:
    """The population with the numbers of a module; biases that took up a constant are active in its mask."""
    changed = Population.of([work]).to(population.theta.device, population.theta.dtype)
    mask = population.mask
    if mask is not None:
        took = torch.zeros_like(mask)
        for name in biases:
            columns = population.layout[name].columns
            took[:, columns] = changed.theta[:, columns] != 0
        mask = mask | took
    return replace(population, theta=changed.theta, buffers=changed.buffers, mask=mask)
