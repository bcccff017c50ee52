"""PAC-Bayes with a prior around the initialization, and a posterior that is trained by the bound itself."""

import time
from collections.abc import Sequence

from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.generalization.bounds.certificate import Certificate
from thalweg.generalization.bounds.drawn import Candidate, answers, certified, held_out_draws
from thalweg.generalization.bounds.endings import of_draws
from thalweg.generalization.bounds.half_prior import checked_deviations
from thalweg.generalization.bounds.pac_bayes import enough
from thalweg.generalization.bounds.posterior import Gaussian, optimized
from thalweg.generalization.bounds.trainings import BoundCost, given
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.training import Recipe


@guarded
def data_free(
    problem: Problem,
    recipe: Recipe,
    *,
    seeds: int | Sequence[int] = 1,
    examples: ArrayLike | Tensor | None = None,
    test_examples: ArrayLike | Tensor | None = None,
    prior_stds: Sequence[float] = (0.3, 0.6, 1.0),
    start: Population | None = None,
    start_std: float = 0.05,
    draws: int = 1_000,
    delta: float = 0.05,
    monte_carlo_delta: float = 0.01,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> Certificate:
    """Train means and standard deviations of all weights by the quadratic PAC-Bayes bound, around the initialization.

    The prior is N(initialization, s^2 I), for each s of `prior_stds`, and the posterior N(mean, diag(std^2)): one draw
    of weights a step gives the loss, divided by ln(classes) in the place of the share of wrong answers, and the
    reparametrization its gradient (see `pac_bayes_quadratic`). All examples are the bound's. All priors are bounded,
    each at its part of delta.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(0.03), steps=150, batch_size=200, evaluate=1)
    >>> found = tw.generalization.bounds.data_free(problem, recipe, prior_stds=[1.0], draws=50)
    >>> bool(0.3 < found["bound"][0] < 0.9)
    True

    Args:
        problem: whose answers are right or wrong; its loss is cross-entropy or the logistic loss, or like them.
        recipe: how the posterior is trained, by a rule such as optim.Adam; without sweeps.
        seeds: of initialization, data order and draws; an integer n means 0 to n - 1.
        examples: the training examples of each seed, by index: (seeds, n); None: all.
        test_examples: the test examples of each seed, likewise, which it was not trained on; None: all.
        prior_stds: fixed before the data.
        start: where the means begin, such as trained networks of the same seeds; None: at the initialization.
        start_std: at which all standard deviations begin.
        draws: of weights, for every prior and seed.
        delta: what may fail in all, for each seed.
        monte_carlo_delta: the part of it that the draws take.
        plan: see `train`.
        progress: told how far it is, and first what it costs.

    Raises:
        UsageError: arguments that cannot be meant; fewer than 8 examples.
        ModelError: answers that are not right or wrong.

    Cost: see `data_free_cost`.

    References:
        Dziugaite & Roy (2017), arXiv:1703.11008; Perez-Ortiz et al. (2021), arXiv:2007.12911.
    """
    began = time.perf_counter()
    of = given(
        "data_free",
        problem,
        recipe,
        seeds,
        deltas=(delta, monte_carlo_delta),
        examples=examples,
        test_examples=test_examples,
    )
    enough("data_free", of.m)
    sizes = checked_deviations("data_free prior_stds", prior_stds)
    checked_deviations("data_free start_std", [start_std])
    initial = problem.initialize(of.seeds)
    beginning = _checked_start(problem, start, initial)
    expected = data_free_cost(problem, recipe, seeds=seeds, prior_stds=sizes, draws=draws)
    share = (delta - monte_carlo_delta) / len(sizes)
    members = len(initial)
    each = [member for _ in sizes for member in range(members)]
    center = initial[each]
    rows = None if of.rows is None else of.rows[each]
    prior_std = initial.theta.new_tensor([size for size in sizes for _ in range(members)])[:, None]
    prior = Gaussian(center.theta, prior_std)
    first = Gaussian(beginning[each].theta, initial.theta.new_full((len(each), 1), start_std))
    with watched(progress) as told:
        told(Progress(f"data_free, posterior. {expected}", 0, recipe.steps, 0.0))
        posterior = optimized(
            problem,
            center,
            prior,
            first,
            recipe,
            m=of.m,
            delta=share,
            classes=answers(problem, initial),
            shaped=True,
            seeds=[of.seeds[member] for member in each],
            rows=rows,
            label="data_free, posterior",
            told=told,
            plan=plan,
        )
        kl = posterior.kl(prior).reshape(len(sizes), members)
        candidates = []
        for place, size in enumerate(sizes):
            own = slice(place * members, (place + 1) * members)
            candidates.append(
                Candidate(f"prior std {size:g}", Gaussian(posterior.mean[own], posterior.std[own]), kl[place])
            )
        found = certified(
            problem,
            of,
            initial,
            candidates,
            draws=draws,
            delta=delta,
            monte_carlo_delta=monte_carlo_delta,
            told=told,
            plan=plan,
        )
    return of_draws("PAC-Bayes, data-free prior", of, found, candidates, delta=delta, cost=expected, began=began)


@guarded
def data_free_cost(
    problem: Problem,
    recipe: Recipe,
    *,
    seeds: int | Sequence[int] = 1,
    prior_stds: Sequence[float] = (0.3, 0.6, 1.0),
    draws: int = 1_000,
) -> BoundCost:
    """What `data_free` with these arguments takes; nothing is computed.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(3e-3), steps=1_200, batch_size=100)
    >>> print(tw.generalization.bounds.data_free_cost(problem, recipe))
    3 trainings (3,600 steps in all, of 1 seeds) and 3,300 draws of weights, a pass each.

    Args:
        problem, recipe, seeds, prior_stds, draws: see `data_free`.
    """
    count = seeds if isinstance(seeds, int) else len(seeds)
    members = count * len(prior_stds)
    return BoundCost(members, members * recipe.steps, members * (draws + held_out_draws(problem, draws)), count)


def _checked_start(problem: Problem, start: Population | None, initial: Population) -> Population:
    if start is None:
        return initial
    check_type("data_free start", start, Population, "a Population such as run.final, of the same seeds")
    problem.check(start)
    if len(start) != len(initial):
        msg = f"data_free start must have a member for each of {len(initial)} seeds; got {len(start)}."
        raise UsageError(msg)
    return start
