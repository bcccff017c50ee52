"""The conditions that all points of a line, plane or curve share."""

from dataclasses import dataclass

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation.running_statistics import POLICIES, STATISTICS_SAMPLE, tracked
from thalweg.evaluation.sample import Drawn, Sample, as_sample
from thalweg.population import Plan, Problem


@dataclass(frozen=True, eq=False)
class Conditions:
    """Under what conditions points are compared: the same for all of them.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> tw.evaluation.Conditions.of("line", problem, on=tw.Sample("train", 100)).text
    'On 100 of 1,437 train examples.'

    Args:
        problem: what is evaluated.
        drawn: on which examples.
        statistics: of normalization layers: "frozen": those of the first anchor everywhere; "interpolate": the same
            weighted sums as of the parameters; "recompute": at every point those of some training examples.
        statistics_on: the training examples that "recompute" takes; the same sample as in `recomputed` by default.
        plan: see `train`.
    """

    problem: Problem
    drawn: Drawn
    statistics: str = "frozen"
    statistics_on: Sample = STATISTICS_SAMPLE
    plan: Plan | str = "auto"

    @classmethod
    def of(
        cls,
        name: str,
        problem: Problem,
        *,
        on: Sample | str | ExampleSet = "train",
        statistics: str = "frozen",
        statistics_count: int = 1_024,
        plan: Plan | str = "auto",
        seed: int = 0,
    ) -> "Conditions":
        """The conditions that an instrument's keywords mean; `name` is the instrument's.

        Raises:
            UsageError: keywords that cannot be meant, or a sample of a single example, which has no standard error.
        """
        check_type(f"{name} problem", problem, Problem, "a Problem")
        check_choice(f"{name} statistics", statistics, POLICIES)
        check_count(f"{name} statistics_count", statistics_count, 2)
        check_type(f"{name} seed", seed, int, "a whole number")
        drawn = as_sample(name, on).draw(problem)
        if len(drawn) < 2 and not drawn.is_whole:
            msg = f"{name} on a sample needs at least 2 examples, or there is no standard error; got a count of 1."
            raise UsageError(msg)
        return cls(problem, drawn, statistics, Sample("train", statistics_count, seed), plan)

    @property
    def recomputes(self) -> bool:
        """Whether running statistics are made anew at every point: asked for, and the model has some."""
        return self.statistics == "recompute" and tracked(self.problem)

    @property
    def statistics_examples(self) -> ExampleSet:
        """The training examples that running statistics are recomputed on, the same at every point."""
        return self.statistics_on.draw(self.problem).examples

    def same(self, other: "Conditions") -> bool:
        """Whether values under both can be compared: on the same examples, by the same running statistics if any.

        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> train, test = (tw.evaluation.Conditions.of("line", problem, on=on) for on in ("train", "test"))
        >>> train.same(train), train.same(test)
        (True, False)
        """
        if not self.drawn.same(other.drawn):
            return False
        if not tracked(self.problem):
            return True
        if not self.recomputes or not other.recomputes:
            return self.statistics == other.statistics
        return self.statistics_on.draw(self.problem).same(other.statistics_on.draw(other.problem))

    @property
    def text(self) -> str:
        """What a reader should know: on which examples, with which running statistics."""
        policy = f"; running statistics of normalization layers: {self.statistics}" if tracked(self.problem) else ""
        return f"On {self.drawn.text}{policy}."
