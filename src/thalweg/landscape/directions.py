"""Directions in the space of parameters: random ones in units of the weights, and ones between points."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from thalweg.errors import UsageError, check_choice, check_type
from thalweg.evaluation.anchors import check_anchors
from thalweg.population import Population
from thalweg.population.layout import Entry, Vectors
from thalweg.randomness import generator

__all__ = ["between", "orthogonal", "random", "random_of_each"]

NORMALIZATIONS = ("filter", "layer", "member", "none")
ONE_DIMENSIONAL = ("zero", "tensor", "copy")


def random(
    population: Population,
    *,
    normalization: str = "filter",
    one_dimensional: str = "zero",
    seed: int = 0,
    number: int = 0,
) -> Vectors:
    """A Gaussian direction for every member, in units of its own weights (Li et al., 2018, arXiv:1712.09913).

    With "filter" every filter d_ij becomes d_ij |theta_ij| / |d_ij|; with "layer" every tensor as a whole; with
    "member" all of it, to |theta|; with "none" nothing. A filter is what makes one output unit: a row of a linear
    layer, an output channel of a convolution (also of a transposed one), a token of an embedding. Coordinate 1 then is
    as long as the weights. Filters that are zero, and masked parameters, do not move.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> direction = tw.landscape.directions.random(population, normalization="member")
    >>> bool((direction.norm(dim=1) / population.theta.norm(dim=1) - 1).abs().max() < 1e-6)
    True

    Args:
        population: the points to start from.
        normalization: "filter", "layer", "member" or "none".
        one_dimensional: what "filter" and "layer" do to biases and normalization layers: "zero" leaves them where they
            are (the authors' "biasbn"), "tensor" scales each as one filter, "copy" puts theta in the direction's place
            (the authors' code without "biasbn": not random at all).
        seed, number: of the stream (seed, "direction", number); every member gets the same draw, scaled for it.

    Raises:
        UsageError: an unknown normalization or policy.
    """
    check_type("random population", population, Population, "a Population such as run.final")
    check_choice("random normalization", normalization, NORMALIZATIONS)
    check_choice("random one_dimensional", one_dimensional, ONE_DIMENSIONAL)
    theta = population.theta
    draw = torch.randn(theta.shape[1], generator=generator(seed, "direction", number), dtype=torch.float64).to(theta)
    direction = draw.expand_as(theta).clone()
    if population.mask is not None:
        direction *= population.mask  # before it is scaled: what is active is to be as long as the weights
    if normalization == "member":
        _as_long(direction, theta, (1,))
    elif normalization != "none":
        for entry in population.layout:
            rows, weights = _shaped(direction, entry), _shaped(theta, entry)
            vector = len(entry.shape) < 2 or entry.kind in ("bias", "norm")
            if vector and one_dimensional != "tensor":
                rows.copy_(torch.zeros_like(rows) if one_dimensional == "zero" else weights)
            else:
                axes = tuple(range(1, rows.ndim))
                within = normalization == "filter" and not vector
                kept = 1 + entry.filter_dim if within else None
                _as_long(rows, weights, tuple(axis for axis in axes if axis != kept))
    return direction if population.mask is None else direction * population.mask


def random_of_each(
    population: Population,
    seeds: Sequence[int],
    *,
    normalization: str = "filter",
    one_dimensional: str = "zero",
    number: int = 0,
) -> Vectors:
    """A random direction of every member's own, drawn from its seed: intervals over seeds then are of directions too.

    A direction that all members share is one draw: what is found along it is about networks seen along this one.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> found = tw.landscape.directions.random_of_each(population, [4, 5])
    >>> bool((found[1] == tw.landscape.directions.random(population, seed=5)[1]).all())
    True

    Args:
        population: the points to start from.
        seeds: one per member.
        normalization, one_dimensional, number: see `random`.

    Raises:
        UsageError: not as many seeds as members, or an unknown normalization or policy.
    """
    check_type("random_of_each population", population, Population, "a Population such as run.final")
    if len(seeds) != len(population):
        msg = f"random_of_each takes a seed for each of {len(population)} members; got {len(seeds)}."
        raise UsageError(msg)
    options = {"normalization": normalization, "one_dimensional": one_dimensional}
    drawn = [random(population[[member]], seed=seed, number=number, **options) for member, seed in enumerate(seeds)]
    return torch.cat(drawn)


def between(start: Population, end: Population) -> Vectors:
    """From every member of one population to that of another, so that coordinate 1 is there: end - start.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.landscape.directions.between(problem.initialize([0]), problem.initialize([1])).shape
    torch.Size([1, 650])

    Raises:
        UsageError: populations of different layouts or sizes, or whose frozen parameters differ.
    """
    check_anchors("between", [start, end])
    return end.theta - start.theta


def orthogonal(directions: Sequence[Vectors]) -> list[Vectors]:
    """The same plane by directions at right angles: each without its parts along those before it, as long as it was.

    >>> import torch
    >>> import thalweg as tw
    >>> first, second = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> [direction.tolist() for direction in tw.landscape.directions.orthogonal([first, second])]
    [[[2.0, 0.0]], [[0.0, 5.0]]]

    Raises:
        UsageError: one lies along those before it.
    """
    done: list[Tensor] = []
    for place, direction in enumerate(directions):
        length = torch.linalg.vector_norm(direction, dim=1, keepdim=True)
        rest = direction.clone()
        for _ in range(2):
            for other in done:
                unit = other / torch.linalg.vector_norm(other, dim=1, keepdim=True)
                rest -= unit * (unit * rest).sum(1, keepdim=True)
        left = torch.linalg.vector_norm(rest, dim=1, keepdim=True)
        if not (left > 1e-5 * length).all():
            msg = f"Direction {place + 1} is zero or lies along those before it; give directions that span a plane."
            raise UsageError(msg)
        done.append(rest * (length / left))
    return done


def checked(
    population: Population, directions: Sequence[Tensor], finite: Bool[Tensor, " members"] | None = None
) -> list[Vectors]:
    """Directions (parameters,) or (members, parameters) as matrices of theta's shape, on its device, within its mask.

    Raises:
        UsageError: one of another shape, or not finite for a member that is to be seen (None: all are).
    """
    found = []
    for place, direction in enumerate(directions):
        what = f"direction {place + 1}"
        check_type(what, direction, Tensor, "a tensor (parameters,) or (members, parameters)")
        if tuple(direction.shape) not in (
            (population.layout.parameters,),
            (1, population.layout.parameters),
            tuple(population.theta.shape),
        ):
            msg = (
                f"{what} has shape {tuple(direction.shape)}, but theta has {tuple(population.theta.shape)}: "
                "it belongs to another layout."
            )
            raise UsageError(msg)
        matrix = direction.to(population.theta).expand_as(population.theta)
        wrong = ~matrix.isfinite().all(1) if finite is None else ~matrix.isfinite().all(1) & finite
        if wrong.any():
            msg = f"{what} is not finite for member {int(wrong.nonzero()[0])}."
            raise UsageError(msg)
        found.append(matrix if population.mask is None else matrix * population.mask)
    return found


def _shaped(matrix: Tensor, entry: Entry) -> Tensor:
    return matrix[:, entry.columns].view(len(matrix), *entry.shape)


def _as_long(rows: Tensor, weights: Tensor, axes: tuple[int, ...]) -> None:
    """Scale rows in place to the length that weights have, over these axes."""
    if axes:
        length, wanted = (torch.linalg.vector_norm(tensor, dim=axes, keepdim=True) for tensor in (rows, weights))
    else:  # a single number a member, where torch would take all of them together
        length, wanted = rows.abs(), weights.abs()
    rows.mul_(wanted / length.masked_fill(length == 0, 1))
