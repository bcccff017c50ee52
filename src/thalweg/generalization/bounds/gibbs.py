"""The share of wrong answers of networks drawn from a Gaussian around each member."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, check_count
from thalweg.evaluation import Evaluator
from thalweg.generalization.bounds.arguments import Array
from thalweg.population import Plan, Population, Problem
from thalweg.randomness import generator

_AT_ONCE = 16  # networks that are evaluated together


def check_accuracy(name: str, problem: Problem) -> None:
    """Raise ModelError where answers are not right or wrong, each counting the same."""
    found = next((metric for metric in problem.metrics if metric.name == "accuracy"), None)
    if found is None or found.weighted:
        msg = (
            f"{name} bounds the share of wrong answers, and this problem has no metric 'accuracy' that counts every "
            "example alike; write Problem(..., metrics={'accuracy': losses.Accuracy()}) where answers are classes."
        )
        raise ModelError(msg)


def wrong(
    problem: Problem,
    population: Population,
    examples: ExampleSet,
    rows: Int64[Tensor, "members n"] | None = None,
    *,
    plan: Plan | str = "auto",
) -> Array:
    """The share of wrong answers of every member: (members,). What is not finite is wrong.

    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.gibbs import wrong
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> wrong(problem, problem.initialize(2), problem.data.test).shape
    (2,)
    """
    found = Evaluator(problem, population, examples, rows=rows, plan=plan)()["accuracy"]
    return _share(found)


def gibbs_wrong(
    problem: Problem,
    population: Population,
    std: Float[Tensor, "members_or_one parameters_or_one"],
    examples: ExampleSet,
    rows: Int64[Tensor, "members n"] | None = None,
    *,
    draws: int,
    seeds: Sequence[int],
    stream: str,
    plan: Plan | str = "auto",
    advance: Callable[[int], None] = lambda done: None,
) -> Array:
    """The mean share of wrong answers of `draws` networks theta + std e, e ~ N(0, 1), of every member: (members,).

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.gibbs import gibbs_wrong, wrong
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population, test = problem.initialize(2), problem.data.test
    >>> found = gibbs_wrong(problem, population, torch.zeros(1, 1), test, draws=5, seeds=[0, 1], stream="example")
    >>> bool((abs(found - wrong(problem, population, test)) < 1e-12).all())
    True

    Args:
        problem, population: only read.
        std: standard deviations of the weights: one for all, one a member, or one a weight.
        examples: on which.
        rows: which of them are each member's, by index; None: all.
        draws: how many; each member has its own.
        seeds, stream: of the draws, a seed for each member.
        plan: see `train`.
        advance: told how many draws are done.

    Cost: a forward pass a draw and member.
    """
    check_count("gibbs draws", draws)
    members, parameters = population.theta.shape
    together = max(1, min(draws, _AT_ONCE // members))
    each = torch.arange(members).repeat(together)
    scratch = population[each].copy()
    std = std.to(population.theta).expand(members, parameters)
    std = std if population.mask is None else std * population.mask
    noise = torch.empty_like(population.theta)
    streams = [generator(seed, stream) for seed in seeds]
    again = None if rows is None else rows[each]
    times = -(-draws // together)
    evaluator = Evaluator(problem, scratch, examples, rows=again, plan=plan, times=times)
    total = np.zeros(members)
    for start in range(0, draws, together):
        count = min(together, draws - start)
        for place in range(count):
            for member, one in enumerate(streams):
                noise[member] = torch.randn(parameters, generator=one).to(noise)
            there = scratch.theta[place * members : (place + 1) * members]
            torch.addcmul(population.theta, std, noise, out=there)
        found = _share(evaluator()["accuracy"]).reshape(together, members)
        total += found[:count].sum(0)
        advance(start + count)
    return total / draws


def _share(accuracy: Tensor) -> Array:
    return (1 - torch.nan_to_num(accuracy.double(), nan=0.0)).clamp(0, 1).cpu().numpy()
