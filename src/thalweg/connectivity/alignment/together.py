"""Many networks aligned with their common mean."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thalweg.connectivity.alignment.align import reading_of
from thalweg.connectivity.alignment.matching import TOLERANCE, Matched, matched
from thalweg.connectivity.alignment.moving import reordered, verified
from thalweg.connectivity.alignment.nests import Nest, nests_of
from thalweg.connectivity.alignment.result import Alignment
from thalweg.connectivity.alignment.specification import ByHand, check_finite, check_same_architecture, groups_of
from thalweg.connectivity.alignment.standing import movable
from thalweg.connectivity.alignment.weights import compared
from thalweg.errors import UsageError
from thalweg.guard import guarded
from thalweg.population import Population, Problem, UnitGroup
from thalweg.population.derivatives import check_steady
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import generator

_MOST_ROUNDS = 50


@guarded
def align_together(
    problem: Problem,
    population: Population,
    *,
    groups: ByHand | Sequence[UnitGroup] | None = None,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Alignment:
    """Put the units of all members into orders in which the members are most similar to each other.

        maximize over all P_1, ..., P_n    the sum over pairs of <P_i theta_i, P_j theta_j>

    One member after the other, in random order, is matched by weights to the mean of the others, until nobody gains
    (Ainsworth et al., 2022, arXiv:2209.04836, algorithm 3). No member is the reference, whose place would favor it: to
    one reference n - 1 pairs are aligned, and the others are aligned less well.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> found = tw.connectivity.align_together(problem, problem.initialize(3))
    >>> bool((found["distance after"] < found["distance before"]).all()), found.converged
    (True, True)

    Args:
        problem: whose model it is.
        population: two members or more; only read.
        groups, seed, progress: see `align`.

    Returns:
        See `Alignment`; distances and similarities are from the mean of all members as they are aligned.

    Raises:
        ModelError, UsageError: see `align`; or a single member.

    Cost: in every round an alignment of every member; a few rounds.
    """
    began = time.perf_counter()
    check_same_architecture(problem, population, population)
    check_steady(problem, "whether aligned members compute the same cannot be verified")
    if len(population) < 2:
        msg = "align_together needs two members or more; got 1."
        raise UsageError(msg)
    check_finite("population", population)
    free, still = movable(groups_of(problem, groups), population[0], population)
    nests = nests_of(free)
    count = len(population)
    now = population.copy()
    orders = {g.name: torch.arange(g.units).repeat(count, 1) for nest in nests for g in nest}
    rounds, due = 0, True
    with watched(progress) as told:
        while due and rounds < _MOST_ROUNDS:
            due, rounds = False, rounds + 1
            for done, member in enumerate(
                torch.randperm(count, generator=generator(seed, "together", rounds)).tolist()
            ):
                due |= _improve(nests, population, now, orders, member, seed, first=rounds == 1)
                told(Progress(f"aligning, round {rounds}", done + 1, count, time.perf_counter() - began))
    aligned = verified(problem, population, nests, orders)
    sweeps, settled = np.full(count, rounds), np.full(count, not due)
    found = Matched(orders, np.zeros(count), sweeps, settled)
    mean = aligned[:1].with_theta(aligned.theta.mean(0, keepdim=True))
    notes = (f"Matched by weights, each to the mean of the others, in {rounds} rounds.", *still)
    reading = reading_of(problem, nests, mean, population, aligned, found, seed, began, notes)
    return Alignment(reading, aligned, orders, tuple(settled.tolist()))


def _improve(
    nests: Sequence[Nest],
    population: Population,
    now: Population,
    orders: dict[str, Tensor],
    member: int,
    seed: int,
    *,
    first: bool,
) -> bool:
    """Match one member to the mean of the others, in place; whether it gained."""
    own = population[member]
    mean = (now.theta.sum(0) - now.theta[member]) / (len(now) - 1)
    aim = {**compared(own), **own.layout.views(mean[None])}
    start = None if first else {name: order[[member]] for name, order in orders.items()}
    found = matched(nests, aim, compared(own), seed=seed, start=start)
    theta = reordered(own, nests, found.orders).theta[0]
    gain = float(((theta - now.theta[member]).double() * mean).sum())
    if gain <= TOLERANCE[theta.dtype] * float(mean.norm() * theta.norm()):
        return False
    now.theta[member] = theta
    for name, order in orders.items():
        order[member] = found.orders[name][0]
    return True
