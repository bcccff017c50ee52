"""What families that need trainings share: seeds, which examples chose the prior and which count, and the cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.data import Data, ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.evaluation.rows import index_table
from thalweg.generalization.bounds import arguments
from thalweg.generalization.bounds.gibbs import check_accuracy
from thalweg.generalization.bounds.overlap import check_apart
from thalweg.losses.of_user import UserLoss
from thalweg.losses.per_position import NamedLoss
from thalweg.population import Problem
from thalweg.randomness import generator, listed
from thalweg.results import Summarized
from thalweg.training import MemberGrid, Recipe

Table = Int64[Tensor, "seeds n"]


@dataclass(frozen=True)
class BoundCost(Summarized):
    """What a bound takes that needs trainings, said before it begins; nothing is computed for it.

    >>> import thalweg as tw
    >>> print(tw.generalization.bounds.BoundCost(trainings=4, steps=2_000, draws=3_000, seeds=4))
    4 trainings (2,000 steps in all, of 4 seeds) and 3,000 draws of weights, a pass each.

    Args:
        trainings: of single networks.
        steps: of all of them together.
        draws: of weights that are evaluated, of all of them together.
        seeds: how many.
    """

    trainings: int
    steps: int
    draws: int
    seeds: int

    def facts(self) -> dict[str, str]:
        """In a sentence."""
        return {"": str(self)}

    def __str__(self) -> str:
        drawn = f" and {self.draws:,} draws of weights, a pass each" if self.draws else ""
        return f"{self.trainings:,} trainings ({self.steps:,} steps in all, of {self.seeds} seeds){drawn}."


@dataclass(frozen=True, eq=False)
class Given:
    """What a family was given, checked.

    Args:
        problem: of the examples that are trained on.
        bounded: the same of the examples of the bound.
        recipe: how.
        seeds: one a network.
        trained_on: which training examples each seed is trained on: (seeds, n); None: all of the problem.
        examples: of the bound.
        rows: which of them are each seed's: (seeds, m); None: all.
        text: which examples are whose, in a sentence.
        test_rows: which test examples are looked at for each seed: (seeds, n); None: all.
    """

    problem: Problem
    bounded: Problem
    recipe: Recipe
    seeds: list[int]
    trained_on: Table | None
    examples: ExampleSet
    rows: Table | None
    text: str
    test_rows: Table | None = None

    @property
    def m(self) -> int:
        """Examples of the bound."""
        return len(self.examples) if self.rows is None else self.rows.shape[1]

    @property
    def tested(self) -> int:
        """Test examples of each seed; 0 where there are none."""
        if self.test_rows is not None:
            return self.test_rows.shape[1]
        return 0 if self.problem.data.test is None else len(self.problem.data.test)


def given(
    name: str,
    problem: Problem,
    recipe: Recipe,
    seeds: int | Sequence[int],
    *,
    deltas: tuple[float, ...],
    examples: ArrayLike | Tensor | None = None,
    test_examples: ArrayLike | Tensor | None = None,
) -> Given:
    """All training examples, or those of each seed, to train on and to bound.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: answers that are not right or wrong.
    """
    checked = _seeds(name, problem, recipe, seeds)
    check_deltas(name, *deltas)
    whole, table = problem.data.train, None
    text = f"All {len(whole):,} training examples are the bound's."
    if examples is not None:
        table = index_table(f"{name} examples", examples, "seed", len(checked), len(whole))
        text = f"{table.shape[1]:,} training examples of each seed are the bound's."
    tested = _tested(name, problem, test_examples, len(checked))
    return Given(problem, problem, recipe, checked, table, whole, table, text, tested)


def given_apart(
    name: str,
    problem: Problem,
    recipe: Recipe,
    seeds: int | Sequence[int],
    *,
    deltas: tuple[float, ...],
    prior: Sample | str | ExampleSet | None,
    bound: Sample | str | ExampleSet | None,
    examples: ArrayLike | Tensor | None,
    test_examples: ArrayLike | Tensor | None = None,
) -> Given:
    """Some examples to train on, and others to bound: as given, or halves drawn anew for each seed.

    Raises:
        UsageError: arguments that cannot be meant; samples that share examples; one without the other.
        ModelError: answers that are not right or wrong.
    """
    found = given(name, problem, recipe, seeds, deltas=deltas, examples=examples, test_examples=test_examples)
    if (prior is None) != (bound is None) or (prior is not None and examples is not None):
        msg = f"{name} takes prior= and bound= together, or neither, and then examples= where each seed has its own."
        raise UsageError(msg)
    if prior is not None and bound is not None:
        first, second = (as_sample(name, one).draw(problem) for one in (prior, bound))
        check_apart(name, first, second, "the prior saw what the bound is taken on, and the bound does not hold")
        own, bounded = (on_examples(problem, one.examples) for one in (first, second))
        text = f"The prior saw {first.text}; the bound is on {second.text}."
        return Given(own, bounded, recipe, found.seeds, None, second.examples, None, text, found.test_rows)
    whole = len(problem.data.train)
    table = found.rows if found.rows is not None else torch.arange(whole).expand(len(found.seeds), -1)
    count = table.shape[1]
    check_count(f"{name} examples of each seed", count, 2)
    orders = [torch.randperm(count, generator=generator(seed, "half prior")) for seed in found.seeds]
    shuffled = torch.stack([row[order] for row, order in zip(table, orders, strict=True)])
    if any(len(row.unique()) < count for row in shuffled):
        msg = f"{name} examples has an example twice in a row: it could be the prior's and the bound's at once."
        raise UsageError(msg)
    half = count // 2
    text = f"The prior saw {half:,} examples, and the bound is on the other {count - half:,}, drawn for each seed."
    mine, rest = shuffled[:, :half], shuffled[:, half:]
    return Given(problem, problem, recipe, found.seeds, mine, problem.data.train, rest, text, found.test_rows)


def _tested(name: str, problem: Problem, test_examples: ArrayLike | Tensor | None, seeds: int) -> Table | None:
    """Which test examples are those of each seed; None: all."""
    if test_examples is None:
        return None
    if problem.data.test is None:
        msg = f"{name} test_examples are indices of test examples, and {problem.data.name!r} has none."
        raise UsageError(msg)
    return index_table(f"{name} test_examples", test_examples, "seed", seeds, len(problem.data.test))


def on_examples(problem: Problem, examples: ExampleSet) -> Problem:
    """The same problem with other training examples, and the same test examples."""
    data = Data(examples, problem.data.test, name=problem.data.name, classes=problem.data.classes)
    return Problem(
        problem.model,
        data,
        problem.loss if isinstance(problem.loss, NamedLoss) else problem.loss.function,
        metrics={metric.name: metric.function for metric in problem.metrics if isinstance(metric, UserLoss)} or None,
        device=problem.device,
        dtype=problem.dtype,
        memory_budget=problem.memory_budget,
    )


def check_deltas(name: str, *deltas: float) -> None:
    """Raise UsageError unless these are probabilities, of which the first holds all others."""
    for delta in deltas:
        check_type(f"{name} delta", delta, (int, float), "a number such as 0.05")
        arguments.failure(name, delta)
    if sum(deltas[1:]) >= deltas[0]:
        msg = (
            f"{name} delta={deltas[0]:g} is what may fail in all, and monte_carlo_delta a part of it; got "
            f"{sum(deltas[1:]):g}, which leaves nothing for the bound."
        )
        raise UsageError(msg)


def _seeds(name: str, problem: Problem, recipe: Recipe, seeds: int | Sequence[int]) -> list[int]:
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} recipe", recipe, Recipe, "a Recipe")
    check_accuracy(name, problem)
    found = listed(name, seeds)
    if not found:
        msg = f"{name} needs at least one seed; got {seeds!r}."
        raise UsageError(msg)
    swept = [axis for axis in MemberGrid(recipe, found[:1]).axes if axis != "seed"]
    if swept:
        msg = (
            f"{name} trains one network a seed; leave sweeps out of the recipe (it sweeps {', '.join(swept)}): a union "
            "over them is not paid."
        )
        raise UsageError(msg)
    return found
