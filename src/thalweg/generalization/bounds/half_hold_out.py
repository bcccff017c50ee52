"""Train on half of the examples and count errors on the other half: the bound that others are held against."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.evaluation import Sample
from thalweg.generalization.bounds.certificate import Certificate, certificate
from thalweg.generalization.bounds.gibbs import wrong
from thalweg.generalization.bounds.hold_out import hold_out
from thalweg.generalization.bounds.rows import NETWORK
from thalweg.generalization.bounds.trainings import BoundCost, Given, given_apart
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Provenance
from thalweg.training import Recipe, train
from thalweg.workers import Workers


@guarded
def half_hold_out(
    problem: Problem,
    recipe: Recipe,
    *,
    seeds: int | Sequence[int] = 1,
    trained_on: Sample | str | ExampleSet | None = None,
    bound: Sample | str | ExampleSet | None = None,
    examples: ArrayLike | Tensor | None = None,
    test_examples: ArrayLike | Tensor | None = None,
    delta: float = 0.05,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Certificate:
    """Clopper and Pearson's bound of a network that saw half of the examples, by the other half.

    It is about the very network that was trained, which no other family is that is not vacuous on networks; it costs
    the examples that are kept from the training. The halves are those of `half_prior` with the same seeds.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(0.01), steps=150, batch_size=100, evaluate=1)
    >>> found = tw.generalization.bounds.half_hold_out(problem, recipe)
    >>> bool(found["error"][0] < found["bound"][0] < 0.15), found.row.about
    (True, 'the network')

    Args:
        problem, recipe, seeds, bound, examples, test_examples, delta, plan, progress, workers: see
            `half_prior`.
        trained_on: the examples that the networks see, where `bound` names those that count.

    Raises:
        UsageError: arguments that cannot be meant; samples that share examples.
        ModelError: answers that are not right or wrong.

    Cost: a training of every seed.

    References:
        Langford (2005), JMLR 6, 273-306.
    """
    began = time.perf_counter()
    of = given_apart(
        "half_hold_out",
        problem,
        recipe,
        seeds,
        deltas=(delta,),
        prior=trained_on,
        bound=bound,
        examples=examples,
        test_examples=test_examples,
    )
    count = len(of.seeds)
    expected = BoundCost(count, count * recipe.steps, 0, count)
    with watched(progress) as told:
        told(Progress(f"half_hold_out. {expected}", 0, recipe.steps, 0.0))
        run = train(of.problem, recipe, of.seeds, examples=of.trained_on, plan=plan, progress=told, workers=workers)
    return of_networks(problem, of, run.final, delta=delta, cost=expected, began=began, plan=plan)


def of_networks(
    problem: Problem, of: Given, networks: Population, *, delta: float, cost: BoundCost, began: float, plan: Plan | str
) -> Certificate:
    """The bound of networks that were trained on their halves.

    Args:
        problem: whose test examples are looked at.
        of: the examples of the bound, and seeds.
        networks: one of every seed.
        delta, plan: see `half_hold_out`.
        cost, began: what was said beforehand, and when it began.
    """
    errors = wrong(of.bounded, networks, of.examples, of.rows, plan=plan)
    test = problem.data.test
    held_out = None if test is None else (wrong(problem, networks, test, of.test_rows, plan=plan)[None], of.tested)
    return certificate(
        "hold-out, half",
        NETWORK,
        hold_out(np.round(errors * of.m), of.m, delta)[None],
        errors[None],
        sizes=("wrong", np.round(errors * of.m)[None]),
        candidates=["the network"],
        seeds=of.seeds,
        m=of.m,
        delta=delta,
        held_out=held_out,
        cost=cost,
        seconds=time.perf_counter() - began,
        provenance=Provenance.here(of.seeds, str(problem.device), str(problem.dtype)),
        notes=(of.text.replace("The prior", "The network"), f"It holds with probability {1 - delta:g} for each seed."),
    )
