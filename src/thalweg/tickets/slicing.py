"""Networks that are really smaller: units, channels, heads and layers removed from an ordinary module."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import ModelError, UsageError, check_type, unknown_name
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.layout import same_layout
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.tickets.slicing_check import difference, outputs, why
from thalweg.tickets.slicing_cuts import Keep, cut, gone_entries, kept_units
from thalweg.tickets.slicing_plan import SlicingPlan
from thalweg.tickets.slicing_surgery import changed_sizes, remove_modules, replace_tensors, set_attributes

_TOLERANCE = 1e-9  # in float64, of the largest output
Attributes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Sliced(Result):
    """Networks without the units and layers that were removed: what `sliced` and `without_dead_units` return.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> small = tw.tickets.sliced(problem, problem.initialize(1), {"hidden1": [0, 3, 5]})
    >>> small["parameters"].tolist(), small.module().hidden1.out_features
    ([610, 235], 3)

    Args:
        reading: "parameters" (state): of a member before and after; "units" and "units kept" (group): of every group of
            which some went; "difference" (member): the largest difference of outputs from what they are to equal, in
            units of the largest output, on the examples that were compared.
        population: the small networks; its modules are of the user's own class.
        plan: what was removed; with a state dict it builds the same network again.
    """

    population: Population
    plan: SlicingPlan

    def module(self, member: int = 0) -> nn.Module:
        """A small network as an ordinary module of its own."""
        return self.population.module(member)


@guarded
def sliced(
    problem: Problem, population: Population, keep: Keep | None = None, *, without: Sequence[str] = ()
) -> Sliced:
    """Networks with only some of their units, and without some of their layers.

        sliced(x) = masked(x),    where the mask prunes all that writes the units that go, and all that reads them

    Every tensor in which units have indices (weights of layers before and behind, biases, scales, shifts and running
    statistics, all tensors of a residual stream, tied weights) loses these indices, and layers hold their new sizes.
    Units are found in the model's structure (`problem.structure.groups`); "heads" are units too, where the model keeps
    how many there are as an attribute of the module that attends. A layer goes by becoming the identity, which is what
    it computes with all its parameters pruned, or it is refused. Every network is compared with the masked one on a few
    examples, in float64, before it is returned.

    >>> import thalweg as tw
    >>> data = tw.data.digits(image=True).subset(train=20)
    >>> problem = tw.Problem(lambda: tw.nets.resnet(8), data)
    >>> [group.name for group in problem.structure.groups][:2]
    ['stem.0: stream', 'stages.0.0.convolution1']
    >>> small = tw.tickets.sliced(problem, problem.initialize(2), {"stem.0: stream": range(4)})
    >>> small.module(1).stem[0].weight.shape, bool(small["difference"].max() < 1e-12)
    (torch.Size([4, 1, 3, 3]), True)

    Args:
        problem: whose model it is.
        population: the members to slice, of this model; they are only read. A mask is cut with them.
        keep: name of a group -> units that stay: (kept,), or one row a member; or booleans (see `unit_mask`).
        without: paths of modules to remove, such as residual blocks: ("blocks.1",).

    Raises:
        UsageError: no such group, units or module; a group that would become empty; a population of another model.
        ModelError: the model cannot be traced, or what is asked for would not compute what the mask does (norms over
            all units, sizes that the model's code holds fixed); the operation is named. Masks work there all the same.

    Cost: a copy of every member, and two forward passes of each on a few examples.

    Source: removal of units with all that depends on them as in Fang et al., DepGraph, arXiv:2301.12900; here read
    from one trace.
    """
    began = time.perf_counter()
    check_type("sliced problem", problem, Problem, "a Problem")
    check_type("sliced population", population, Population, "a Population such as run.final")
    same_layout(problem.layout, population.layout)
    paths = _paths(problem, without)
    orders = kept_units(problem, {} if keep is None else keep)
    gone = gone_entries(problem, orders, len(population)) if orders else {}
    inputs = problem.preflight.examples()[0]
    wanted = [outputs(_masked(population.module(m), _of(gone, m), paths), inputs) for m in range(len(population))]
    if not all(leaf.isfinite().all() for one in wanted for leaf in one):
        msg = (
            "With these units masked the outputs are not finite, so that nothing can be compared: as of a norm of "
            "weights that are all zero. Remove such parametrizations first "
            "(torch.nn.utils.parametrize.remove_parametrizations), or leave out networks that diverged."
        )
        raise ModelError(msg)
    best, failed, differences = None, "", []
    for attributes in _attributes(problem, orders):
        try:
            made = [_small(population.module(m), _of(gone, m), paths, attributes) for m in range(len(population))]
            found = [difference(one, outputs(small[0], inputs)) for one, small in zip(wanted, made, strict=True)]
        except ModelError:
            raise
        except Exception as error:  # whatever the user's model raises at other sizes
            failed = failed or f"it raises {type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}"
            continue
        if max(found) <= _TOLERANCE:
            best, differences = made, found
            break
        failed = f"its outputs are others than with the mask, by {max(found):.2g} of the largest"
    if best is None:
        asked = ", ".join(map(repr, (*orders, *paths)))
        cause = why(problem.structure, orders) if orders else "It is not the identity where its parameters are zero."
        msg = f"{asked} cannot be sliced, as {failed}. {cause} Masks work as they are."
        raise ModelError(msg)
    small = _population(population, [module for module, _ in best], gone)
    shapes = {name: tuple(one.shape) for name, one in _tensors(best[0][0]) if name in gone}
    kept = {name: tuple(tuple(row) for row in order.tolist()) for name, order in orders.items()}
    plan = SlicingPlan(shapes, best[0][1], paths, kept)
    return Sliced(slicing_reading(problem, population, small, plan, differences, began), small, plan)


def slicing_reading(
    problem: Problem,
    population: Population,
    small: Population,
    plan: SlicingPlan,
    differences: Sequence[float],
    began: float,
    notes: Sequence[str] = (),
) -> Reading:
    """What was removed, in numbers."""
    names = list(plan.kept)
    arrays: dict[str, Any] = {
        "parameters": [population.layout.parameters, small.layout.parameters],
        "difference": np.array(differences),
    }
    dims: dict[str, tuple[str, ...]] = {"parameters": ("state",), "difference": ("member",)}
    coordinates: dict[str, Any] = {"state": ["before", "after"]}
    if names:
        arrays["units"] = [problem.structure.group(name).units for name in names]
        arrays["units kept"] = [len(plan.kept[name][0]) for name in names]
        dims |= {"units": ("group",), "units kept": ("group",)}
        coordinates["group"] = names
    removed = (f"Removed as a whole: {', '.join(plan.removed)}.",) if plan.removed else ()
    return Reading(
        "sliced networks",
        arrays,
        dims,
        coordinates,
        cost=Cost(time.perf_counter() - began, forwards=2 * len(population)),
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
        notes=(*removed, *notes),
    )


def _paths(problem: Problem, without: Sequence[str]) -> tuple[str, ...]:
    """Modules to remove, none inside another."""
    check_type("sliced without", without, (list, tuple), "paths of modules, such as ('blocks.1',)")
    known = [path for path, _ in problem.template.named_modules() if path]
    for path in without:
        if path not in known:
            raise unknown_name("module", path, known)
        inside = next((other for other in without if path.startswith(f"{other}.")), "")
        if inside:
            msg = f"{path!r} is inside {inside!r}, which is removed with all that is in it; name only that."
            raise UsageError(msg)
    return tuple(dict.fromkeys(without))


def _of(gone: Mapping[str, Tensor], member: int) -> dict[str, Tensor]:
    return {name: one[member] for name, one in gone.items()}


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _masked(module: nn.Module, gone: Mapping[str, Tensor], paths: Sequence[str]) -> nn.Module:
    """The module with zeros where its units are to go; of buffers nothing changes, as no mask reaches them."""
    trained = dict(module.named_parameters())
    with torch.no_grad():
        for name, one in gone.items():
            if name in trained:
                trained[name].masked_fill_(one.to(trained[name].device), 0.0)
        for path in paths:
            for parameter in module.get_submodule(path).parameters():
                parameter.zero_()
    return module


def _small(
    module: nn.Module, gone: Mapping[str, Tensor], paths: Sequence[str], attributes: Attributes
) -> tuple[nn.Module, dict[str, dict[str, Any]]]:
    """The module with what is left, and all sizes that were set."""
    tensors = dict(_tensors(module))
    replace_tensors(module, {name: cut(name, tensors[name].detach(), one) for name, one in gone.items()})
    remove_modules(module, paths)
    sizes = changed_sizes(module, gone)
    for path, values in attributes.items():
        sizes[path] = sizes.get(path, {}) | dict(values)
    set_attributes(module, sizes)
    return module, sizes


def _attributes(problem: Problem, orders: Mapping[str, Tensor]) -> list[Attributes]:
    """Sizes that modules may hold, beside those of torch's layers, in the order in which they are tried.

    None; all that are equal to how many units there are; also those equal to how many indices these have together (of
    heads: their number times their width).
    """
    counts: dict[str, dict[str, int]] = {}
    totals: dict[str, dict[str, int]] = {}
    for name, order in orders.items():
        group, left = problem.structure.group(name), order.shape[1]
        widths = {one.positions.shape[1] for one in group.slices} - {1}
        for path in dict.fromkeys(one.module for one in problem.structure.carriers(group) if left < group.units):
            for attribute, value in vars(problem.template.get_submodule(path)).items():
                if type(value) is int and value == group.units:
                    counts.setdefault(path, {}).setdefault(attribute, left)
                for width in widths if type(value) is int else ():
                    if value == group.units * width:
                        totals.setdefault(path, {}).setdefault(attribute, left * width)
    both = {path: totals.get(path, {}) | counts.get(path, {}) for path in (*counts, *totals)}
    return [{}, *([counts] if counts else []), *([both] if totals else [])]


def _population(population: Population, modules: Sequence[nn.Module], gone: Mapping[str, Tensor]) -> Population:
    """The small networks as a population, with what is left of the mask."""
    small = Population.of(modules)
    if population.mask is None:
        return small
    masks, members = population.layout.views(population.mask), range(len(population))
    left = {
        entry.name: torch.stack([cut(entry.name, masks[entry.name][m], gone[entry.name][m]) for m in members])
        if entry.name in gone
        else masks[entry.name]
        for entry in small.layout
    }
    return replace(small, mask=small.layout.pack(left))
