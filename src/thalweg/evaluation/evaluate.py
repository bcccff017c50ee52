"""Loss and metrics of every member on a set of examples, in evaluation mode."""

import contextlib
import math
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import torch
from jaxtyping import Int64
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.data import ExampleSet
from thalweg.errors import DataError, check_type
from thalweg.evaluation.batch_size import EXAMPLES_AT_ONCE, fitting
from thalweg.evaluation.rows import index_table
from thalweg.evaluation.sample import Sample, as_sample
from thalweg.guard import guarded
from thalweg.losses.names import Loss, Metric, weight_of
from thalweg.losses.weighted_mean import check_weights
from thalweg.population.audit_draws import Audited, drawn_cells, due
from thalweg.population.audits import StackedDiffers, check_values, one_of
from thalweg.population.batch import Batch
from thalweg.population.execution import Execution, Plan, explained
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.window import WHOLE, Window
from thalweg.randomness import global_stream

Found = TypeVar("Found")


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
        rows: which of them each member is evaluated on, by index: (members, n), or (1, n) for all members; None: all.
        plan: see `train`.
        times: how often it will be called, roughly.
        batch_size: examples at once, or fewer: as many as fit the problem's memory budget.
        window: see `Execution`.
    """

    def __init__(
        self,
        problem: Problem,
        population: Population,
        examples: ExampleSet,
        *,
        rows: Int64[Tensor, "members_or_one n"] | None = None,
        plan: Plan | str = "auto",
        times: int = 1,
        batch_size: int = EXAMPLES_AT_ONCE,
        window: Window = WHOLE,
    ) -> None:
        self.problem, self.population = problem, population
        self.draws = problem.draws(training=False)
        self.examples, self.rows = examples, rows
        self.count = len(examples) if rows is None else rows.shape[1]
        self.functions = {"loss": problem.loss} | {metric.name: metric for metric in problem.metrics}
        self.batch_size = min(batch_size, fitting(problem, population, examples, self.count))
        calls = times * math.ceil(self.count / self.batch_size)
        self.execution = Execution(
            problem, population, self._batch(0), plan=plan, training=False, calls=calls, window=window
        )

    def __call__(self, audit: Audited | None = None) -> dict[str, Tensor]:
        """The mean of the loss ("loss") and of every metric over the examples: (members,) each, float64.

        A metric is NaN where the mean loss is not finite: the accuracy of what is no number would be that of class 0.
        Weighted ones are sum(w l) / sum(w) over all examples; a metric of which nothing counts is NaN. Buffers that the
        model changes are put back; what a loss draws comes from a stream of its own.

        Args:
            audit: of which members' outputs on which batches are computed again alone, where members are stacked;
                None: now and then of some at random, and where they differ all is computed anew, looped.

        Raises:
            DataError: the loss counts none of the examples.
            ModelError: weights that are negative or not finite.
            StackedDiffers: an audit that was asked for found another result.
        """
        if audit is None:
            return self._audited(self._means)
        return self._means(audit)

    def _means(self, audit: Audited) -> dict[str, Tensor]:
        sums = {name: torch.zeros(self.execution.members, dtype=torch.float64) for name in self.functions}
        totals: dict[str, Tensor] = {}
        for name, rows, _, values, weights in self._values(audit):
            if weights is None:
                sums[name][rows] += values.sum(1).cpu()
            else:
                sums[name][rows] += (values * weights).sum(1).cpu()
                totals.setdefault(name, torch.zeros_like(sums[name]))[rows] += weights.sum(1).cpu()
        if "loss" in totals:
            check_counted(totals["loss"], self.count)
        return _known({name: total / totals.get(name, self.count) for name, total in sums.items()})

    def by_example(self) -> dict[str, Tensor]:
        """The loss ("loss") and every metric of each example: (members, examples) each, float64.

        A metric is NaN where the loss of the example is not finite. Of weighted ones see the function `by_example`.
        """
        table: dict[str, Tensor] = {}
        for name, (values, weights) in self.entries().items():
            table[name] = values if weights is None else values.masked_fill(weights == 0, torch.nan)
            if weights is not None:
                table[weight_of(name)] = weights
        return table

    def entries(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Of the loss and every metric: a value for each example and its weight, or None: (members, examples) each.

        The value is the mean over the example's positions, 0 where its weight is 0, and the weight the sum of theirs;
        the mean over examples is sum(weight value) / sum(weight).
        """
        return self._audited(self._entries)

    def _entries(self, audit: Audited) -> dict[str, tuple[Tensor, Tensor | None]]:
        shape = self.execution.members, self.count
        table = {name: torch.empty(shape, dtype=torch.float64) for name in self.functions}
        weighed: dict[str, Tensor] = {}
        for name, rows, examples, values, weights in self._values(audit):
            table[name][rows, examples] = values.cpu()
            if weights is not None:
                weighed.setdefault(name, torch.empty_like(table[name]))[rows, examples] = weights.cpu()
        return {name: (values, weighed.get(name)) for name, values in _known(table).items()}

    def outputs(self) -> Any:
        """What the model returns: (members, examples, ...), or a tuple or dict of such."""
        return self._audited(self._whole)

    def _whole(self, audit: Audited) -> Any:
        batches: list[list[Any]] = []
        for _, _, rows, outputs in self._outputs(audit):
            if rows.start == 0:
                batches.append([])
            batches[-1].append(outputs)
        of_all = [tree_map(lambda *leaves: torch.cat(leaves), *chunks) for chunks in batches]
        return tree_map(lambda *leaves: torch.cat(leaves, 1), *of_all)

    def _audited(self, work: Callable[[Audited], Found]) -> Found:
        """The work with audits now and then; anew by the looped plan where one finds that members are others."""
        number = due(self.problem, "evaluation") if self.execution.plan.mode == "stacked" else None
        try:
            return work({} if number is None else self.audit(0, number))
        except StackedDiffers as found:
            warnings.warn(f"{found.reason}; evaluated anew, looped.", stacklevel=3)
            plan = Plan("looped", 1, found.reason)
            self.execution = Execution(self.problem, self.population, self._batch(0), plan=plan, training=False)
            return work({})

    def audit(self, seed: int, number: int, eligible: Tensor | None = None) -> Audited:
        """What `drawn_cells` says of these batches and of the members that are eligible, which are all by default."""
        every = torch.ones(self.execution.members, dtype=torch.bool)
        return drawn_cells(
            seed, number, math.ceil(self.count / self.batch_size), every if eligible is None else eligible
        )

    @torch.no_grad()
    def _values(self, audit: Audited) -> Iterator[tuple[str, slice, slice, Tensor, Tensor | None]]:
        """Of each function, some members and some examples: the values (members, examples), and the weights or None."""
        with contextlib.closing(self._outputs(audit)) as found:
            for number, batch, rows, outputs in found:
                member = audit.get(number) if self.execution.plan.mode == "stacked" else None
                start, targets = number * self.batch_size, batch.targets_of(rows, len(tree_leaves(outputs)[0]))
                with self._stream(number):
                    for name, function in self.functions.items():
                        with explained(batch):
                            values, weights = self._entries_of(function, outputs, targets)
                        if member is not None and rows.start <= member < rows.stop:
                            only = slice(member - rows.start, member - rows.start + 1)
                            own, seen = one_of(outputs, only.start), batch.rows(slice(member, member + 1))
                            check_values(self.problem, name, function, values[only], own, seen)
                        if weights is not None:
                            weights = weights.double()
                            check_weights(name, weights if name == "loss" else weights.nan_to_num())
                        yield name, rows, slice(start, start + values.shape[1]), values.double(), weights

    def _entries_of(self, function: Loss | Metric, outputs: Any, targets: Any) -> tuple[Tensor, Tensor | None]:
        """Values and weights (members, batch); of one member as written where vmap was found to be wrong."""
        if not self.problem.unstacked or len(tree_leaves(outputs)[0]) > 1:
            return function.entries(outputs, targets, 2)
        alone, target = (tree_map(lambda leaf: leaf[0], tree) for tree in (outputs, targets))
        values, weights = function.entries(alone, target, 1)
        return values.unsqueeze(0), None if weights is None else weights.unsqueeze(0)

    @torch.no_grad()
    def _outputs(self, audit: Audited) -> Generator[tuple[int, Batch, slice, Any]]:
        """Of some examples and some members: the number of the batch, the batch, the members, the outputs."""
        kept = {name: buffer.clone() for name, buffer in self.population.running.items()}
        try:
            with global_stream(0, "evaluation"):
                for number in range(math.ceil(self.count / self.batch_size)):
                    batch = self._batch(number)
                    for rows, outputs in self.execution.outputs(batch, number, audit=audit.get(number)):
                        yield number, batch, rows, outputs
        finally:
            for name, buffer in kept.items():
                self.population.buffers[name].copy_(buffer)

    def _stream(self, number: int) -> contextlib.AbstractContextManager[None]:
        """What a loss draws is the same for every member; where one draws, members come one by one."""
        return global_stream(0, "evaluation", number) if self.draws else contextlib.nullcontext()

    def _batch(self, number: int) -> Batch:
        start, stop = number * self.batch_size, min((number + 1) * self.batch_size, self.count)
        if self.rows is None:
            return Batch.range(self.examples, start, stop)
        return Batch.of(self.examples, self.rows[:, start:stop])


