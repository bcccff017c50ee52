"""The Fisher-Rao norm: a length of theta that rescaling the layers of a ReLU network leaves as it is."""

from dataclasses import dataclass

import numpy as np

from thalweg.curvature.neighborhood import Neighborhood
from thalweg.data import ExampleSet
from thalweg.evaluation import Sample
from thalweg.evaluation.evaluate import example_weights
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.double_backward import check_twice_differentiable
from thalweg.population.gradient_graph import GraphChunks
from thalweg.progress import Watcher, automatic
from thalweg.results import Result
from thalweg.statistics import standard_error


@dataclass(frozen=True, eq=False)
class FisherRaoNorm(Result):
    """What `fisher_rao_norm` found.

    Args:
        reading: "squared norm" (member), in the loss's unit squared, with its standard error over examples, and "loss"
            (member); NaN where a member is not finite.
    """


@guarded
def fisher_rao_norm(
    problem: Problem,
    population: Population,
    *,
    on: Sample | str | ExampleSet = "train",
    progress: Watcher | None = automatic,
) -> FisherRaoNorm:
    """theta^T F theta for the empirical Fisher matrix F: the mean over examples of (g_i . theta)^2.

    g_i is the gradient of the loss of example i, with its true target. In ReLU networks of k layers without biases it
    is k^2 times the mean of (outputs . gradient in outputs)^2, so rescaling weights between layers leaves it. Where the
    loss is weighted, so is F (see `fisher`), and the error is that of a ratio.

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.tensor([[1.0], [2.0]])
    >>> problem = tw.Problem(lambda: torch.nn.Linear(1, 1, bias=False), (x, 0 * x), "squared_error")
    >>> at = problem.initialize(1).with_theta(torch.ones(1, 1))  # g . theta is 2 x^2
    >>> tw.curvature.fisher_rao_norm(problem, at)["squared norm"].round(3).tolist()
    [34.0]

    Args:
        problem, population, on, progress: see `worst_case_sharpness`, also for what is raised.

    Cost: two forward passes, and two backward passes for the derivative along theta.

    References:
        Liang et al. (2019), arXiv:1711.01530.
    """
    near = Neighborhood("fisher_rao_norm", problem, population, on, progress=progress)
    check_twice_differentiable(problem, "fisher")
    squares = np.full((len(population), near.count), np.nan)
    with near.watched():
        for rows, some, graph in GraphChunks(problem, population, near.examples, near.count):
            along = graph.directional_derivatives()(population.theta[rows])
            squares[rows, some] = along.double().square().cpu().numpy()
            near.tell("fisher_rao_norm, examples", some.stop, near.count)
    near.forwards, near.backwards = near.forwards + 1, near.backwards + 2
    squares[np.isnan(near.loss)] = np.nan
    weights = example_weights(problem, population, near.examples)
    relative = 1.0 if weights is None else (weights / weights.mean()).numpy()
    means = (relative * squares).mean(1)
    residuals = relative * (squares - means[:, None])
    return FisherRaoNorm(
        near.reading(
            "Fisher-Rao norm",
            {"squared norm": means},
            "The empirical Fisher matrix, of true targets; standard errors are over examples.",
            error=standard_error(residuals),
            samples=near.count,
            unit=f"{problem.loss.unit}^2" if problem.loss.unit else "",
        )
    )
