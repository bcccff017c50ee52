"""Norms of the layers of every member, as the bounds need them."""

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.figures import Axis, Figure, Line
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.chain import Chain, ChainLayer, chain_of
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.layout import same_layout
from thalweg.results import Cost, Provenance, Reading, Result

NORMS = ("spectral", "Frobenius", "(2,1)")


@dataclass(frozen=True, eq=False)
class LayerNorms(Result):
    """What `layer_norms` found.

    Args:
        reading: "spectral", "Frobenius" and "(2,1)" (member, layer); and with an initialization the same of the
            distance from it, "spectral distance" and so on.
        chain: the layers, and what is between them.
    """

    chain: Chain = field(repr=False)

    def product(self, norm: str = "spectral") -> Array:
        """The product of a norm over layers, and of the slopes of activations: (members,).

        Raises:
            UsageError: no such norm.
        """
        return self[norm].prod(1) * float(np.prod(self.chain.slopes))

    def figure(self, member: int = 0) -> Figure:
        """All norms of a member over its layers.

        Raises:
            UsageError: no such member.
        """
        values = self["spectral"]
        if not 0 <= member < len(values):
            msg = f"There is no member {member}; there are {len(values)} (0 to {len(values) - 1})."
            raise UsageError(msg)
        at = np.arange(1, values.shape[1] + 1)
        lines = [Line(at, self[name][member], label=name) for name in self.reading.arrays]
        axes = Axis("layer"), Axis("norm", scale="log")
        return Figure.of("Norms of the layers", lines, *axes, caption=" ".join(self.reading.notes))


@torch.no_grad()
@guarded
def layer_norms(problem: Problem, population: Population, *, initial: Population | None = None) -> LayerNorms:
    """Spectral norms, Frobenius norms, and sums over units of what each reads, of all linear and convolutional layers.

        |A|_(2,1) = sum over outputs of |row|_2

    each of the matrix of the layer with its biases as a further column, for an input that is always 1, which goes along
    through a row (0, ..., 0, 1) of every layer but the last. Convolutions are matrices too, with a row for each channel
    and position; of these the norms are upper bounds: the spectral norm of the kernel times the root of how many
    positions of the output read one of the input, at most, and those of kernels everywhere within the input.

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.eye(2)
    >>> problem = tw.Problem(lambda: torch.nn.Linear(2, 2, bias=False), (x, x), "squared_error")
    >>> at = problem.initialize(1).with_theta(torch.tensor([[3.0, 0.0, 0.0, 4.0]]))
    >>> found = tw.generalization.bounds.layer_norms(problem, at)
    >>> [float(found[name][0, 0]) for name in ("spectral", "Frobenius", "(2,1)")]
    [4.0, 5.0, 7.0]

    Args:
        problem, population: only read.
        initial: where each member began, or one for all: then distances are measured too.

    Raises:
        ModelError: a model that is not one layer after the other: residual, gated, attention; the operation is named.
        UsageError: an initialization of another architecture or number of members.

    Cost: a decomposition of each layer's weights.
    """
    began = time.perf_counter()
    check_type("layer_norms problem", problem, Problem, "a Problem")
    check_type("layer_norms population", population, Population, "a Population such as run.final")
    problem.check(population)
    chain = chain_of(problem)
    tensors = _tensors(population)
    found = _norms(chain, tensors, whole=True)
    if initial is not None:
        start = beginning_of("layer_norms", population, initial)
        away = {name: tensor - start[name] for name, tensor in tensors.items() if tensor.is_floating_point()}
        found |= {f"{name} distance": of for name, of in _norms(chain, away, whole=False).items()}
    reading = Reading(
        "norms of layers",
        found,
        dict.fromkeys(found, ("member", "layer")),
        {"layer": [layer.weight for layer in chain.layers]},
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(device=str(problem.device), dtype=str(problem.dtype)),
        notes=("Biases are weights of an input that is always 1.",) if chain.biased else (),
    )
    return LayerNorms(reading, chain)


def beginning_of(name: str, population: Population, initial: Population) -> dict[str, Tensor]:
    """All tensors of where each member began: (members, ...).

    Raises:
        UsageError: another architecture, or another number of members, unless it is one for all.
    """
    check_type(f"{name} initial", initial, Population, "a Population such as problem.initialize(seeds)")
    same_layout(population.layout, initial.layout)
    if len(initial) not in (1, len(population)):
        msg = (
            f"{name} initial must be where each of the {len(population)} members began, or one for all; got "
            f"{len(initial)}."
        )
        raise UsageError(msg)
    return {name: of.expand(len(population), *of.shape[1:]) for name, of in _tensors(initial).items()}


def _tensors(population: Population) -> dict[str, Tensor]:
    """Every tensor under each of its names."""
    views = population.layout.views(population.theta.double())
    found = {**{name: buffer for name, buffer in population.buffers.items()}, **views}
    for entry in population.layout:
        found |= dict.fromkeys(entry.ties, views[entry.name])
    return found


def _norms(chain: Chain, tensors: dict[str, Tensor], *, whole: bool) -> dict[str, Array]:
    """All norms, by name: (members, layers) each; `whole` says whether the constant 1 is among what is passed on."""
    last = len(chain.layers) - 1
    each = [
        _of_layer(layer, tensors, one=float(whole and chain.biased and place < last))
        for place, layer in enumerate(chain.layers)
    ]
    return {name: torch.stack(of, 1).numpy() for name, of in zip(NORMS, zip(*each, strict=True), strict=True)}


def _of_layer(layer: ChainLayer, tensors: dict[str, Tensor], one: float) -> tuple[Tensor, Tensor, Tensor]:
    weight = tensors[layer.weight].double().cpu()
    members = len(weight)
    rows = weight.reshape(members, layer.channels, -1)
    bias = rows.new_zeros(members, layer.channels, 1)
    if layer.bias is not None:
        bias = tensors[layer.bias].double().cpu().reshape(members, layer.channels, 1)
    finite = rows.isfinite().all((1, 2)) & bias.isfinite().all((1, 2))
    rows, bias = (torch.where(finite[:, None, None], part, 1.0) for part in (rows, bias))
    positions = layer.positions
    lengths = (rows.square().sum(2) + bias.square().sum(2)).sqrt()
    frobenius = (positions * lengths.square().sum(1) + one).sqrt()
    by_unit = positions * lengths.sum(1) + one
    if layer.taps == 1 and positions == 1 and layer.groups == 1:
        matrix = torch.cat([rows, bias], 2)
        if one:
            row = matrix.new_zeros(members, 1, matrix.shape[2])
            row[:, 0, -1] = 1
            matrix = torch.cat([matrix, row], 1)
        spectral = torch.linalg.matrix_norm(matrix, ord=2)
    else:
        grouped = rows.reshape(members, layer.groups, layer.channels // layer.groups, -1)
        of_kernel = torch.linalg.matrix_norm(grouped, ord=2).amax(1)
        spectral = (layer.reads * of_kernel.square() + positions * bias.square().sum((1, 2)) + one).sqrt()
    return tuple(torch.where(finite, of, torch.inf) for of in (spectral, frobenius, by_unit))  # type: ignore[return-value]
