"""Learning-rate range tests: which rates train at all, and which does so fastest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_type
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.progress import Watcher, automatic
from thalweg.results import Reading, Result
from thalweg.schedules import Constant, Schedule, Scheduled
from thalweg.schedules.schedule import Number
from thalweg.statistics import standard_error
from thalweg.sweep import plain
from thalweg.training import Recipe, train
from thalweg.tuning.rates import (
    check_alone,
    check_run,
    cost_of,
    final_losses,
    provenance_of,
    spaced,
    with_rate,
)
from thalweg.workers import Workers

_UNKNOWN = float("nan")


@guarded
def range_test(
    problem: Problem,
    recipe: Recipe,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    rates: int = 25,
    seeds: int | Sequence[int] = 3,
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Result:
    """The training loss that every rate reaches: one member a rate and seed, all from the same initialization.

    Unlike the classic test (Smith, 2017, arXiv:1506.01186; `classic_range_test`) no rate inherits what a smaller one
    has done, and there is nothing to restore afterwards.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found = tw.tuning.range_test(problem, tw.Recipe(tw.optim.SGD(0.1), steps=10, batch_size=64), rates=5, seeds=2)
    >>> found["training loss by seed"].shape, bool(found["steepest rate"] < found["best rate"])
    ((5, 2), True)

    Args:
        problem, recipe: what is trained, and how; the rate of the recipe's optimizer is replaced, and goes on following
            the schedule it has.
        low, high: the range, above 0.
        rates: how many, at equal ratios.
        seeds: one a member of each rate; an integer n means 0 to n - 1.
        progress: told how far it is.
        workers: who trains slices of the members, see `train`; None: this process.

    Returns:
        "training loss" (rate), the mean over seeds with its standard error, infinite where a seed diverged;
        "training loss by seed" (rate, seed); "loss before";
        "steepest rate", where the mean falls fastest per decade of rate on its way down to the least;
        "best rate", of the least mean; and "largest stable rate", up to which from the best one on every seed ends
        below its own start. NaN where there is none. Infinite losses are gaps in the figure.

    Raises:
        UsageError: low and high do not ascend from above 0, fewer than 3 rates, or the recipe sweeps another number.

    Cost: rates x seeds runs of the recipe.
    """
    check_run("range_test", problem, recipe, progress)
    grid = spaced("range_test", low, high, rates, 3)
    run, before, after = final_losses("range_test", problem, recipe, grid, seeds, progress, workers)
    mean = after.mean(1)
    steepest, best, stable = _steepest(grid, mean), _least(grid, mean), _UNKNOWN
    if np.isfinite(best):
        learned = np.logical_and.accumulate(np.all(after < before, axis=1)[mean.argmin() :])
        stable = grid[mean.argmin() + learned.sum() - 1] if learned[0] else _UNKNOWN
    reading = Reading(
        "learning-rate range test",
        {
            "training loss": mean,
            "training loss by seed": after,
            "loss before": before[0].mean(),
            "steepest rate": steepest,
            "best rate": best,
            "largest stable rate": stable,
        },
        {"training loss": ("rate",), "training loss by seed": ("rate", "seed")},
        {"rate": grid, "seed": run.axes["seed"][: after.shape[1]]},
        dict.fromkeys(("training loss", "training loss by seed", "loss before"), problem.loss.unit),
        {"training loss": standard_error(after), "loss before": standard_error(before[:1])[0]},
        degrees_of_freedom=dict.fromkeys(("training loss", "loss before"), after.shape[1] - 1),
        sample_size=after.shape[1],
        cost=cost_of(run),
        provenance=provenance_of(problem, run),
        notes=(
            f"After {recipe.steps} steps; means over {after.shape[1]} seeds, infinite where one diverged.",
            f"The loss falls fastest at {steepest:.2g} and is least at {best:.2g}; all seeds learn up to {stable:.2g}."
            if np.isfinite([steepest, best, stable]).all()
            else "There is no rate at which all seeds learn.",
        ),
    )
    return Result(reading)


@guarded
def classic_range_test(
    problem: Problem,
    recipe: Recipe,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    seeds: int | Sequence[int] = 3,
    smoothing: float = 0.9,
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Result:
    """The loss of each batch while the rate grows from low to high in one run (Smith, 2017, arXiv:1506.01186).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=20, batch_size=64)
    >>> tw.tuning.classic_range_test(problem, recipe, seeds=2)["batch loss"].shape
    (20,)

    Args:
        problem, recipe: what is trained, and how; its rate and schedule are replaced.
        low, high: the first and the last rate, above 0.
        seeds: one a run, of which the mean is taken; an integer n means 0 to n - 1.
        smoothing: b of the running mean m <- b m + (1 - b) loss, corrected for its start at 0.
        progress: told how far it is.
        workers: who trains slices of the members, see `train`; None: this process.

    Returns:
        "batch loss" (rate), smoothed, with its standard error over seeds, infinite once a seed has diverged;
        "steepest rate", where it falls fastest per decade of rate on its way down to the least; "least rate", where
        it is lowest. NaN where there is none.

    Raises:
        UsageError: low and high do not ascend from above 0, smoothing outside 0 to 1, fewer than 3 steps, or a swept
            number.

    Cost: seeds runs of the recipe.
    """
    check_run("classic_range_test", problem, recipe, progress)
    if recipe.steps < 3:
        msg = f"classic_range_test gives every step a rate of its own and needs at least 3 steps; got {recipe.steps}."
        raise UsageError(msg)
    grid, smoothing = spaced("classic_range_test", low, high, recipe.steps, 3), plain(smoothing)
    check_type("classic_range_test smoothing", smoothing, (int, float), "a number from 0 up to below 1")
    if not 0 <= smoothing < 1:
        msg = f"classic_range_test smoothing must lie in [0, 1); got {smoothing}."
        raise UsageError(msg)
    rate = Scheduled(grid[-1], Growth(grid[0] / grid[-1]))
    growing = replace(recipe, optimizer=with_rate(recipe.optimizer, rate), schedule=Constant(), evaluate=0)
    check_alone("classic_range_test", growing)
    run = train(problem, growing, seeds, progress=progress, workers=workers)
    smooth = _smoothed(run.history.batch_loss, run.diverged_at, smoothing)
    mean = smooth.mean(1)
    steepest, least = _steepest(grid, mean), _least(grid, mean)
    reading = Reading(
        "classic learning-rate range test",
        {"batch loss": mean, "steepest rate": steepest, "least rate": least},
        {"batch loss": ("rate",)},
        {"rate": grid},
        {"batch loss": problem.loss.unit},
        {"batch loss": standard_error(smooth)},
        degrees_of_freedom={"batch loss": smooth.shape[1] - 1},
        sample_size=smooth.shape[1],
        cost=cost_of(run),
        provenance=provenance_of(problem, run),
        notes=(
            f"Each rate is one step of a run; running means with factor {smoothing:g}, over {smooth.shape[1]} seeds.",
            f"The loss falls fastest at {steepest:.2g} and is least at {least:.2g}."
            if np.isfinite([steepest, least]).all()
            else "The loss falls at no rate.",
        ),
    )
    return Result(reading)


@dataclass(frozen=True)
class Growth(Schedule):
    """s(t) = first^((T - t)/(T - 1)): from `first` at t = 1 to 1 at t = T, at equal ratios."""

    first: float

    def __call__(self, step: Number, steps: Number) -> Number:
        """The multiplier at `step` of `steps`."""
        return Constant()(step, steps) * self.first ** ((steps - np.asarray(step)) / np.maximum(steps - 1, 1))


def _least(grid: NDArray[np.float64], mean: NDArray[np.float64]) -> float:
    """The rate of the least mean loss; NaN where none is finite."""
    return float(grid[mean.argmin()]) if np.isfinite(mean).any() else _UNKNOWN


def _steepest(grid: NDArray[np.float64], mean: NDArray[np.float64]) -> float:
    """Where the mean loss falls fastest per decade, among the rates that lead down to the least; NaN where none does.

    Beyond the least the loss falls again only by chance: it is where training becomes unstable.
    """
    least = int(mean.argmin())
    gaps = np.flatnonzero(~np.isfinite(mean))
    first = max((int(gap) + 1 for gap in gaps if gap < least), default=0)
    last = min((int(gap) for gap in gaps if gap >= least), default=len(mean))
    if last - first < 2:
        return _UNKNOWN
    fall = np.gradient(mean[first:last], np.log10(grid[first:last]))[: least - first + 1]
    return float(grid[first + fall.argmin()]) if fall.min() < 0 else _UNKNOWN


def _smoothed(losses: NDArray[np.floating], diverged_at: NDArray[np.int64], factor: float) -> NDArray[np.float64]:
    """The running mean of every column, corrected for its start at 0, infinite once the seed has diverged.

    A batch in which no target counts leaves it as it is; before the first that has a loss it is infinite too.

    Args:
        losses: (steps, seeds).
        diverged_at: the step, from 1 on, at which a seed diverged; -1 is never.
        factor: b of m <- b m + (1 - b) loss.
    """
    unknown = ~np.isfinite(losses)
    late = (diverged_at >= 0) & (np.arange(1, len(losses) + 1)[:, None] >= diverged_at)
    diverged = np.logical_or.accumulate(unknown & late, axis=0)
    mean, found, seen = np.zeros(losses.shape[1]), [], np.zeros(losses.shape[1], dtype=int)
    for row in np.where(unknown, np.nan, losses):
        known = np.isfinite(row)
        mean, seen = np.where(known, factor * mean + (1 - factor) * row, mean), seen + known
        found.append(np.divide(mean, 1 - factor**seen, out=np.full(len(mean), np.inf), where=seen > 0))
    return np.where(diverged, np.inf, np.array(found))
