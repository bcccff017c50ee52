"""Other parameters of the same function: outputs of units by factors, and what reads them by the inverse."""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from thalweg.errors import UsageError, check_type, unknown_name
from thalweg.guard import guarded
from thalweg.population.layout import Entry, Layout, same_layout
from thalweg.population.permuting import change, copied, laid, width
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.structure import Slice, UnitGroup


@guarded
def rescaled(
    problem: Problem, population: Population, layer: str, factors: Float[Tensor, "*members units"]
) -> Population:
    """The units of a layer times factors, and the weights that read them divided by these: the function stays.

        relu(c W x + c b) = c relu(W x + b),    so that (W, b, V) and (c W, c b, V / c) compute the same for c > 0

    The readers are found in the model's structure, which also says whether the function stays: where everything from
    the layer to its readers takes every unit alone and is positively homogeneous (ReLU, leaky ReLU, pooling,
    flattening). Where not, the operation that would change it is named: tanh, normalization, a residual branch.

    Sharpness that is not relative to the parameters becomes as large as one likes so (Dinh et al., 2017,
    arXiv:1703.04933).

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits(), dtype=torch.float64)
    >>> population = problem.initialize(2)
    >>> other = tw.population.rescaled(problem, population, "hidden1", torch.linspace(0.1, 10, 8))
    >>> bool((tw.evaluate(problem, other)["loss"] - tw.evaluate(problem, population)["loss"]).abs().max() < 1e-12)
    True

    Args:
        problem: whose model it is.
        population: only read; its mask stays.
        layer: whose units: its "weight", along the dimension of its filters, and its "bias" where it has one.
        factors: above 0, one a unit, or one of all units as a column: (units,), (members, units) or (members, 1).

    Raises:
        UsageError: no such layer, factors that do not fit or are not above 0, or the function would change.
        ModelError: the model cannot be traced.

    Cost: a copy of theta; and the trace, when first asked for.
    """
    return _scaled(problem, population, layer, factors, absorbed=False)


@guarded
def rescaled_before_norm(
    problem: Problem, population: Population, layer: str, factors: Float[Tensor, "*members units"]
) -> Population:
    """The units of a layer times factors that batch normalization divides by again: the function stays up to its eps.

        (c z - c mean) / sqrt(c^2 variance + eps) is (z - mean) / sqrt(variance + eps / c^2)

    Running means are times the factors and running variances times their squares. The function in evaluation mode is
    then that with eps / c^2 in the place of eps.

    >>> import torch
    >>> import thalweg as tw
    >>> data = tw.data.digits(image=True).subset(train=20)
    >>> problem = tw.Problem(lambda: tw.nets.resnet(4), data, dtype=torch.float64)
    >>> population = problem.initialize(2)
    >>> other = tw.population.rescaled_before_norm(problem, population, "stem.0", torch.tensor([1.0, 2.0, 3.0, 4.0]))
    >>> bool((tw.evaluate(problem, other)["loss"] - tw.evaluate(problem, population)["loss"]).abs().max() < 1e-3)
    True

    Args:
        problem, population, layer, factors: as of `rescaled`; the layer is followed by batch normalization.

    Raises:
        UsageError: as `rescaled`; also where something else than batch normalization would have to undo the factors.
        ModelError: the model cannot be traced.

    Cost: a copy of theta and of the running statistics; and the trace, when first asked for.
    """
    return _scaled(problem, population, layer, factors, absorbed=True)


