"""Learning-rate range tests: which rates train at all, and which does so fastest."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.population import Problem
from thalweg.progress import Watcher, ignore
from thalweg.results import Reading
from thalweg.schedules import Constant, Schedule
from thalweg.schedules.schedule import Number
from thalweg.training import Recipe, train
from thalweg.tuning.rates import cost_of, final_losses, provenance_of, standard_error, with_rate


def range_test(
    problem: Problem,
    recipe: Recipe,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    rates: int = 25,
    seeds: int = 3,
    watch: Watcher = ignore,
) -> Reading:
    """The training loss that every rate reaches: one member a rate and seed, all from the same initialization.

    Unlike the classic test (Smith, 2017, arXiv:1506.01186; `classic_range_test`) no rate inherits what a smaller one
    has done, and there is nothing to restore afterwards.

    Args:
        problem, recipe: what is trained, and how; the rate of the recipe's optimizer is replaced.
        low, high: the range, above 0.
        rates: how many, at equal ratios.
        seeds: members a rate.
        watch: called with the progress.

    Returns:
        "training loss" (rate), the mean over seeds with its standard error, infinite where a seed diverged;
        "loss before"; "best rate", of the least mean; "largest stable rate", up to which every rate ends below the
        start with every seed, NaN where the smallest does not. Infinite losses are gaps in the figure.

    Raises:
        UsageError: low and high do not ascend from above 0, or fewer than 3 rates.

    Cost: rates x seeds runs of the recipe.
    """
    grid = _grid(low, high, rates)
    run, before, after = final_losses(problem, recipe, grid, seeds, watch)
    mean, worst = after.mean(1), after.max(1)
    stable = np.logical_and.accumulate(worst < before.mean(1))
    return Reading(
        "learning-rate range test",
        {
            "training loss": mean,
            "loss before": before.mean(),
            "best rate": grid[np.where(np.isfinite(mean), mean, np.inf).argmin()],
            "largest stable rate": grid[stable][-1] if stable.any() else np.nan,
        },
        {"training loss": ("rate",)},
        {"rate": grid},
        {"training loss": problem.loss.unit, "loss before": problem.loss.unit},
        {"training loss": standard_error(after)},
        sample_size=seeds,
        cost=cost_of(run),
        provenance=provenance_of(problem, run),
        notes=(f"After {recipe.steps} steps; means over {seeds} seeds, infinite where one diverged.",),
    )


def classic_range_test(
    problem: Problem,
    recipe: Recipe,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    seeds: int = 3,
    smoothing: float = 0.9,
    watch: Watcher = ignore,
) -> Reading:
    """The loss of each batch while the rate grows from low to high in one run (Smith, 2017, arXiv:1506.01186).

    Args:
        problem, recipe: what is trained, and how; its rate and schedule are replaced.
        low, high: the first and the last rate, above 0.
        seeds: runs of which the mean is taken.
        smoothing: b of the running mean m <- b m + (1 - b) loss, corrected for its start at 0.
        watch: called with the progress.

    Returns:
        "batch loss" (rate), smoothed, with its standard error over seeds; "steepest rate", where it falls fastest
        per decade; "least rate", where it is lowest.

    Raises:
        UsageError: low and high do not ascend from above 0, smoothing outside 0 to 1, or fewer than 3 steps.

    Cost: seeds runs of the recipe.
    """
    grid = _grid(low, high, recipe.steps)
    if not 0 <= smoothing < 1:
        msg = f"classic_range_test smoothing must lie in [0, 1); got {smoothing}."
        raise UsageError(msg)
    growing = replace(recipe, optimizer=with_rate(recipe.optimizer, high), schedule=Growth(low / high), evaluate=0)
    run = train(problem, growing, seeds, watch=watch)
    losses = np.where(np.isfinite(run.history.batch_loss), run.history.batch_loss, np.inf)
    smooth = _smoothed(losses, smoothing)
    mean = smooth.mean(1)
    shown = np.isfinite(mean)
    slope = np.full(len(grid), np.inf)
    if shown.sum() > 2:
        slope[shown] = np.gradient(mean[shown], np.log10(grid[shown]))
    return Reading(
        "classic learning-rate range test",
        {
            "batch loss": mean,
            "steepest rate": grid[slope.argmin()],
            "least rate": grid[np.where(shown, mean, np.inf).argmin()],
        },
        {"batch loss": ("rate",)},
        {"rate": grid},
        {"batch loss": problem.loss.unit},
        {"batch loss": standard_error(smooth)},
        sample_size=seeds,
        cost=cost_of(run),
        provenance=provenance_of(problem, run),
        notes=(f"Each rate is one step of a run; running means with factor {smoothing:g}, over {seeds} seeds.",),
    )


@dataclass(frozen=True)
class Growth(Schedule):
    """s(t) = first^((T - t)/(T - 1)): from `first` at t = 1 to 1 at t = T, at equal ratios."""

    first: float

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return Constant()(step, steps) * self.first ** ((steps - np.asarray(step)) / np.maximum(steps - 1, 1))


def _grid(low: float, high: float, rates: int) -> NDArray[np.float64]:
    if not 0 < low < high < np.inf or rates < 3:
        msg = f"A range test goes over at least 3 rates, 0 < low < high; got {rates} from {low} to {high}."
        raise UsageError(msg)
    return np.geomspace(low, high, rates)


def _smoothed(losses: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """The running mean of every column, corrected for its start at 0: (steps, seeds)."""
    mean, found = np.zeros(losses.shape[1]), []
    for step, row in enumerate(losses, start=1):
        mean = factor * mean + (1 - factor) * row
        found.append(mean / (1 - factor**step))
    return np.array(found)
