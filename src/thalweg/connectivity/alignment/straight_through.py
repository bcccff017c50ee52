"""Straight-through matching: a target for weight matching, trained so that the network halfway has a low loss."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.connectivity.alignment.matching import Matched, matched
from thalweg.connectivity.alignment.methods import StraightThrough
from thalweg.connectivity.alignment.moving import Permutations, reordered
from thalweg.connectivity.alignment.nests import Nest
from thalweg.connectivity.alignment.weights import compared
from thalweg.data import ExampleSet
from thalweg.evaluation import evaluate, recomputed
from thalweg.optim import StepHyperparameters, Updater
from thalweg.population import Batch, Execution, Population, Problem
from thalweg.progress import Progress, Watcher
from thalweg.randomness import BatchOrder


def matched_through(
    problem: Problem,
    nests: Sequence[Nest],
    reference: Population,
    members: Population,
    examples: ExampleSet,
    method: StraightThrough,
    *,
    seed: int,
    start: Permutations | None,
    told: Watcher,
) -> Matched:
    """Permutations by which the loss halfway to the reference is lowest, among those that a trained target gave.

    Args:
        problem: whose training set batches are of.
        nests, reference, members: as of `matched`.
        examples: on which losses are compared, the same at every step.
        method: its options.
        seed: of batches, and of the order in which groups are matched.
        start: permutations from which to go on; None: those of weight matching.
        told: how far it is.
    """
    began, count = time.perf_counter(), len(members)
    target = reference.theta.expand(count, -1).clone()
    updater = Updater(method.rule, target, layout=members.layout)
    numbers = method.rule.hyper_parameters() | {"schedule": 1.0}
    size = min(method.batch_size, len(problem.data.train))
    order = BatchOrder([seed], len(problem.data.train), size)
    halfway = members.with_theta(torch.empty_like(target)).with_own_buffers()
    gradient = torch.empty_like(target)
    execution, orders, now = None, start, None
    best: Permutations = {}
    halfway.theta.copy_((reference.theta + members.theta) / 2)
    losses = {"before": _losses(problem, halfway, examples)}
    least, found_at = np.full(count, np.inf), np.zeros(count, dtype=int)
    sweeps = np.zeros(count, dtype=np.int64)
    aim = {**compared(reference), **members.layout.views(target)}
    theirs = compared(members)
    for step in range(method.steps):
        now = matched(nests, aim, theirs, seed=seed, start=orders)
        sweeps += now.sweeps
        same = orders is not None and step > 0 and all(torch.equal(now.orders[name], orders[name]) for name in orders)
        orders = now.orders
        halfway.theta.copy_((reference.theta + reordered(members, nests, orders).theta) / 2)
        if not same:
            met = _losses(problem, halfway, examples)
            better = met < least
            best = _kept(best, orders, better)
            least, found_at = np.where(better, met, least), np.where(better, step, found_at)
            losses.setdefault("by weights", met)
        batch = Batch.of(problem.data.train, order.indices(step))
        execution = execution or Execution(problem, halfway, batch, seeds=[seed] * count, calls=method.steps)
        execution.gradient(batch, gradient, step)
        updater.step(gradient.div_(2), StepHyperparameters(numbers, step + 1))
        told(Progress("straight-through matching", step + 1, method.steps, time.perf_counter() - began))
    losses["after"] = least
    late = "met their lowest loss halfway in the second half of the steps; more steps might find a lower one"
    return Matched(best, -least, sweeps, found_at < method.steps / 2, losses=losses, unfinished=late)


def _losses(problem: Problem, halfway: Population, examples: ExampleSet) -> NDArray[np.float64]:
    losses = evaluate(problem, recomputed(problem, halfway), on=examples)["loss"].cpu().numpy()
    return np.where(np.isfinite(losses), losses, np.finfo(np.float64).max)


def _kept(best: Permutations, orders: Permutations, better: NDArray[np.bool_]) -> Permutations:
    if not best:
        return orders
    chosen = torch.from_numpy(better)[:, None]
    return {name: torch.where(chosen, order, best[name]) for name, order in orders.items()}
