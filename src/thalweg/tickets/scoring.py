"""What a search scores weights by: a function of the trained network and its initialization, or one of the scores."""

from collections.abc import Callable

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.population import Population, Problem
from thalweg.tickets import scores
from thalweg.tickets.selection import Scores

Score = Callable[..., Scores]  # of (trained, first), or a function of `tickets.scores` as it is
OF_ONE = (scores.magnitude, scores.gamma)
OF_PROBLEM = (scores.snip, scores.taylor, scores.grasp, scores.synflow)


@in_words
def by_magnitude(trained: Population, first: Population) -> Scores:
    """|theta| of the trained network: the score of iterative magnitude pruning.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population = problem.initialize(2)
    >>> bool((tw.tickets.by_magnitude(population, population) == population.theta.abs()).all())
    True
    """
    return trained.theta.abs()


def as_score(problem: Problem, score: Score) -> Callable[[Population, Population], Scores]:
    """A score as a function of (trained, first); those of `tickets.scores` are called with what they take.

    Args:
        problem: whose examples gradients are of.
        score: of (trained, first), or `scores.magnitude`, `gamma`, `snip`, `taylor`, `grasp` or `synflow` as it is.

    Raises:
        UsageError: what cannot be called, or `scores.random`, which needs seeds.
    """
    if score is scores.random:
        msg = "scores.random needs seeds; write score=lambda trained, first: scores.random(trained, seeds)."
        raise UsageError(msg)
    if not callable(score):
        msg = f"A score is a function of (trained, first), such as tickets.scores.snip; got {score!r}."
        raise UsageError(msg)
    if score in OF_ONE:
        return lambda trained, first: score(trained)
    if score in OF_PROBLEM:
        return lambda trained, first: score(problem, trained)
    return score
