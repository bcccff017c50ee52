"""Averages of weights: of all networks, and of those that are chosen one by one."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.evaluation import Sample, evaluate, recomputed
from thalweg.population import Plan, Population, Problem

Score = tuple[float, float]  # the less the better: the error, or what stands for it, then the loss


def equal_shares(count: int) -> Tensor:
    """1/count for each: (count,), float64."""
    return torch.full((count,), 1 / count, dtype=torch.float64)


def average_of_weights(population: Population, shares: Tensor) -> Population:
    """One network at sum_k w_k theta_k; its running statistics are the same weighted sums.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.connectivity.soups import average_of_weights
    >>> members = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits()).initialize(2)
    >>> middle = average_of_weights(members, torch.tensor([0.5, 0.5]))
    >>> len(middle), bool(torch.equal(middle.theta[0], members.theta.mean(0)))
    (1, True)
    """

    def mean(table: Tensor) -> Tensor:
        return torch.tensordot(shares.to(table), table, 1)[None]

    first = population[0]
    running = {name: mean(rows) for name, rows in population.running.items() if rows.is_floating_point()}
    return replace(first, theta=mean(population.theta), buffers={**first.buffers, **running}, mask=None)


class Scorer:
    """How good networks are on the examples that something is chosen on.

    Args:
        problem: what is evaluated.
        examples: to choose on.
        renewed: training examples on which running statistics are recomputed; None: they stay as they are.
        plan: see `train`.
        by: "error" or "loss".
    """

    def __init__(
        self, problem: Problem, examples: ExampleSet, renewed: Sample | None, *, plan: Plan | str, by: str
    ) -> None:
        self.problem, self.examples, self.renewed, self.plan, self.by = problem, examples, renewed, plan, by

    def settled(self, population: Population) -> Population:
        """The networks with the running statistics they are judged by."""
        if self.renewed is None:
            return population
        return recomputed(self.problem, population, self.renewed, plan=self.plan)

    def __call__(self, population: Population) -> list[Score]:
        """One score a member; what is not finite is worse than anything else."""
        found = evaluate(self.problem, self.settled(population), self.examples, plan=self.plan)
        loss = found["loss"].nan_to_num(torch.inf, torch.inf)
        first = 1 - found["accuracy"].nan_to_num(0) if self.by == "error" else loss
        return list(zip(first.tolist(), loss.tolist(), strict=True))


def greedy_soup(population: Population, scores: Sequence[Score], scorer: Scorer) -> list[int]:
    """Which networks to average: from the best on, each that does not make the average worse (Wortsman et al., 2022).

    Equal errors are told apart by the loss in the order, and not in what makes the average worse, as in the paper.

    >>> import thalweg as tw
    >>> from thalweg.connectivity.soups import Scorer, greedy_soup
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> members = problem.initialize(2)
    >>> scorer = Scorer(problem, problem.data.test, None, plan="auto", by="loss")
    >>> len(greedy_soup(members, scorer(members), scorer)) >= 1
    True

    Returns:
        their numbers, the best first.

    Cost: an evaluation a member on the examples to choose on.
    """
    best, *others = sorted(range(len(population)), key=lambda member: scores[member])
    taken, least = [best], scores[best][0]
    for member in others:
        tried = [*taken, member]
        (score,) = scorer(average_of_weights(population[tried], equal_shares(len(tried))))
        if score[0] <= least:
            taken, least = tried, score[0]
    return taken
