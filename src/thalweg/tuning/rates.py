"""Runs of one recipe over learning rates."""

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.optim import Around, Rule
from thalweg.population import Problem
from thalweg.progress import Watcher
from thalweg.results import Cost, Provenance
from thalweg.sweep import values
from thalweg.training import Recipe, Run, train


def with_rate(rule: Rule | Around, lr: Any) -> Rule | Around:
    """The rule, or what is around it, at another learning rate: a number, a sweep or a scheduled one."""
    return replace(rule, rule=with_rate(rule.rule, lr)) if isinstance(rule, Around) else replace(rule, lr=lr)


def final_losses(
    problem: Problem, recipe: Recipe, rates: NDArray[np.float64], seeds: int, watch: Watcher
) -> tuple[Run, NDArray[np.float64], NDArray[np.float64]]:
    """The run with every rate as members, and its training loss before and after: (rates, seeds) each.

    Where a run diverged its loss is infinite.
    """
    swept = replace(recipe, optimizer=with_rate(recipe.optimizer, values(rates.tolist())), evaluate=0)
    run = train(problem, swept, seeds, watch=watch)
    before, after = (np.asarray(row).reshape(len(rates), -1) for row in run.history["train_loss"][[0, -1]])
    return run, before, infinite_if_gone(after)


def infinite_if_gone(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses, infinite where a run diverged."""
    return np.where(np.isfinite(losses), losses, np.inf)


def cost_of(run: Run) -> Cost:
    """What a run took: a gradient a member and step."""
    passes = len(run.final) * run.step
    return Cost(run.seconds, passes, passes)


def provenance_of(problem: Problem, run: Run) -> Provenance:
    """Where a reading of this run was made."""
    seeds = sorted({int(seed) for seed in run.axes["seed"]})
    return Provenance.here(seeds, str(problem.device), str(problem.dtype), plan=dataclasses.asdict(run.plan))


def standard_error(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the mean over the last axis; NaN where there is one value, or one that is not finite."""
    n = samples.shape[-1]
    if n < 2:
        return np.full(samples.shape[:-1], np.nan)
    finite = np.isfinite(samples)
    spread = np.where(finite, samples, 0.0).std(axis=-1, ddof=1) / n**0.5
    return np.where(finite.all(axis=-1), spread, np.nan)
