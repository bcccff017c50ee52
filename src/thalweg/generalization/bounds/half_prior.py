"""PAC-Bayes with a prior that half of the examples chose, and a bound on the other half."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample
from thalweg.generalization.bounds.certificate import Certificate
from thalweg.generalization.bounds.drawn import Candidate, answers, certified, held_out_draws
from thalweg.generalization.bounds.endings import of_draws
from thalweg.generalization.bounds.half_hold_out import of_networks
from thalweg.generalization.bounds.pac_bayes import enough
from thalweg.generalization.bounds.posterior import Gaussian, optimized
from thalweg.generalization.bounds.trainings import BoundCost, Given, given_apart
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.training import Recipe, train
from thalweg.workers import Workers


@guarded
def half_prior(
    problem: Problem,
    recipe: Recipe,
    *,
    seeds: int | Sequence[int] = 1,
    prior: Sample | str | ExampleSet | None = None,
    bound: Sample | str | ExampleSet | None = None,
    examples: ArrayLike | Tensor | None = None,
    test_examples: ArrayLike | Tensor | None = None,
    sigmas: Sequence[float] = (0.01, 0.03, 0.1),
    posterior: Recipe | None = None,
    draws: int = 1_000,
    delta: float = 0.05,
    monte_carlo_delta: float = 0.01,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Certificate:
    """Train on half of the examples, take noise around that network as the prior, and bound on the other half.

        kl(error || risk) <= (KL + ln(2 sqrt(m) n / (delta - delta'))) / m,    KL = |mean - prior mean|^2 / (2 sigma^2)

    of networks with noise N(0, sigma^2) in all weights. The posterior is the prior itself, KL = 0, and with `posterior`
    also one whose mean that recipe moves on the bound's examples by the gradient of the quadratic bound. All n
    candidates are bounded, each at its n-th part of delta and of delta', the share of the draws. The best KL is mostly
    next to 0: then this is a hold-out bound of a noisy network, and larger than Clopper and Pearson's of the same half,
    which is "hold-out bound" (seed) in the reading, and `network` of the result as a certificate of its own.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(0.01), steps=150, batch_size=100, evaluate=1)
    >>> found = tw.generalization.bounds.half_prior(problem, recipe, sigmas=[0.03], draws=50)
    >>> bool(0.05 < found["bound"][0] < 0.3), bool(found["contradicted"][0])
    (True, False)

    Args:
        problem: whose answers are right or wrong.
        recipe: how the prior's mean is trained, from the initialization of each seed on; without sweeps.
        seeds: one network each; an integer n means 0 to n - 1.
        prior, bound: the examples of each; None: each seed halves the training examples by a draw of its own.
        examples: the training examples of each seed that are halved, by index: (seeds, n); None: all.
        test_examples: the test examples of each seed, likewise, which it was not trained on; None: all.
        sigmas: standard deviations of the noise, fixed before the data.
        posterior: how the mean is moved; None: it stays.
        draws: of weights, for every candidate and seed.
        delta: what may fail in all, for each seed.
        monte_carlo_delta: the part of it that the draws take.
        plan: see `train`.
        progress: told how far it is, and first what it costs.
        workers: who trains slices of the members on their halves, see `train`; None: this process.

    Raises:
        UsageError: arguments that cannot be meant; samples for prior and bound that share examples; fewer than 8 for
            the bound.
        ModelError: answers that are not right or wrong.

    Cost: see `half_prior_cost`.

    References:
        Ambroladze, Parrado-Hernandez & Shawe-Taylor (2006), NeurIPS 19; Perez-Ortiz et al. (2021), arXiv:2007.12911.
    """
    began = time.perf_counter()
    of = given_apart(
        "half_prior",
        problem,
        recipe,
        seeds,
        deltas=(delta, monte_carlo_delta),
        prior=prior,
        bound=bound,
        examples=examples,
        test_examples=test_examples,
    )
    enough("half_prior bound's", of.m)
    check_type("half_prior posterior", posterior, (Recipe, type(None)), "a Recipe, or None")
    sizes = checked_deviations("half_prior sigmas", sigmas)
    expected = half_prior_cost(problem, recipe, seeds=seeds, sigmas=sizes, posterior=posterior, draws=draws)
    count = len(sizes) * (1 if posterior is None else 2)
    share = (delta - monte_carlo_delta) / count
    with watched(progress) as told:
        told(Progress(f"half_prior, prior. {expected}", 0, recipe.steps, 0.0))
        run = train(of.problem, recipe, of.seeds, examples=of.trained_on, plan=plan, progress=told, workers=workers)
        center = run.final
        candidates = []
        for sigma in sizes:
            std = center.theta.new_full((len(center), 1), sigma)
            candidates.append(Candidate(f"sigma {sigma:g}", Gaussian(center.theta, std), np.zeros(len(center))))
            if posterior is not None:
                moved = _moved(of, center, std, posterior, share, told, plan)
                own = moved.kl(Gaussian(center.theta, std))
                candidates.append(Candidate(f"sigma {sigma:g}, moved", moved, own))
        found = certified(
            problem,
            of,
            center,
            candidates,
            draws=draws,
            delta=delta,
            monte_carlo_delta=monte_carlo_delta,
            told=told,
            plan=plan,
        )
        cost = BoundCost(len(center), len(center) * recipe.steps, 0, len(center))
        network = of_networks(problem, of, center, delta=delta, cost=cost, began=began, plan=plan)
    counted = network["bound"]
    found_of_draws = of_draws(
        "PAC-Bayes, prior from half",
        of,
        found,
        candidates,
        delta=delta,
        cost=expected,
        began=began,
        notes=(f"Clopper and Pearson's of the network itself by the same half: {np.median(counted):.3g} (median).",),
        beside={"hold-out bound": counted},
    )
    return replace(found_of_draws, network=network)


@guarded
def half_prior_cost(
    problem: Problem,
    recipe: Recipe,
    *,
    seeds: int | Sequence[int] = 1,
    sigmas: Sequence[float] = (0.01, 0.03, 0.1),
    posterior: Recipe | None = None,
    draws: int = 1_000,
) -> BoundCost:
    """What `half_prior` with these arguments takes; nothing is computed.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(0.01), steps=150, batch_size=100)
    >>> print(tw.generalization.bounds.half_prior_cost(problem, recipe, seeds=3))
    3 trainings (450 steps in all, of 3 seeds) and 9,900 draws of weights, a pass each.

    Args:
        problem, recipe, seeds, sigmas, posterior, draws: see `half_prior`.
    """
    count = seeds if isinstance(seeds, int) else len(seeds)
    moves = 0 if posterior is None else len(sigmas) * posterior.steps
    candidates = len(sigmas) * (1 if posterior is None else 2)
    trainings = count * (1 + (0 if posterior is None else len(sigmas)))
    drawn = draws + held_out_draws(problem, draws)
    return BoundCost(trainings, count * (recipe.steps + moves), count * candidates * drawn, count)


def checked_deviations(what: str, values: Sequence[float]) -> list[float]:
    """Standard deviations as numbers.

    Raises:
        UsageError: none, or one that is not above 0 and finite.
    """
    check_type(what, values, Sequence, "a list of standard deviations such as [0.01, 0.1]")
    for value in values:
        check_type(what, value, (int, float), "a list of standard deviations such as [0.01, 0.1]")
    if not values or not all(0 < value < float("inf") for value in values) or len(set(values)) < len(values):
        msg = f"{what} must be standard deviations above 0, each once; got {list(values)}."
        raise UsageError(msg)
    return [float(value) for value in values]


def _moved(
    of: Given,
    center: Population,
    std: Tensor,
    posterior: Recipe,
    delta: float,
    told: Watcher,
    plan: Plan | str,
) -> Gaussian:
    """The posterior whose mean is trained on the bound's examples."""
    there = Gaussian(center.theta, std)
    return optimized(
        of.bounded,
        center,
        there,
        there,
        posterior,
        m=of.m,
        delta=delta,
        classes=answers(of.bounded, center),
        shaped=False,
        seeds=of.seeds,
        rows=of.rows,
        label="half_prior, posterior",
        told=told,
        plan=plan,
    )
