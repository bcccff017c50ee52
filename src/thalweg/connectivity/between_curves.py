"""Curves between checkpoints that no line joins, judged by the same resampled examples as lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from thalweg.connectivity.between_checkpoints import Pair
from thalweg.connectivity.bezier import bezier
from thalweg.connectivity.curve import Curve
from thalweg.connectivity.line import LineValues, path_values
from thalweg.connectivity.samples import samples_of
from thalweg.population import Population, Problem
from thalweg.progress import Watcher
from thalweg.training import Recipe


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of some pairs.

    Args:
        curve: all of them.
        values: loss and error on them, on every set of examples.
        pairs: the numbers of the pairs.
    """

    curve: Curve
    values: tuple[LineValues, ...]
    pairs: tuple[int, ...]

    @property
    def evaluations(self) -> int:
        """Points evaluated for the values."""
        return sum(one.evaluations for one in self.values)

    def diverged_at(self, count: int) -> np.ndarray:
        """The step at which the curve of each of so many pairs diverged: (pairs,); -1 where none did."""
        found = np.full(count, -1)
        found[list(self.pairs)] = self.curve.diverged_at.cpu().numpy()
        return found

    def notes(self, pairs: Sequence[Pair], recipe: Recipe) -> list[str]:
        """How the curves of these checkpoints were trained, and whose diverged."""
        notes = [f"Curves of {len(self.pairs)} of {len(pairs)} pairs: one bend, trained by {by_recipe(recipe)}."]
        diverged = {pairs[place]: step for place, step in enumerate(self.diverged_at(len(pairs))) if step >= 0}
        if diverged:
            each = ", ".join(f"of {first} and {second} at step {step}" for (first, second), step in diverged.items())
            notes.append(f"Curves that diverged, and were frozen there: {each}.")
        return notes


def curves_of(
    problem: Problem,
    ends: tuple[Population, Population],
    pairs: Sequence[int],
    recipe: Recipe,
    *,
    points: int,
    on: Sequence[Any],
    resamples: int,
    common: dict[str, Any],
    progress: Watcher,
) -> Curves:
    """Train curves from the first to the second of these pairs, and evaluate them on what lines are evaluated on."""
    first, second = (one[list(pairs)] for one in ends)
    curve = bezier(problem, first, second, recipe, on=on, points=points, progress=progress, **common)
    weights = torch.from_numpy(curve.weights(np.linspace(0, 1, points)))
    options: dict[str, Any] = {"same": [False] * len(pairs), "seed": common["seed"], "progress": progress}
    values = [
        path_values(curve.control, weights, one, resamples, **options, label=f"curves, {one.drawn.text}")
        for one in samples_of("between", problem, on, **common)
    ]
    return Curves(curve, tuple(values), tuple(pairs))


def by_recipe(recipe: Recipe) -> str:
    """The optimizer and the steps of a recipe, in words.

    >>> import thalweg as tw
    >>> from thalweg.connectivity.between_curves import by_recipe
    >>> by_recipe(tw.Recipe(tw.optim.Momentum(0.1), steps=600, batch_size=50))
    'Momentum(lr=0.1) in 600 steps'
    """
    return f"{recipe.optimizer} in {recipe.steps:,} steps"
