"""Other parameters of the same function: outputs of units by factors, and what reads them by the inverse."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from thalweg.errors import UsageError, check_type, unknown_name
from thalweg.population.layout import Entry, Layout
from thalweg.population.population import Population


def rescaled(
    population: Population, layer: str, factors: Float[Tensor, "*members units"], *, undone_by: str | None
) -> Population:
    """The units of a layer times factors, and the weights that read them divided by these: the function stays.

        relu(c W x + c b) = c relu(W x + b),    so that (W, b, V) and (c W, c b, V / c) compute the same for c > 0

    It stays where what lies between the two layers takes every unit alone and is positively homogeneous: ReLU, leaky
    ReLU, pooling, flattening; not tanh, not layer normalization, and no branch that reads the units too. With
    `undone_by` None nothing is divided, which is right where batch normalization follows: it divides by the factors
    itself, up to its eps, and its running statistics are to be made anew (see `evaluation.recomputed`).

    Sharpness that is not relative to the parameters becomes as large as one likes so (Dinh et al., 2017,
    arXiv:1703.04933).

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits(), dtype=torch.float64)
    >>> population = problem.initialize(2)
    >>> first, last = [entry.name.removesuffix(".weight") for entry in population.layout if "weight" in entry.name]
    >>> other = tw.population.rescaled(population, first, torch.linspace(0.1, 10, 8), undone_by=last)
    >>> bool((tw.evaluate(problem, other)["loss"] - tw.evaluate(problem, population)["loss"]).abs().max() < 1e-12)
    True

    Args:
        population: only read; its mask and buffers stay.
        layer: whose units: its "weight", along the dimension of its filters, and its "bias" where it has one.
        factors: above 0, one a unit, or one of all units as a column: (units,), (members, units) or (members, 1).
        undone_by: the layer that reads them, its inputs being the units in their order, each as often as flattening
            repeats it; or None.

    Raises:
        UsageError: no such layer, factors that do not fit or are not above 0, a layer that does not read these units,
            or weights that are tied to others.

    Cost: a copy of theta.
    """
    check_type("rescaled population", population, Population, "a Population such as run.final")
    check_type("rescaled factors", factors, Tensor, "a tensor (units,) or (members, units)")
    layout, members = population.layout, len(population)
    own = _weight(layout, layer)
    units = own.shape[own.filter_dim]
    if tuple(factors.shape) not in ((units,), (1, units), (members, units), (members, 1)):
        msg = (
            f"rescaled factors of {layer!r} must be ({units},), ({members}, {units}) or ({members}, 1); got "
            f"{tuple(factors.shape)}."
        )
        raise UsageError(msg)
    if not ((factors > 0) & factors.isfinite()).all():
        msg = f"rescaled factors must be above 0 and finite, or the function changes; got {float(factors.min()):g}."
        raise UsageError(msg)
    theta = population.theta.clone()
    scale = factors.to(theta).expand(members, units)
    views = layout.views(theta)
    views[own.name].mul_(_along(scale, own, own.filter_dim))
    bias = f"{layer}.bias".lstrip(".")
    if bias in views:
        views[bias].mul_(scale)
    if undone_by is not None:
        reader = _weight(layout, undone_by)
        side = 1 - reader.filter_dim
        inputs = reader.shape[side]
        if inputs % units:
            msg = f"{undone_by!r} reads {inputs} inputs, which are not the {units} units of {layer!r}."
            raise UsageError(msg)
        views[reader.name].div_(_along(scale.repeat_interleave(inputs // units, dim=1), reader, side))
    return population.with_theta(theta)


def layers_rescaled(population: Population, factors: Float[Tensor, "members layers"]) -> Population:
    """Every hidden layer of a chain such as an MLP times a factor, the layer behind it divided by it; see `rescaled`.

    With a factor for each unit, sharpness would change by much the same in all members, as they average out.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 8, 10), tw.data.digits(), dtype=torch.float64)
    >>> population = problem.initialize(2)
    >>> other = tw.population.layers_rescaled(population, torch.tensor([[0.1, 3.0], [10.0, 1.0]]))
    >>> bool((tw.evaluate(problem, other)["loss"] - tw.evaluate(problem, population)["loss"]).abs().max() < 1e-12)
    True

    Args:
        population: of networks whose weights each read the layer before; only read.
        factors: above 0, one for each hidden layer: (members, hidden layers).

    Raises:
        UsageError: see `rescaled`; or another number of layers.

    Cost: a copy of theta a layer.
    """
    layers = [entry.name.removesuffix("weight").rstrip(".") for entry in population.layout if len(entry.shape) > 1]
    if factors.ndim != 2 or factors.shape[1] != len(layers) - 1:
        msg = f"layers_rescaled needs factors (members, {len(layers) - 1} hidden layers); got {tuple(factors.shape)}."
        raise UsageError(msg)
    for number, (layer, following) in enumerate(pairwise(layers)):
        population = rescaled(population, layer, factors[:, number, None], undone_by=following)
    return population


def _weight(layout: Layout, layer: str) -> Entry:
    """The matrix of a layer."""
    names = {entry.name: entry for entry in layout if len(entry.shape) > 1}
    name = f"{layer}.weight".lstrip(".")
    if name not in names:
        layers = [known.removesuffix("weight").rstrip(".") for known in names if known.endswith("weight")]
        raise unknown_name("layer", layer, layers)
    if names[name].ties:
        msg = f"The weights of {layer!r} are tied to {names[name].ties[0]!r}, which scaling them would change too."
        raise UsageError(msg)
    return names[name]


def _along(scale: Tensor, entry: Entry, dim: int) -> Tensor:
    """Factors (members, n) in the shape that multiplies a tensor along one of its dimensions."""
    return scale.view(len(scale), *(scale.shape[1] if place == dim else 1 for place in range(len(entry.shape))))
