"""How much a parameter is worth: what is low is pruned first."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg import curvature
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.evaluation.evaluate import shares
from thalweg.population import Batch, Population, Problem, gradient
from thalweg.population.binding import call
from thalweg.population.layout import same_layout
from thalweg.randomness import generator

__all__ = [
    "gamma",
    "grasp",
    "large_same_sign",
    "magnitude",
    "magnitude_increase",
    "movement",
    "random",
    "snip",
    "synflow",
    "taylor",
]

Scores = Float[Tensor, "members parameters"]
_AT_ONCE = 512  # examples of one gradient


def magnitude(population: Population) -> Scores:
    """|theta|: (members, parameters) (Han et al., 2015, arXiv:1506.02626).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.tickets.scores.magnitude(problem.initialize(2)).shape
    torch.Size([2, 650])
    """
    check_type("magnitude population", population, Population, "a Population such as run.final")
    return population.theta.abs()


def movement(population: Population, first: Population) -> Scores:
    """|theta - theta_0|, how far a parameter went (Zhou et al., 2019, arXiv:1905.01067, "movement").

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> float(tw.tickets.scores.movement(population, population).max())
    0.0
    """
    return (population.theta - _start(population, first)).abs()


def magnitude_increase(population: Population, first: Population) -> Scores:
    """|theta| - |theta_0|: by how much a parameter grew (Zhou et al., 2019, arXiv:1905.01067).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> float(tw.tickets.scores.magnitude_increase(population, population).max())
    0.0
    """
    return population.theta.abs() - _start(population, first).abs()


def large_same_sign(population: Population, first: Population) -> Scores:
    """max(0, theta sign(theta_0)): large at the end, with the sign of the beginning.

    Masks by it make networks that are better than chance without training (Zhou et al., 2019, arXiv:1905.01067).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> bool((tw.tickets.scores.large_same_sign(population, population) == population.theta.abs()).all())
    True
    """
    return (population.theta * _start(population, first).sign()).clamp_min(0)


def random(population: Population, seeds: list[int]) -> Scores:
    """Uniform in [0, 1), by the stream (seed, "random score") of each member: the control of every other score.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> scores = tw.tickets.scores.random(problem.initialize(2), seeds=[0, 1])
    >>> scores.shape, bool((scores[0] == scores[1]).all())
    (torch.Size([2, 650]), False)

    Args:
        population: whose shape is wanted.
        seeds: one a member.

    Raises:
        UsageError: not as many seeds as members.
    """
    if len(seeds) != len(population):
        msg = f"random needs a seed for each of {len(population)} members; got {len(seeds)}."
        raise UsageError(msg)
    parameters = population.layout.parameters
    return torch.stack([torch.rand(parameters, generator=generator(seed, "random score")) for seed in seeds])


def snip(problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "train") -> Scores:
    """|g theta| for the gradient g of the mean loss: how the loss answers to a weight's mask (SNIP).

    It is |d loss / d m| at m = 1 of the network with parameters m theta. The model is in evaluation mode.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.tickets.scores.snip(problem, problem.initialize(2), on=tw.Sample("train", 100)).shape
    torch.Size([2, 650])

    Args:
        problem, population: only read; the population is mostly one that is not trained yet.
        on: the examples.

    Cost: one gradient.

    Source: Lee et al., 2019, arXiv:1810.02340.
    """
    return (_gradient("snip", problem, population, on) * population.theta).abs()


def taylor(problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "train") -> Scores:
    """(g theta)^2: the squared change of the loss without the parameter, to first order; a unit's score is the sum.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.tickets.scores.taylor(problem, problem.initialize(2), on=tw.Sample("train", 100)).shape
    torch.Size([2, 650])

    Args:
        problem, population, on: see `snip`; the population is mostly a trained one.

    Source: Molchanov et al., 2019, arXiv:1906.10771, equations 8 and 9.
    """
    return (_gradient("taylor", problem, population, on) * population.theta).square()


def grasp(problem: Problem, population: Population, *, on: Sample | str | ExampleSet = "train") -> Scores:
    """theta (H g) for gradient g and Hessian H of the mean loss: what the squared gradient loses with a weight (GraSP).

    Without parameter i, g^T g changes by -2 theta_i (H g)_i to first order; so what is high keeps the gradient, and is
    kept. Scores may be negative. No temperature divides the outputs.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.tickets.scores.grasp(problem, problem.initialize(2), on=tw.Sample("train", 100)).shape
    torch.Size([2, 650])

    Args:
        problem, population, on: see `snip`.

    Raises:
        ModelError: a model without second derivatives that can be trusted.

    Cost: a gradient and a product with the Hessian, about three gradients.

    Source: Wang et al., 2020, arXiv:2002.07376.
    """
    gradients = _gradient("grasp", problem, population, on)
    return population.theta * curvature.hessian(problem, population, on=on)(gradients)


def synflow(problem: Problem, population: Population) -> Float[Tensor, "members parameters"]:
    """|theta| dR / d|theta|, R being the sum of the outputs with all numbers made positive and ones as input (SynFlow).

    Every parameter and buffer is replaced by its magnitude, in float64 and evaluation mode. In a network of linear
    layers and ReLU, the scores of what a unit is written by (its bias too) and of what reads it have the same sum, so
    that no layer empties before others, if pruned in many rounds: `tickets.prune_in_rounds`.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.tickets.scores.synflow(problem, problem.initialize(2)).dtype
    torch.float64

    Args:
        problem: whose first example says what inputs look like; whole numbers, such as tokens, stay as they are there.
        population: only read; no data are used otherwise.

    Raises:
        UsageError: magnitudes whose products are beyond float64.

    Cost: one gradient of one example a member.

    Source: Tanaka et al., 2020, arXiv:2006.05467.
    """
    check_type("synflow problem", problem, Problem, "a Problem")
    problem.check(population)
    inputs = tree_map(_ones, problem.data.train.slice(0, 1)[0])
    wide = population.to(dtype=torch.float64)
    rows = []
    for member in range(len(wide)):
        module = copy.deepcopy(wide.module(member)).eval()
        with torch.no_grad():
            for tensor in module.state_dict().values():
                if tensor.is_floating_point():
                    tensor.abs_()
        outputs = call(module, inputs)
        torch.stack([leaf.sum() for leaf in tree_leaves(outputs) if leaf.is_floating_point()]).sum().backward()
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        of = {name: p.detach() * (torch.zeros_like(p) if p.grad is None else p.grad) for name, p in trained.items()}
        rows.append(population.layout.pack(of))
    scores = torch.stack(rows)
    if not scores.isfinite().all():
        msg = "synflow is beyond float64 here: the magnitudes of this network multiply to infinity."
        raise UsageError(msg)
    return scores if population.mask is None else scores * population.mask


def gamma(population: Population) -> Scores:
    """|scale| of normalization layers, 0 of all else: a score of channels (`Units`), whose sum it is.

    With an L1 penalty on the scales in training it is network slimming (Liu et al., 2017, arXiv:1708.06519).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.resnet(4), tw.data.digits(image=True).subset(train=50, test=50))
    >>> int((tw.tickets.scores.gamma(problem.initialize(1)) > 0).sum())
    84

    Raises:
        UsageError: a model without such layers.
    """
    check_type("gamma population", population, Population, "a Population such as run.final")
    scales = [one for one in population.layout if one.kind == "norm" and one.name.rpartition(".")[2] != "bias"]
    if not scales:
        msg = "gamma is the scale of normalization layers, and this model has none; write scores.magnitude instead."
        raise UsageError(msg)
    return population.theta.abs() * population.layout.mark(scales).to(population.theta.device)


def _start(population: Population, first: Population) -> Tensor:
    same_layout(population.layout, first.layout)
    if len(first) not in (1, len(population)):
        msg = f"The beginning must have one member for each of {len(population)}, or one for all; got {len(first)}."
        raise UsageError(msg)
    return first.theta.to(population.theta)


def _gradient(name: str, problem: Problem, population: Population, on: Sample | str | ExampleSet) -> Tensor:
    """The gradient of the mean loss over a sample, in batches."""
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} population", population, Population, "a Population such as run.final")
    examples = as_sample(name, on).draw(problem).examples
    total = torch.zeros_like(population.theta)
    for number, share in enumerate(shares(problem, population, examples, _AT_ONCE)):
        start = number * _AT_ONCE
        if share:
            batch = Batch.range(examples, start, min(start + _AT_ONCE, len(examples)))
            total += share * gradient(problem, population, batch)
    return total


def _ones(leaf: Any) -> Any:
    if isinstance(leaf, Tensor) and leaf.is_floating_point():
        return torch.ones_like(leaf, dtype=torch.float64)
    return leaf
