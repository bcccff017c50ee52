"""Bias, variance and noise of the members of a population."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Sample
from thalweg.generalization.bias_variance.audit import NoiseAudit, audit_predictions
from thalweg.generalization.bias_variance.decomposition import Decomposition, check_loss, decompose_predictions
from thalweg.generalization.bias_variance.ensemble_gain import Ensembles, Sizes, ensembles_of_predictions
from thalweg.generalization.bias_variance.outputs import predictions
from thalweg.guard import guarded
from thalweg.losses import CrossEntropy, Logistic, SquaredError
from thalweg.population import Population, Problem


@guarded
def decompose(
    problem: Problem,
    population: Population,
    *,
    on: Sample | str | ExampleSet = "test",
    loss: str | None = None,
    judges: int | None = None,
    truth: ArrayLike | None = None,
) -> Decomposition:
    """Divide the error of the members of a population into bias^2 and variance; see `decompose_predictions`.

    Squared errors are summed over outputs. Class weights and the smoothing of labels are left out of cross-entropies.
    What the variance is over is what the members differ in: seeds, if they are of one run, or training sets as well, if
    they are from `refit`. With several seeds on each set, members of a set are alike: then write judges=sets, without
    which the variance comes out too small, bias^2 too large, and intervals too narrow. The default is for members that
    are independent: seeds of one training set, or one seed on each set.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=20, batch_size=32), seeds=4)
    >>> found = tw.generalization.bias_variance.decompose(problem, run.final, on="test")
    >>> bool(found["bias^2"] > found["variance"] > 0), found.loss
    (True, 'cross_entropy')
    >>> fits = tw.generalization.bias_variance.refit(problem, run.recipe, sets=3, seeds=2)
    >>> found = tw.generalization.bias_variance.decompose(problem, fits, judges=3)
    >>> found.reading.notes[0]
    '6 fits (3 judges x 2 seeds) of 360 cases.'

    Args:
        problem: of which the members are fits.
        population: at least two members.
        on: the examples whose error is divided.
        loss: "squared_error" or "cross_entropy"; that of the problem by default. Of a problem of classes
            "squared_error" is that of probabilities (the Brier score).
        judges: of how many judges (training sets) the members are, as many of each, members judges x seeds with seeds
            fastest, as `refit` returns them; None: all members are independent.
        truth: the targets without noise, where they are known: (cases, outputs).

    Raises:
        UsageError: fewer than two members or judges, members that cannot be dealt out, or a loss that does not divide
            into bias and variance.
        DataError: members that diverged.

    Cost: one evaluation of every member.
    """
    if loss is None:
        if not isinstance(problem.loss, CrossEntropy | Logistic | SquaredError):
            msg = f"The loss {problem.loss.name!r} is not known to divide into bias and variance; write "
            raise UsageError(msg + "loss='squared_error' for the squared error of the outputs.")
        loss = "cross_entropy" if isinstance(problem.loss, CrossEntropy | Logistic) else "squared_error"
    check_loss(loss)
    return decompose_predictions(*predictions(problem, population, on=on, loss=loss), loss, judges=judges, truth=truth)


@guarded
def audit(
    problem: Problem,
    population: Population,
    *,
    judges: int,
    seeds: str = "nested",
    on: Sample | str | ExampleSet = "test",
) -> NoiseAudit:
    """Divide the squared error of a population into bias^2, level, stable pattern and occasion noise.

    Members are judges x occasions, occasions fastest, as `refit` returns them (judges are training sets), and as a run
    with one sweep has them (judges are what was swept; the same seeds for all of them, so write seeds="crossed"). Of
    classes it is the error of the probabilities (the Brier score). See `audit_predictions`, to which predictions of
    several architectures can be given.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=20, batch_size=32)
    >>> fits = tw.generalization.bias_variance.refit(problem, recipe, sets=3, seeds=2)
    >>> found = tw.generalization.bias_variance.audit(problem, fits, judges=3)
    >>> bool(abs(sum(found[name] for name in tw.generalization.bias_variance.COMPONENTS) - found["mse"]) < 1e-12)
    True

    Args:
        problem, population: see `decompose`.
        judges: how many; as many members each.
        seeds: "nested" or "crossed".
        on: the examples whose error is divided, the cases.

    Raises:
        UsageError: members that cannot be dealt out, or fewer than two judges or occasions.
        DataError: members that diverged.

    Cost: one evaluation of every member.
    """
    return audit_predictions(*_by_judge("audit", problem, population, judges, on), seeds=seeds)


@guarded
def ensembles(
    problem: Problem,
    population: Population,
    *,
    judges: int,
    sizes: Sizes | None = None,
    seeds: str = "nested",
    on: Sample | str | ExampleSet = "test",
) -> Ensembles:
    """What averaging the outputs of several members gains: predicted from half the judges, measured on the other half.

    Members are judges x occasions, occasions fastest, as for `audit`. Of classes it is the error of the probabilities,
    averaged. See `ensembles_of_predictions`.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=20, batch_size=32)
    >>> fits = tw.generalization.bias_variance.refit(problem, recipe, sets=6, seeds=2)
    >>> found = tw.generalization.bias_variance.ensembles(problem, fits, judges=6)
    >>> found.reading.coordinate("ensemble").tolist(), bool((found["measured share"] < 1).all())
    (['1 x 2', '3 x 1', '3 x 2'], True)

    Args:
        problem, population, judges, seeds, on: see `audit`; at least four judges, and six for intervals.
        sizes: (judges, occasions) of the ensembles; see `ensembles_of_predictions`.

    Raises:
        UsageError: members that cannot be dealt out, fewer than four judges or two occasions, or ensembles that are too
            large.
        DataError: members that diverged.

    Cost: one evaluation of every member.
    """
    return ensembles_of_predictions(*_by_judge("ensembles", problem, population, judges, on), sizes, seeds=seeds)


def _by_judge(
    name: str, problem: Problem, population: Population, judges: int, on: Sample | str | ExampleSet
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions (judges, occasions, cases, outputs), and targets."""
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} population", population, Population, "a Population such as that of refit, or run.final")
    check_count(f"{name} judges", judges)
    if len(population) % judges:
        msg = f"{name} deals members out to judges, as many to each; got {len(population)} members for {judges} judges."
        raise UsageError(msg)
    found, targets = predictions(problem, population, on=on)
    return np.reshape(found, (judges, -1, *found.shape[1:])), targets
