"""Trunks, and from each of them two copies that see their batches in other orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.evaluation import Sample
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher
from thalweg.randomness import stream_key
from thalweg.schedules import Constant
from thalweg.training import Recipe, Start, train
from thalweg.workers import Workers

_LOOKED_AT = 64  # examples at most on which histories, which nobody reads, are evaluated wherever copies begin


@dataclass(frozen=True, eq=False)
class Copies:
    """Two copies for every step and seed, trained to the end; members (steps x seeds), seeds vary fastest.

    Args:
        first, second: the copies.
        diverged: whether one of both did, or their trunk before they parted: (steps, seeds).
        plan: by which gradients were taken.
        gradients: how many batches all members saw.
    """

    first: Population
    second: Population
    diverged: NDArray[np.bool_]
    plan: str
    gradients: int


@dataclass(frozen=True, eq=False)
class Trunks:
    """Where copies begin, by the step at which they part, one network a seed; and whether it diverged: (seeds,)."""

    starts: Mapping[int, Start]
    diverged: Mapping[int, NDArray[np.bool_]]


def trunks(
    problem: Problem,
    recipe: Recipe,
    steps: Sequence[int],
    seeds: Sequence[int],
    *,
    fresh_schedule: bool,
    plan: Plan | str,
    progress: Watcher | None,
    workers: Workers | None,
) -> Trunks:
    """Train a network for each seed up to the last of the steps, and keep it at each with what its rule remembers.

    Args:
        steps: ascending.
        fresh_schedule: train at a constant rate; what begins there counts its steps from 0.
        plan, progress, workers: see `train`.
    """
    begun = Start(problem.initialize(seeds))
    starts, diverged = {0: begun}, {0: np.zeros(len(seeds), dtype=bool)}
    if steps[-1] > 0:
        whole = replace(_seldom(recipe), snapshot=tuple(steps), snapshot_state=True)
        whole = replace(whole, schedule=Constant()) if fresh_schedule else whole
        run = train(problem, whole, seeds, until=steps[-1], plan=plan, progress=progress, workers=workers)
        starts |= {step: run.at(step) for step in steps if step > 0}
        diverged |= {step: (run.diverged_at >= 0) & (run.diverged_at <= step) for step in steps}
    if fresh_schedule:
        starts = {step: replace(start, step=0, order=None) for step, start in starts.items()}
    return Trunks({step: starts[step] for step in steps}, diverged)


def copies(
    problem: Problem,
    recipe: Recipe,
    begun: Trunks,
    seeds: Sequence[int],
    orders: tuple[int, int],
    *,
    plan: Plan | str,
    progress: Watcher | None,
    workers: Workers | None,
) -> Copies:
    """Train two copies from everywhere, all as one population, whose members join at their own steps.

    Args:
        orders: of the data, by number, of the first copies and of the second.
        plan, progress, workers: see `train`.
    """
    both = [place for _ in orders for place in range(len(seeds))]
    keys = [stream_key(seed, "instability", order) for order in orders for seed in seeds]
    run = train(
        problem,
        replace(_seldom(recipe), snapshot=0, snapshot_state=False),
        keys,
        start={f"from step {step}": start[both] for step, start in begun.starts.items()},
        paired=True,
        test_examples=_few_of_test(problem, len(keys)),
        plan=plan,
        progress=progress,
        workers=workers,
    )
    rows = torch.arange(len(run.final)).reshape(len(begun.starts), len(orders), len(seeds))
    first, second = (run.final[rows[:, copy].flatten()] for copy in range(len(orders)))
    stopped = (run.diverged_at >= 0).reshape(rows.shape).any(1)
    stopped |= np.stack([begun.diverged[step] for step in begun.starts])
    seen = len(keys) * sum(recipe.steps - start.step for start in begun.starts.values())
    return Copies(first, second, stopped, str(run.plans["gradient"]), seen)


def _seldom(recipe: Recipe) -> Recipe:
    """The recipe, evaluated as little as may be, as nobody reads its history."""
    looked_at = recipe.evaluate_train_on
    few = looked_at.count is not None and looked_at.count <= _LOOKED_AT
    return replace(recipe, evaluate=0, evaluate_train_on=looked_at if few else Sample("train", _LOOKED_AT))


def _few_of_test(problem: Problem, rows: int) -> Tensor | None:
    """The first few test examples for each of so many rows; None where there are none."""
    held = problem.data.test
    return None if held is None else torch.arange(min(_LOOKED_AT, len(held))).expand(rows, -1)
