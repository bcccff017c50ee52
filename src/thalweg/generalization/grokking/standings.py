"""Where the right answer stands among the classes."""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError
from thalweg.generalization.grokking.outputs import logits
from thalweg.guard import guarded
from thalweg.population import Population, Problem

Shares = Float[Tensor, "members examples"]
Right = Bool[Tensor, "members examples"]


@guarded
def standings(problem: Problem, population: Population, examples: ExampleSet) -> Shares:
    """The share of wrong classes that the right one beats, ties counting half, by example: (members, examples).

    >>> import thalweg as tw
    >>> from thalweg.generalization import grokking
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found = grokking.standings(problem, problem.initialize(2), problem.data.test)
    >>> found.shape, bool((found.mean(1) - 0.5).abs().max() < 0.1)
    (torch.Size([2, 360]), True)

    Raises:
        UsageError: targets that are no classes.
        ModelError: a model that does not return (batch, classes).
    """
    return answers(problem, population, examples)[0]


def answers(
    problem: Problem,
    population: Population,
    examples: ExampleSet,
    rows: Int64[Tensor, "members rows"] | None = None,
) -> tuple[Shares, Right]:
    """Standings, and which answers are right: the largest output is that of the target; on the CPU.

    Args:
        rows: of the examples, those of each member: (members, n); None: all.
    """
    targets = classes(examples)
    values = logits(problem, population, examples, rows)
    if targets.min() < 0 or targets.max() >= values.shape[2]:
        msg = (
            f"A standing needs classes from 0 to {values.shape[2] - 1}, those the model has outputs for; targets here "
            f"are from {targets.min()} to {targets.max()}. Leave out examples without a class."
        )
        raise UsageError(msg)
    wanted = targets.expand(len(values), -1) if rows is None else targets[rows.to(targets.device)]
    own = values.gather(2, wanted[..., None].to(values.device))
    beaten = (values < own).sum(2) + ((values == own).sum(2) - 1) / 2
    right = (values.argmax(2) == wanted.to(values.device)) & own[..., 0].isfinite()
    return (beaten / (values.shape[2] - 1)).cpu(), right.cpu()


def classes(examples: ExampleSet) -> Int64[Tensor, " examples"]:
    """The targets alone, whatever the inputs are.

    Raises:
        UsageError: they are not one whole number an example.
    """
    _, targets = examples.slice(0, len(examples))
    if isinstance(targets, Tensor) and targets.ndim == 1 and not targets.is_floating_point():
        return targets.long()
    got = f"{targets.dtype} {tuple(targets.shape)}" if isinstance(targets, Tensor) else type(targets).__name__
    msg = f"Classes are ranked here, one whole number an example, of shape (examples,); the targets are {got}."
    raise UsageError(msg)
