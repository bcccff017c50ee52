"""How fast a network would learn along directions of the data: by its own tangent kernel."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, check_type
from thalweg.evaluation import Sample, as_sample, outputs
from thalweg.generalization.simplicity.learning_times import as_directions
from thalweg.guard import guarded
from thalweg.population import Batch, Population, Problem
from thalweg.population.derivatives import transposed_jacobian_product
from thalweg.results import Provenance, Reading, Result

_AT_ONCE = 512  # examples in a product


@guarded
def direction_rates(
    problem: Problem,
    population: Population,
    directions: ArrayLike | Tensor,
    *,
    on: Sample | str | ExampleSet = "train",
) -> Result:
    """The rate at which every member's own tangent kernel learns along each direction v of the data.

        rate(v) = v^T K v / (n |v|^2) = |J^T v|^2 / (n |v|^2),    K = J J^T,    J = d outputs / d parameters

    of every output by itself, and the mean over outputs. Along an eigenvector of K, small steps of gradient descent on
    half the mean square take a share 1 - (1 - learning rate * rate)^t of the way; that is, log(10) / (learning rate *
    rate) steps to 90 %. Nothing of the size of K is formed.

    >>> import thalweg as tw
    >>> from thalweg.generalization import simplicity
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=50))
    >>> x, _ = problem.data.train.slice(0, 50)
    >>> found = simplicity.direction_rates(problem, problem.initialize(2), simplicity.principal_directions(x, 3))
    >>> found["rate"].shape, found["rate by output"].shape
    ((2, 3), (2, 3, 10))

    Args:
        problem, population: in evaluation mode; only read.
        directions: one number an example: (directions, examples).
        on: the examples.

    Returns:
        a result with "rate" (member, direction) and "rate by output" (member, direction, output).

    Raises:
        UsageError: directions of another length.
        ModelError: a model that does not return (batch, outputs), or draws random numbers in evaluation mode.

    Cost: a forward and a backward pass a direction and output.

    Papers: Jacot, Gabriel & Hongler (2018), arXiv:1806.07572; Basri et al. (2019), arXiv:1906.00425.
    """
    check_type("direction_rates problem", problem, Problem, "a Problem")
    check_type("direction_rates population", population, Population, "a Population such as run.final")
    drawn = as_sample("direction_rates", on).draw(problem)
    examples, n = drawn.examples, len(drawn)
    table = as_directions("direction_rates", directions, n).to(problem.device, problem.dtype)
    first = outputs(problem, population[:1], examples.select(torch.tensor([0])))
    if not isinstance(first, Tensor) or first.ndim not in (2, 3):
        msg = "direction_rates needs a model that returns (batch, outputs); wrap it in a module that does."
        raise ModelError(msg)
    shape = first.shape[2:]
    many = shape.numel()
    found = torch.zeros(len(population), len(table), many, dtype=torch.float64)
    batches = [Batch.range(examples, start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE)]
    for place, direction in enumerate(table):
        size = float(direction.double().square().sum()) * n
        for output in range(many):
            product = torch.zeros_like(population.theta)
            for start, batch in zip(range(0, n, _AT_ONCE), batches, strict=True):
                cotangent = torch.zeros(len(population), batch.size, many, device=table.device, dtype=table.dtype)
                cotangent[..., output] = direction[start : start + batch.size]
                cotangent = cotangent.reshape(len(population), batch.size, *shape)
                product += transposed_jacobian_product(problem, population, cotangent, batch)
            found[:, place, output] = product.double().square().sum(1).cpu() / size
    reading = Reading(
        "learning rates along directions",
        {"rate": found.mean(2).numpy(), "rate by output": found.numpy()},
        {"rate": ("member", "direction"), "rate by output": ("member", "direction", "output")},
        {"member": np.arange(len(population))},
        sample_size=n,
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
        notes=(f"By each member's own tangent kernel on {drawn.text}.",),
    )
    return Result(reading)
