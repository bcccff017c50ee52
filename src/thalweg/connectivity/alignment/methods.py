"""By what units are matched, with its options."""

from dataclasses import dataclass, field
from functools import partial

from thalweg.errors import check_choice, check_count, check_type
from thalweg.optim import Adam
from thalweg.optim.rule import Rule


@dataclass(frozen=True)
class WeightMatching:
    """By the weights that write and read units, biases and scales: `align(..., method="weights")`.

    >>> import thalweg as tw
    >>> tw.connectivity.WeightMatching()
    WeightMatching()
    """


@dataclass(frozen=True)
class ActivationMatching:
    """By the values of units on the same examples: `align(..., method="activations")`.

    >>> import thalweg as tw
    >>> tw.connectivity.ActivationMatching(measure="covariance").measure
    'covariance'

    Args:
        measure: "correlation" (Li et al., 2015, arXiv:1511.07543), which is blind to the scale of a unit, or
            "covariance", by which large units count for more.

    Raises:
        UsageError: another measure.
    """

    measure: str = "correlation"

    def __post_init__(self) -> None:
        check_choice("ActivationMatching measure", self.measure, ("correlation", "covariance"))


@dataclass(frozen=True)
class StraightThrough:
    """By the loss halfway to the reference, through which a target is trained: `align(..., method="straight_through")`.

    >>> import thalweg as tw
    >>> tw.connectivity.StraightThrough(steps=50).steps
    50

    Args:
        steps: of training the target, each with a batch and a matching.
        batch_size: examples in a batch.
        rule: by which the target is trained.

    Raises:
        UsageError: counts below 1, or no rule.
    """

    steps: int = 100
    batch_size: int = 100
    rule: Rule = field(default_factory=partial(Adam, 1e-2))

    def __post_init__(self) -> None:
        check_count("StraightThrough steps", self.steps)
        check_count("StraightThrough batch_size", self.batch_size)
        check_type("StraightThrough rule", self.rule, Rule, "an update rule such as tw.optim.Adam(1e-2)")


Method = WeightMatching | ActivationMatching | StraightThrough
METHODS: dict[str, type[Method]] = {
    "weights": WeightMatching,
    "activations": ActivationMatching,
    "straight_through": StraightThrough,
}
