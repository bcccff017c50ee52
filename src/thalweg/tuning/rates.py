"""Runs of one recipe over learning rates."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_type
from thalweg.optim import Rule, Wrapper
from thalweg.optim.wrapper import unwrapped
from thalweg.population import Problem
from thalweg.progress import Watcher, check_watcher
from thalweg.results import Cost, Provenance
from thalweg.schedules import Scheduled
from thalweg.sweep import plain, values
from thalweg.training import MemberGrid, Recipe, Run, infinite_if_diverged, train
from thalweg.workers import Workers


def with_rate(rule: Rule | Wrapper, lr: Any) -> Rule | Wrapper:
    """The rule, or what is around it, at another learning rate: a number or a sweep, or a scheduled one.

    A number or a sweep goes on following the schedule that the rate has; a scheduled one brings its own.
    """
    if isinstance(rule, Wrapper):
        return replace(rule, rule=with_rate(rule.rule, lr))
    if isinstance(rule.lr, Scheduled) and not isinstance(lr, Scheduled):
        return replace(rule, lr=Scheduled(lr, rule.lr.schedule))
    return replace(rule, lr=lr)


def check_run(name: str, problem: Any, recipe: Any, progress: Any) -> None:
    """Raise UsageError unless these are what a run is made of; `name` is what was called."""
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} recipe", recipe, Recipe, "a Recipe such as Recipe(optim.AdamW(1e-3), steps=400)")
    check_watcher(name, progress)


def spaced(name: str, low: Any, high: Any, rates: Any, least: int) -> NDArray[np.float64]:
    """Rates at equal ratios, from low to high: (rates,).

    Raises:
        UsageError: they do not ascend from above 0, or are fewer than `least`; `name` is what was called.
    """
    low, high, rates = plain(low), plain(high), plain(rates)
    check_type(f"{name} low", low, (int, float), "a number above 0")
    check_type(f"{name} high", high, (int, float), "a number above low")
    check_type(f"{name} rates", rates, int, f"how many, at least {least}")
    if not 0 < low < high < np.inf or rates < least:
        msg = f"{name} goes over at least {least} rates, 0 < low < high; got {rates} from {low} to {high}."
        raise UsageError(msg)
    return np.geomspace(low, high, rates)


def final_losses(
    name: str,
    problem: Problem,
    recipe: Recipe,
    rates: NDArray[np.float64],
    seeds: int | Sequence[int],
    progress: Watcher | None,
    workers: Workers | None,
) -> tuple[Run, NDArray[np.float64], NDArray[np.float64]]:
    """The run with every rate as members, and its training loss before and after: (rates, seeds) each.

    Where a run diverged its loss is infinite.

    Raises:
        UsageError: another number of the recipe is swept; `name` is what was called.
    """
    swept = replace(recipe, optimizer=with_rate(recipe.optimizer, values(rates.tolist())), evaluate=0)
    check_alone(name, swept)
    run = train(problem, swept, seeds, progress=progress, workers=workers)
    before, after = (np.asarray(row).reshape(len(rates), -1) for row in run.history["train_loss"][[0, -1]])
    return run, before, infinite_if_diverged(after)


def check_alone(name: str, recipe: Recipe) -> None:
    """Raise UsageError where the recipe sweeps anything but the rate, so that its members are rates and seeds."""
    others = set(MemberGrid(recipe, [0]).axes) - {"lr", "seed"}
    if others:
        msg = (
            f"{name} sweeps the learning rate alone, but the recipe sweeps {', '.join(sorted(others))}: give one value."
        )
        raise UsageError(msg)


def gradients_a_step(rule: Rule | Wrapper) -> int:
    """How many gradients a step takes: one, or two where something around the rule ascends."""
    return 1 + any(layer.ascends for layer in unwrapped(rule)[0])


def cost_of(run: Run) -> Cost:
    """What a run took: the gradients of its members and steps."""
    passes = len(run.final) * run.step * gradients_a_step(run.recipe.optimizer)
    return Cost(run.seconds, passes, passes)


def provenance_of(problem: Problem, run: Run) -> Provenance:
    """Where a reading of this run was made."""
    seeds = sorted({int(seed) for seed in run.axes["seed"]})
    return Provenance.here(seeds, str(problem.device), str(problem.dtype), plan=dataclasses.asdict(run.plan))
