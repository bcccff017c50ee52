"""On which examples something is measured."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils._pytree import tree_flatten

from thalweg.data import Examples, ExampleSet, LazyExamples
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.population import Problem
from thalweg.randomness import generator

NAMES = ("train", "test")


@dataclass(frozen=True)
class Sample:
    """Examples, or some of them drawn at random without replacement: on what an instrument measures.

    The draw is a function of seed, count and the size of the set alone, so one sample is the same examples in every
    instrument, and two instruments given equal samples can be compared example by example.

    >>> import thalweg as tw
    >>> tw.Sample("train", 1_000)
    Sample(examples='train', count=1000, seed=0)

    Args:
        examples: "train" or "test" of the problem's data, or examples of one's own.
        count: how many of them; None, or at least as many as there are, is the whole set in its order.
        seed: of the stream (seed, "sample").

    Raises:
        UsageError: arguments that cannot be meant.
    """

    examples: str | ExampleSet = "train"
    count: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.examples, str):
            check_choice("Sample examples", self.examples, NAMES)
        else:
            write = '"train", "test" or examples such as data.train'
            check_type("Sample examples", self.examples, (Examples, LazyExamples), write)
        if self.count is not None:
            check_count("Sample count", self.count)
        check_type("Sample seed", self.seed, int, "a whole number")

    def indices(self, whole: int) -> Int64[Tensor, " count"] | None:
        """Which of so many examples it draws, ascending; None is all."""
        return None if self.count is None or self.count >= whole else sampled(whole, self.count, self.seed)

    def draw(self, problem: Problem) -> "Drawn":
        """The examples of a problem that it means.

        Raises:
            UsageError: "test" of data without a test set.
        """
        whole = self._whole(problem)
        return Drawn(self, whole, self.indices(len(whole)))

    def _whole(self, problem: Problem) -> ExampleSet:
        if not isinstance(self.examples, str):
            return _looked_at(problem, self.examples)
        if self.examples == "train":
            return problem.data.train
        if problem.data.test is None:
            msg = f"{problem.data.name!r} has no test examples; write on='train', or give some."
            raise UsageError(msg)
        return problem.data.test


@dataclass(frozen=True, eq=False)
class Drawn:
    """The examples that a sample turned out to be.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> drawn = tw.Sample("test", 100).draw(problem)
    >>> drawn.text, len(drawn.examples)
    ('100 of 360 test examples', 100)

    Args:
        sample: what was asked for.
        whole: the set it is drawn from.
        indices: which of them, ascending: (count,); None is all.
    """

    sample: Sample
    whole: ExampleSet
    indices: Int64[Tensor, " count"] | None

    def __len__(self) -> int:
        return len(self.whole) if self.indices is None else len(self.indices)

    @property
    def is_whole(self) -> bool:
        """Whether that is every example of the set."""
        return self.indices is None

    @property
    def examples(self) -> ExampleSet:
        """The examples themselves. Cost: a copy of those drawn; the whole set is not copied."""
        return self.whole if self.indices is None else self.whole.select(self.indices)

    def same(self, other: "Drawn") -> bool:
        """Whether these are the same examples of the same set, in one order, by what they hold and not their names.

        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> one, two, other = (tw.Sample("train", 100, seed).draw(problem) for seed in (0, 0, 1))
        >>> one.same(two), one.same(other)
        (True, False)

        Of two datasets that are read when asked for the rows are compared where it is one dataset, and otherwise they
        are taken for different.
        """
        if self.indices is None or other.indices is None:
            drawn_alike = self.indices is other.indices
        else:
            drawn_alike = torch.equal(self.indices, other.indices)
        return drawn_alike and (self.whole is other.whole or _hold_the_same(self.whole, other.whole))

    @property
    def text(self) -> str:
        """How many of which, such as "100 of 1,437 train examples"."""
        count = f"all {len(self.whole):,}" if self.indices is None else f"{len(self):,} of {len(self.whole):,}"
        which = f" {self.sample.examples}" if isinstance(self.sample.examples, str) else ""
        return f"{count}{which} examples"


def _looked_at(problem: Problem, examples: ExampleSet) -> ExampleSet:
    """The user's examples, after their targets were; those that are read when asked for are looked at then."""
    if examples is problem.data.train or examples is problem.data.test:
        return examples
    domain = problem.preflight.domain
    if domain.is_everything:
        return examples
    if isinstance(examples, LazyExamples):
        return examples.checked(domain)
    domain(examples.targets)
    return examples


def _hold_the_same(one: ExampleSet, other: ExampleSet) -> bool:
    """Whether two sets have the same rows in one order."""
    if isinstance(one, LazyExamples) and isinstance(other, LazyExamples):
        return one.dataset is other.dataset and torch.equal(one.indices, other.indices)
    if not isinstance(one, Examples) or not isinstance(other, Examples):
        return False
    (mine, form), (theirs, other_form) = (tree_flatten([some.inputs, some.targets]) for some in (one, other))
    return form == other_form and all(
        a.dtype == b.dtype and torch.equal(a, b.to(a.device)) for a, b in zip(mine, theirs, strict=True)
    )


def as_sample(name: str, on: "Sample | str | ExampleSet") -> Sample:
    """The sample meant by an instrument's `on`: itself, or all of "train", of "test" or of given examples.

    >>> from thalweg.evaluation import as_sample
    >>> as_sample("plane", "test")
    Sample(examples='test', count=None, seed=0)

    Raises:
        UsageError: none of these; `name` is the instrument's.
    """
    if isinstance(on, Sample):
        return on
    if isinstance(on, str):
        check_choice(f"{name} on", on, NAMES)
    else:
        write = 'a Sample such as Sample("train", 1_000), "train", "test" or examples such as data.train'
        check_type(f"{name} on", on, (Examples, LazyExamples), write)
    return Sample(on)


def sampled(whole: int, count: int, seed: int) -> Int64[Tensor, " count"]:
    """As many different numbers below `whole` as `count` says, ascending, by the stream (seed, "sample")."""
    return torch.randperm(whole, generator=generator(seed, "sample"))[:count].sort().values
