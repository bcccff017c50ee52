"""Loss and metrics of every member on a set of examples, in evaluation mode."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.data import ExampleSet
from thalweg.errors import check_type
from thalweg.evaluation.sample import Drawn, Sample, as_sample
from thalweg.population.batch import Batch
from thalweg.population.execution import Execution, Plan, Trial, choose
from thalweg.population.looped import Looped, activation_bytes
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.randomness import global_stream

EXAMPLES_AT_ONCE = 512
_MORE_AT_ONCE = 2_048
_WORTH_MEASURING, _ROUNDS = 32, 3  # evaluations; of timing


class Evaluator:
    """Evaluates one population in place, again and again, always on the same examples.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> evaluator = tw.evaluation.Evaluator(problem, problem.initialize(2), problem.data.train)
    >>> evaluator.by_example()["loss"].shape
    torch.Size([2, 1437])

    Args:
        problem: what is evaluated.
        population: read at every call, so it may be trained between calls.
        examples: what to evaluate on, in order, all of them at every call (common random numbers).
        plan: see `train`.
        times: how often it will be called, roughly.
        batch_size: examples at once.
    """

    def __init__(
        self,
        problem: Problem,
        population: Population,
        examples: ExampleSet,
        *,
        plan: Plan | str = "auto",
        times: int = 1,
        batch_size: int = EXAMPLES_AT_ONCE,
    ) -> None:
        self.population = population
        self.draws = problem.draws(training=False)
        self.examples = examples
        self.count = len(examples)
        self.functions = {"loss": problem.loss} | {metric.name: metric for metric in problem.metrics}
        self.batch_size = batch_size
        first = Batch.range(examples, 0, min(batch_size, self.count))
        calls = times * math.ceil(self.count / batch_size)
        self.execution = Execution(problem, population, first, plan=plan, training=False, calls=calls)

    def __call__(self) -> dict[str, Tensor]:
        """The mean of the loss ("loss") and of every metric over the examples: (members,) each, float64.

        A metric is NaN where the mean loss is not finite: the accuracy of what is no number would be that of class 0.
        Buffers that the model changes are put back; what a loss draws comes from a stream of its own.
        """
        sums = {name: torch.zeros(self.execution.members, dtype=torch.float64) for name in self.functions}
        for name, rows, _, values in self._values():
            sums[name][rows] += values.sum(1).cpu()
        return _known({name: total / self.count for name, total in sums.items()})

    def by_example(self) -> dict[str, Tensor]:
        """The loss ("loss") and every metric of each example: (members, examples) each, float64.

        A metric is NaN where the loss of the example is not finite.
        """
        table = {name: torch.empty(self.execution.members, self.count, dtype=torch.float64) for name in self.functions}
        for name, rows, examples, values in self._values():
            table[name][rows, examples] = values.cpu()
        return _known(table)

    @torch.no_grad()
    def _values(self) -> Iterator[tuple[str, slice, slice, Tensor]]:
        """Of each function, some members and some examples: the values (members, examples)."""
        kept = {name: buffer.clone() for name, buffer in self.population.running.items()}
        try:
            with global_stream(0, "evaluation"):
                for number, batch in enumerate(self._batches()):
                    start = number * self.batch_size
                    for rows, outputs in self.execution.outputs(batch, number):
                        targets = batch.targets_of(rows, len(tree_leaves(outputs)[0]))
                        with self._stream(number):
                            for name, function in self.functions.items():
                                values = function.examples(outputs, targets, 2).double()
                                yield name, rows, slice(start, start + values.shape[1]), values
        finally:
            for name, buffer in kept.items():
                self.population.buffers[name].copy_(buffer)

    def _stream(self, number: int) -> contextlib.AbstractContextManager[None]:
        """What a loss draws is the same for every member; where one draws, members come one by one."""
        return global_stream(0, "evaluation", number) if self.draws else contextlib.nullcontext()

    def _batches(self) -> Iterator[Batch]:
        for start in range(0, self.count, self.batch_size):
            yield Batch.range(self.examples, start, min(start + self.batch_size, self.count))


def _known(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss as it is, and every metric NaN where the loss is not finite."""
    lost = ~values["loss"].isfinite()
    return {name: of if name == "loss" else of.masked_fill(lost, torch.nan) for name, of in values.items()}


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
    example = activation_bytes(problem, population, batch, training=False) / EXAMPLES_AT_ONCE
    size = min(count, _MORE_AT_ONCE, int(problem.memory_budget / example))
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


def evaluate(
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet | None = None,
    *,
    plan: Plan | str = "auto",
) -> dict[str, Tensor]:
    """The mean of the loss ("loss") and of every metric over examples, in evaluation mode: (members,) each, float64.

    A metric is NaN where the mean loss is not finite.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> {name: values.shape for name, values in tw.evaluate(problem, problem.initialize(2), on="train").items()}
    {'loss': torch.Size([2]), 'accuracy': torch.Size([2])}

    Args:
        problem, population: what is evaluated; they are only read.
        on: the examples; None is the test set, or the training set where there is none.
        plan: see `train`.

    Raises:
        UsageError: examples that cannot be meant, or a population of another problem.

    Cost: one forward pass of every member.
    """
    return Evaluator(problem, population, _drawn("evaluate", problem, population, on).examples, plan=plan)()


def by_example(
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet | None = None,
    *,
    plan: Plan | str = "auto",
) -> dict[str, Tensor]:
    """The loss ("loss") and every metric of each example: (members, examples) each, float64; see `evaluate`.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.evaluation.by_example(problem, problem.initialize(2), on=tw.Sample("train", 100))["loss"].shape
    torch.Size([2, 100])
    """
    drawn = _drawn("by_example", problem, population, on)
    return Evaluator(problem, population, drawn.examples, plan=plan).by_example()


def _drawn(name: str, problem: Problem, population: Population, on: Sample | str | ExampleSet | None) -> Drawn:
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} population", population, Population, "a Population such as run.final")
    if on is None:
        on = "train" if problem.data.test is None else "test"
    return as_sample(name, on).draw(problem)
