"""PAC-Bayes bounds of candidate posteriors, by draws of their weights; a union over them is paid, draws included."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thalweg.data import Examples
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.gibbs import gibbs_wrong
from thalweg.generalization.bounds.margins import margins_and_outputs
from thalweg.generalization.bounds.pac_bayes import monte_carlo, pac_bayes_kl
from thalweg.generalization.bounds.posterior import Gaussian
from thalweg.generalization.bounds.trainings import Given
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher

_ON_TEST = 100  # draws, at most, of the error on test examples, which no bound is made of


@dataclass(frozen=True, eq=False)
class Candidate:
    """A posterior of every seed, and how far it is from its prior.

    Args:
        name: what it is called.
        posterior: of every seed.
        kl: (seeds,).
    """

    name: str
    posterior: Gaussian
    kl: Array


@dataclass(frozen=True, eq=False)
class Certified:
    """Of every candidate and seed: the bound, the mean error of the draws, KL, and errors on so many test examples."""

    bounds: Array
    errors: Array
    sizes: Array
    held_out: tuple[Array, int] | None


def certified(
    problem: Problem,
    of: Given,
    population: Population,
    candidates: Sequence[Candidate],
    *,
    draws: int,
    delta: float,
    monte_carlo_delta: float,
    told: Watcher,
    plan: Plan | str,
) -> Certified:
    """The bound of each candidate, at its part of delta - delta' and of delta'.

    Args:
        problem: whose test examples are looked at.
        of: the examples of the bound, and seeds.
        population: members, whose buffers are read.
        candidates: posteriors.
        draws: of each, for every seed.
        delta, monte_carlo_delta: see `half_prior`.
    """
    count, began = len(candidates), time.perf_counter()
    errors, test = [], []
    for number, one in enumerate(candidates):

        def advance(done: int, number: int = number) -> None:
            total = number * draws + done
            told(Progress("bound, draws of weights", total, count * draws, time.perf_counter() - began))

        center = population.with_theta(one.posterior.mean)
        errors.append(
            gibbs_wrong(
                problem,
                center,
                one.posterior.std,
                of.examples,
                of.rows,
                draws=draws,
                seeds=of.seeds,
                stream=f"posterior {number}",
                plan=plan,
                advance=advance,
            )
        )
        if problem.data.test is not None:
            test.append(
                gibbs_wrong(
                    problem,
                    center,
                    one.posterior.std,
                    problem.data.test,
                    of.test_rows,
                    draws=held_out_draws(problem, draws),
                    seeds=of.seeds,
                    stream=f"posterior {number} on test",
                    plan=plan,
                )
            )
    table, kl = np.stack(errors), np.stack([one.kl for one in candidates])
    share = (delta - monte_carlo_delta) / count
    bounds = pac_bayes_kl(monte_carlo(table, draws, monte_carlo_delta / count), kl, of.m, share)
    held_out = None if problem.data.test is None else (np.stack(test), of.tested)
    return Certified(bounds, table, kl, held_out)


def held_out_draws(problem: Problem, draws: int) -> int:
    """Draws on test examples."""
    return 0 if problem.data.test is None else min(draws, _ON_TEST)


def answers(problem: Problem, population: Population) -> int:
    """How many answers there are to choose from: outputs, or 2 of one."""
    few = Examples(*problem.data.train.slice(0, 2))
    return max(2, margins_and_outputs(problem, population[:1], few, plan="looped")[1])
