"""Masks that are learned while the weights stay as they were initialized."""

import time
from dataclasses import dataclass

from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import evaluate
from thalweg.guard import guarded
from thalweg.optim import Adam, Rule, StepHyperparameters
from thalweg.optim.updater import Updater
from thalweg.population import Batch, Plan, Population, Problem, gradient
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import BatchOrder
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.tickets import scores
from thalweg.tickets.allocation import Allocation, ByLayer
from thalweg.tickets.policy import Policy
from thalweg.tickets.selection import Mask, select


@dataclass(frozen=True, eq=False)
class Supermask(Result):
    """What `supermask` found.

    Args:
        reading: of loss and metrics on the test examples (or where there are none, on training examples):
            "learned accuracy" (seed) under the learned masks, "random accuracy" (seed) under random ones, and so on.
        population: the initial weights under the learned masks.
        mask: (members, parameters).
    """

    population: Population
    mask: Mask


@guarded
def supermask(
    problem: Problem,
    population: Population,
    share: float = 0.5,
    *,
    seeds: list[int],
    steps: int = 500,
    batch_size: int = 100,
    rule: Rule | None = None,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> Supermask:
    """A mask under which untrained weights solve the task: its scores are trained, the weights are not.

        m = the highest scores s, exactly as many as the share says;  ds = d loss / d (m theta) theta

    The gradient passes the selection as if it were not there (edge-popup).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 64, 10), tw.data.digits())
    >>> found = tw.tickets.supermask(problem, problem.initialize(1), seeds=[0], steps=60)
    >>> bool(found["learned accuracy"][0] > found["random accuracy"][0] + 0.2)
    True

    Args:
        problem: whose loss is minimized.
        population: mostly initialized networks; only read.
        share: of the weights kept.
        seeds: one a member, of its first scores and its data order.
        steps: updates of the scores.
        batch_size: examples of an update.
        rule: that updates scores; None: Adam(0.02).
        allocation, policy: see `prune`.
        plan: see `train`, of the evaluation.
        progress: told after every step.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: a gradient and a sort of the scores a step. The model is in evaluation mode.

    Source: Ramanujan et al., 2020, arXiv:1911.13299.
    """
    began = time.perf_counter()
    check_type("supermask population", population, Population, "a Population such as problem.initialize(3)")
    check_count("supermask steps", steps)
    problem.check(population)
    if len(seeds) != len(population):
        msg = f"supermask needs a seed for each of {len(population)} members; got {len(seeds)}."
        raise UsageError(msg)
    rule, policy, allocation = rule or Adam(0.02), policy or Policy(), allocation or ByLayer()
    division = allocation.division(problem, policy)
    kept, columns = allocation.kept(division, share), policy.columns(problem.layout).to(population.theta.device)
    drawn = scores.random(population, seeds)
    learned = drawn.to(population.theta).clone()
    order = BatchOrder(list(seeds), len(problem.data.train), batch_size)
    updater, numbers = Updater(rule, learned), rule.hyper_parameters() | {"schedule": 1.0}
    with watched(progress) as told:
        for step in range(steps):
            masked = population.with_mask(select(learned, division, kept))
            batch = Batch.of(problem.data.train, order.indices(step))
            through = gradient(problem, masked, batch) * population.theta * columns
            updater.step(through, StepHyperparameters(numbers, step + 1))
            told(Progress("supermask", step + 1, steps, time.perf_counter() - began))
    mask = select(learned, division, kept)
    found = population.with_mask(mask)
    random = population.with_mask(select(drawn, division, kept))
    values = {"learned": evaluate(problem, found, plan=plan), "random": evaluate(problem, random, plan=plan)}
    arrays = {f"{kind} {name}": of.numpy() for kind, each in values.items() for name, of in each.items()}
    units = {"loss": problem.loss.unit} | {metric.name: metric.unit for metric in problem.metrics}
    first = "learned accuracy" if "learned accuracy" in arrays else "learned loss"
    reading = Reading(
        "a mask on untrained weights",
        {first: arrays[first], **arrays},
        dict.fromkeys(arrays, ("seed",)),
        {"seed": list(seeds)},
        {name: units[name.partition(" ")[2]] for name in arrays},
        sample_size=len(seeds),
        cost=Cost(time.perf_counter() - began, forwards=steps * len(seeds), backwards=steps * len(seeds)),
        provenance=Provenance.here(list(seeds), str(problem.device), str(problem.dtype)),
        notes=(f"{share:.0%} of the weights are kept as they were initialized; only the mask is learned.",),
    )
    return Supermask(reading, found, mask)