def _known(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss as it is, and every metric NaN where the loss is not finite."""
    lost = ~values["loss"].isfinite()
    return {name: of if name == "loss" else of.masked_fill(lost, torch.nan) for name, of in values.items()}


def check_counted(totals: Tensor, count: int) -> None:
    """Raise DataError where the weights of `count` examples sum to zero."""
    if bool((totals == 0).any()):
        msg = (
            f"The loss counts none of the {count:,} examples (every target is ignored, or weighs 0), so it has no mean "
            "over them; give examples of which some count, or draw a larger Sample."
        )
        raise DataError(msg)


def shares(problem: Problem, population: Population, examples: ExampleSet, size: int) -> list[float]:
    """What part of the mean loss over examples each `size` of them in order are: by their number, or their weights.

    Raises:
        DataError: the loss counts none of the examples.

    Cost: nothing, or with weights a forward pass of the first member; they are of the data, the same for all.
    """
    starts = range(0, len(examples), size)
    weights = example_weights(problem, population, examples)
    if weights is None:
        return [(min(start + size, len(examples)) - start) / len(examples) for start in starts]
    return [float(weights[start : start + size].sum() / weights.sum()) for start in starts]


def example_weights(problem: Problem, population: Population, examples: ExampleSet) -> Tensor | None:
    """The weight of each example in the mean loss: (examples,), float64; None where all weigh the same.

    Raises:
        DataError: the loss counts none of the examples.

    Cost: nothing, or with weights a forward pass of the first member.
    """
    if not problem.loss.weighted:
        return None
    evaluator = Evaluator(problem, population[:1].with_own_buffers(), examples, plan="looped")
    evaluator.functions = {"loss": problem.loss}
    weights = evaluator.entries()["loss"][1]
    if weights is not None:
        check_counted(weights.sum(1), len(examples))
    return None if weights is None else weights[0]


@guarded
def evaluate(
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet | None = None,
    *,
    rows: Tensor | ArrayLike | None = None,
    plan: Plan | str = "auto",
) -> dict[str, Tensor]:
    """The mean of the loss ("loss") and of every metric over examples, in evaluation mode: (members,) each, float64.

    A metric is NaN where the mean loss is not finite. Where a loss or a metric is weighted, the mean is
    sum(w l) / sum(w) over all the examples and their positions, however they are cut into batches; a metric of which
    nothing counts is NaN.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> {name: values.shape for name, values in tw.evaluate(problem, problem.initialize(2), on="train").items()}
    {'loss': torch.Size([2]), 'accuracy': torch.Size([2])}

    Args:
        problem, population: what is evaluated; they are only read.
        on: the examples; None is the test set, or the training set where there is none.
        rows: which of them each member is evaluated on, by index: (members, n), such as `run.examples` of "train" and
            `run.test_examples` of "test"; None: all. A population does not know what it was trained on: where members
            have splits of their own (see `data.pooled`), others' test examples are among their training examples, so
            that "test" without rows is no measure of generalization.
        plan: see `train`.

    Raises:
        UsageError: examples that cannot be meant, or a population of another problem.
        DataError: the loss counts none of the examples.

    Cost: one forward pass of every member.
    """
    return evaluator_of("evaluate", problem, population, on, rows=rows, plan=plan)()


@guarded
def by_example(
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet | None = None,
    *,
    rows: Tensor | ArrayLike | None = None,
    plan: Plan | str = "auto",
) -> dict[str, Tensor]:
    """The loss ("loss") and every metric of each example: (members, examples) each, float64; see `evaluate`.

    It is the mean over the positions of the example, if it has several. Where a loss or a metric is weighted, so is
    that mean, NaN where nothing of the example counts; and "loss weight", "accuracy weight" and so on are the sums of
    the weights, so that the mean over examples is that of value times weight by that of weight. A single target's loss
    is then as it is, not times its weight.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.evaluation.by_example(problem, problem.initialize(2), on=tw.Sample("train", 100))["loss"].shape
    torch.Size([2, 100])
    >>> weighted = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), tw.losses.CrossEntropy(range(1, 11)))
    >>> found = tw.evaluation.by_example(weighted, weighted.initialize(2))
    >>> list(found), sorted(set(found["loss weight"][0].tolist()))[:3]
    (['loss', 'loss weight', 'accuracy'], [1.0, 2.0, 3.0])
    """
    return evaluator_of("by_example", problem, population, on, rows=rows, plan=plan).by_example()


def evaluator_of(
    name: str,
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet | None,
    *,
    rows: Tensor | ArrayLike | None,
    plan: Plan | str,
) -> Evaluator:
    """The evaluator that the keywords of a function mean; `name` is the function's.

    Raises:
        UsageError: what is no problem or population, or examples that cannot be meant.
    """
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} population", population, Population, "a Population such as run.final")
    if on is None:
        on = "train" if problem.data.test is None else "test"
    examples = as_sample(name, on).draw(problem).examples
    if rows is None:
        return Evaluator(problem, population, examples, plan=plan)
    table = index_table(f"{name} rows", rows, "member", len(population), len(examples))
    return Evaluator(problem, population, examples, rows=table, plan=plan)
