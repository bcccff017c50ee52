"""How many examples are evaluated at once."""

import math

from torch.utils._pytree import tree_leaves

from thalweg.data import ExampleSet
from thalweg.population.batch import Batch
from thalweg.population.execution import Plan, choose, explained
from thalweg.population.looped import Looped, activations
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.trial import Trial

EXAMPLES_AT_ONCE = 512
_MORE_AT_ONCE = 2_048
_FEW = 16  # examples that the memory of others is judged by
_WORTH_MEASURING, _ROUNDS = 32, 3  # evaluations; of timing


def fastest_batch(
    problem: Problem, population: Population, examples: ExampleSet, *, plan: Plan | str, times: int
) -> tuple[int, Plan | str]:
    """How many examples at once an Evaluator that is called so often should take, and by which plan: by timing.

    Either 512, or up to 2,048 with members one by one: fewer calls, where the activations of several would leave the
    cache. Results are the same to rounding. Cost: a few evaluations of one member, beside those that choose a plan.
    """
    count, few = len(examples), times * len(population) < _WORTH_MEASURING
    if count <= EXAMPLES_AT_ONCE or few or isinstance(plan, Plan) or plan == "stacked":
        return EXAMPLES_AT_ONCE, plan
    batch = Batch.range(examples, 0, EXAMPLES_AT_ONCE)
    size = min(count, _MORE_AT_ONCE, fitting(problem, population, examples, count))
    if size <= EXAMPLES_AT_ONCE:
        return EXAMPLES_AT_ONCE, plan
    calls = times * math.ceil(count / EXAMPLES_AT_ONCE)
    chosen = choose(problem, population, batch, plan, training=False, calls=calls)
    smaller, larger = (
        Trial(problem, population, some, Looped, 1, training=False) for some in (batch, Batch.range(examples, 0, size))
    )
    for _ in range(_ROUNDS):
        smaller.run()
        larger.run()
    seconds = min([smaller.seconds, *chosen.seconds.values()]) if chosen.mode == "stacked" else smaller.seconds
    return (size, "looped") if larger.seconds / size < seconds / EXAMPLES_AT_ONCE else (EXAMPLES_AT_ONCE, plan)


def fitting(problem: Problem, population: Population, examples: ExampleSet, count: int) -> int:
    """As many examples as fit the problem's memory budget for one member, by what a few of them take; at least 1."""
    few = min(_FEW, len(examples))
    if not count > few:
        return max(1, count)
    batch = Batch.range(examples, 0, few)
    key = (len(population.theta), *(leaf.shape[1:] for leaf in tree_leaves(batch.inputs)))
    if key not in problem.bytes_of_example:
        with explained(batch):
            problem.bytes_of_example[key] = activations(problem, population, batch, training=False).peak / few
    return max(1, int(problem.memory_budget / problem.bytes_of_example[key]))