@guarded
def layers_rescaled(problem: Problem, population: Population, factors: Float[Tensor, "members layers"]) -> Population:
    """Every hidden layer of a chain such as an MLP times a factor, the layer behind it divided by it; see `rescaled`.

    With a factor for each unit, sharpness would change by much the same in all members, as they average out.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 8, 10), tw.data.digits(), dtype=torch.float64)
    >>> population = problem.initialize(2)
    >>> other = tw.population.layers_rescaled(problem, population, torch.tensor([[0.1, 3.0], [10.0, 1.0]]))
    >>> bool((tw.evaluate(problem, other)["loss"] - tw.evaluate(problem, population)["loss"]).abs().max() < 1e-12)
    True

    Args:
        problem: of networks whose weights each read the layer before.
        population: only read.
        factors: above 0, one for each hidden layer: (members, hidden layers).

    Raises:
        UsageError: see `rescaled`; or another number of layers.
        ModelError: the model cannot be traced.

    Cost: a copy of theta a layer.
    """
    check_type("layers_rescaled population", population, Population, "a Population such as run.final")
    check_type("layers_rescaled factors", factors, Tensor, "a tensor (members, hidden layers)")
    layers = [_layer(entry) for entry in population.layout if len(entry.shape) > 1]
    if factors.ndim != 2 or factors.shape[1] != len(layers) - 1:
        msg = f"layers_rescaled needs factors (members, {len(layers) - 1} hidden layers); got {tuple(factors.shape)}."
        raise UsageError(msg)
    for number, layer in enumerate(layers[:-1]):
        population = rescaled(problem, population, layer, factors[:, number, None])
    return population


def _scaled(problem: Problem, population: Population, layer: str, factors: Tensor, *, absorbed: bool) -> Population:
    """What is times the factors, divided by them or times their squares, in copies."""
    check_type("rescaled problem", problem, Problem, "a Problem")
    check_type("rescaled population", population, Population, "a Population such as run.final")
    check_type("rescaled factors", factors, Tensor, "a tensor (units,) or (members, units)")
    same_layout(problem.layout, population.layout)
    weight, members = _weight(population.layout, layer), len(population)
    group = _group(problem, weight, layer)
    units = group.units
    if tuple(factors.shape) not in ((units,), (1, units), (members, units), (members, 1)):
        msg = (
            f"rescaled factors of {layer!r} must be ({units},), ({members}, {units}) or ({members}, 1); got "
            f"{tuple(factors.shape)}."
        )
        raise UsageError(msg)
    if not ((factors > 0) & factors.isfinite()).all():
        msg = f"rescaled factors must be above 0 and finite, or the function changes; got {float(factors.min()):g}."
        raise UsageError(msg)
    powers = problem.structure.powers(group, [weight.name], absorbed=absorbed)
    other, tensors = copied(population, group)
    scale = factors.to(population.theta).expand(members, units)
    for one in group.slices:
        power = powers.get((one.tensor, one.dim), 0)
        if power:
            change(tensors[one.tensor], one, partial(_times, one=one, scale=scale, power=power))
    return other


def _times(tensor: Tensor, one: Slice, scale: Float[Tensor, "members units"], power: int) -> Tensor:
    """A tensor (members, ...) times a power of the factors, where units are."""
    along = laid(one, tensor, scale.new_ones(tensor.shape[1 + one.dim]), scale.repeat_interleave(width(one), dim=1))
    for _ in range(abs(power)):
        tensor = tensor * along if power > 0 else tensor / along
    return tensor


def _weight(layout: Layout, layer: str) -> Entry:
    """The matrix of a layer."""
    names = {entry.name: entry for entry in layout if len(entry.shape) > 1}
    name = f"{layer}.weight".lstrip(".")
    if name not in names:
        raise unknown_name("layer", layer, [_layer(entry) for entry in names.values() if "weight" in entry.name])
    return names[name]


def _layer(entry: Entry) -> str:
    return entry.name.removesuffix("weight").rstrip(".")


def _group(problem: Problem, weight: Entry, layer: str) -> UnitGroup:
    """The group that a layer's units are."""
    structure, dim = problem.structure, weight.filter_dim
    for group in structure.groups:
        written = (one.positions for one in group.written if (one.tensor, one.dim) == (weight.name, dim))
        if any(tuple(one.shape) == (weight.shape[dim], 1) for one in written):  # each index is a unit
            return group
    why = structure.fixed.get((weight.name, dim), "they are several groups, which take part in different ways")
    msg = f"The units of {layer!r} cannot be rescaled: {why}."
    raise UsageError(msg)
