"""Pruning at initialization in rounds, with scores of what is left."""

from collections.abc import Callable

from thalweg.errors import UsageError, check_count
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.tickets.allocation import Allocation, ByLayer, Global
from thalweg.tickets.policy import Policy
from thalweg.tickets.selection import Mask, Scores, select


@guarded
def prune_in_rounds(
    problem: Problem,
    population: Population,
    score: Callable[[Population], Scores],
    share: float,
    *,
    rounds: int = 100,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
) -> Mask:
    """The mask found in rounds that keep share^(1/rounds), ..., share of all, each by scores of the network left.

    SynFlow needs it: in one round it empties layers as other scores do (Tanaka et al., 2020, arXiv:2006.05467).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 16, 10), tw.data.digits())
    >>> synflow = lambda population: tw.tickets.scores.synflow(problem, population)
    >>> mask = tw.tickets.prune_in_rounds(problem, problem.initialize(1), synflow, 0.05, rounds=10)
    >>> int(mask[0, problem.layout.where("hidden", "output")].sum())
    72

    Args:
        problem, population: what is pruned; only read.
        score: of a population under a mask, such as `lambda population: scores.synflow(problem, population)`.
        share: of the weights kept in the end.
        rounds: how many.
        allocation: None: `Global`.
        policy: what may be pruned.

    Raises:
        UsageError: as `prune`.

    Cost: rounds scores.
    """
    check_count("prune_in_rounds rounds", rounds)
    allocation, policy = allocation or Global(), policy or Policy()
    if not isinstance(allocation, Global | ByLayer):
        msg = f"prune_in_rounds takes allocations of single weights, Global or ByLayer; got {allocation}."
        raise UsageError(msg)
    division = allocation.division(problem, policy)
    allocation.kept(division, share)  # raises where the share cannot be meant
    mask = None
    for number in range(1, rounds + 1):
        left = population if mask is None else population.with_mask(mask)
        kept = allocation.kept(division, share ** (number / rounds))
        mask = select(score(left), division, kept, within=mask)
    assert mask is not None
    return mask
