"""Runs of one recipe over learning rates."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.optim import Around, Rule
from thalweg.population import Problem
from thalweg.progress import Watcher
from thalweg.results import Cost, Provenance
from thalweg.results.bootstrap import FEWEST_TO_RESAMPLE, mean_bounds, t_bounds
from thalweg.sweep import values
from thalweg.training import Recipe, Run, Unfolded, train


def with_rate(rule: Rule | Around, lr: Any) -> Rule | Around:
    """The rule, or what is around it, at another learning rate: a number, a sweep or a scheduled one."""
    return replace(rule, rule=with_rate(rule.rule, lr)) if isinstance(rule, Around) else replace(rule, lr=lr)


def final_losses(
    name: str, problem: Problem, recipe: Recipe, rates: NDArray[np.float64], seeds: int | Sequence[int], watch: Watcher
) -> tuple[Run, NDArray[np.float64], NDArray[np.float64]]:
    """The run with every rate as members, and its training loss before and after: (rates, seeds) each.

    Where a run diverged its loss is infinite.

    Raises:
        UsageError: another number of the recipe is swept; `name` is what was called.
    """
    swept = replace(recipe, optimizer=with_rate(recipe.optimizer, values(rates.tolist())), evaluate=0)
    check_alone(name, swept)
    run = train(problem, swept, seeds, watch=watch)
    before, after = (np.asarray(row).reshape(len(rates), -1) for row in run.history["train_loss"][[0, -1]])
    return run, before, infinite_if_gone(after)


def check_alone(name: str, recipe: Recipe) -> None:
    """Raise UsageError where the recipe sweeps anything but the rate, so that its members are rates and seeds."""
    others = set(Unfolded(recipe, [0]).axes) - {"lr", "seed"}
    if others:
        msg = (
            f"{name} sweeps the learning rate alone, but the recipe sweeps {', '.join(sorted(others))}: give one value."
        )
        raise UsageError(msg)


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
    with np.errstate(over="ignore"):  # losses just short of divergence
        spread = np.where(finite, samples, 0.0).std(axis=-1, ddof=1) / n**0.5
    return np.where(finite.all(axis=-1), spread, np.nan)


def interval(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the 95 % interval for the mean over seeds of each row: (sets, seeds) of finite values to (sets,).

    By the studentized bootstrap; by Student's t for fewer than five seeds, or where too many agree to resample.
    """
    low, high = np.array([t_bounds(row) for row in samples]).T
    if samples.shape[1] >= FEWEST_TO_RESAMPLE:
        resampled = mean_bounds(samples)
        bounded = np.isfinite(resampled).all(axis=0)
        low, high = np.where(bounded, resampled[0], low), np.where(bounded, resampled[1], high)
    return low, high
