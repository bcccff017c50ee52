"""What a wrong learning rate costs (Wortsman et al., 2023, arXiv:2309.14322)."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_type
from thalweg.figures import Axis, Figure, Line
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.progress import Watcher, automatic
from thalweg.results import Reading, Result
from thalweg.statistics import POSITIVE, standard_error
from thalweg.statistics.means import mean_ends
from thalweg.training import Recipe
from thalweg.training.tables import table_of
from thalweg.tuning.rates import (
    check_run,
    cost_of,
    final_losses,
    provenance_of,
    spaced,
)
from thalweg.workers import Workers


def sensitivity(losses: ArrayLike, before: ArrayLike | None = None) -> NDArray[np.float64]:
    """E over rates of min(loss(rate), loss before) - least loss(rate), for rates at equal ratios: (seeds,).

    It is NaN for a seed that ends below the loss before at no rate: a rule that never learns is not robust. Of losses
    with noise, the least is that of several noisy draws, one a rate, which adds its expected distance below
    their mean: about 1.7 standard deviations for 13 rates where the curve is flat.

    >>> import thalweg as tw
    >>> tw.tuning.sensitivity([[2.0], [1.0], [3.0]], before=[2.5]).round(4).tolist()
    [0.8333]

    Args:
        losses: (rates, seeds).
        before: of the untrained network, which a diverged run counts as: (seeds,); None: losses are capped already.

    Raises:
        UsageError: losses are not a table of at least 2 rates, or `before` is not one loss a seed.
    """
    table = table_of("sensitivity losses", losses, "rates", "seeds")
    if len(table) < 2:
        msg = f"sensitivity needs losses (rates, seeds) of at least 2 rates; got shape {table.shape}."
        raise UsageError(msg)
    if before is None:
        return table.mean(0) - table.min(0)
    start = table_of("sensitivity before", before, "seeds")
    if start.shape != table.shape[1:]:
        msg = f"sensitivity needs one loss before training a seed, {table.shape[1:]}; got shape {start.shape}."
        raise UsageError(msg)
    capped = np.fmin(table, start)
    return np.where(capped.min(0) < start, capped.mean(0) - capped.min(0), np.nan)


@guarded
def rate_sensitivity(
    problem: Problem,
    recipe: Recipe,
    *,
    low: float = 3e-4,
    high: float = 3e-1,
    rates: int = 13,
    seeds: int | Sequence[int] = 5,
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Result:
    """The loss each rate ends with, and the sensitivity to the rate over the whole range.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=10, batch_size=64)
    >>> tw.tuning.rate_sensitivity(problem, recipe, rates=5, seeds=2)["sensitivity by seed"].shape
    (2,)

    Args:
        problem, recipe: what is trained, and how; the rate of the recipe's optimizer is replaced, and goes on following
            the schedule it has.
        low, high: the range, the paper's by default.
        rates: how many, at equal ratios.
        seeds: one a member of each rate; an integer n means 0 to n - 1.
        progress: told how far it is.
        workers: who trains slices of the members, see `train`; None: this process.

    Returns:
        "training loss" (rate), at most the loss before, and the scalar "sensitivity", both means over seeds with
        standard errors; "low" and "high" (rate), the ends of the loss's 95 % band, and "sensitivity low" and
        "sensitivity high", by `statistics.mean` over seeds, NaN of one seed, where all agree, and where one ends
        below its start at no rate; "sensitivity of the mean loss", into which the noise of seeds enters less;
        "training loss by seed" (rate, seed) and "sensitivity by seed" (seed).

    Raises:
        UsageError: a range that does not ascend from above 0, fewer than 2 rates, or the recipe sweeps another number.

    Cost: rates x seeds runs of the recipe.
    """
    check_run("rate_sensitivity", problem, recipe, progress)
    grid = spaced("rate_sensitivity", low, high, rates, 2)
    run, before, after = final_losses("rate_sensitivity", problem, recipe, grid, seeds, progress, workers)
    capped, found = np.fmin(after, before), sensitivity(after, before[0])
    never = int(np.isnan(found).sum())
    band, ends = mean_ends(capped), (np.nan, np.nan)
    if not never:
        (ends,) = np.transpose(mean_ends(found[None], bounds=POSITIVE))
    mean = capped.mean(1)
    losses = {"training loss": mean, "low": band[0], "high": band[1]}
    costs = {"sensitivity": found.mean(), "sensitivity low": ends[0], "sensitivity high": ends[1]}
    costs["sensitivity of the mean loss"] = sensitivity(mean[:, None], before[0].mean(keepdims=True))[0]
    by_seed = {"training loss by seed": capped, "sensitivity by seed": found}
    dims = {"training loss by seed": ("rate", "seed"), "sensitivity by seed": ("seed",)}
    notes = [
        f"After {recipe.steps} steps; a run counts as the loss before training at most.",
        f"The least loss of a seed is the least of {len(grid)} noisy ones: where the rate makes no difference the "
        f"sensitivity is about {_expected_fall(len(grid)):.1f} standard deviations of that noise.",
    ]
    if never:
        notes.append(f"{never} of {len(found)} seeds end below their start at no rate: there is no sensitivity.")
    reading = Reading(
        "sensitivity to the learning rate",
        losses | costs | by_seed,
        dict.fromkeys(losses, ("rate",)) | dims,
        {"rate": grid, "seed": run.axes["seed"][: len(found)]},
        dict.fromkeys(losses | costs | by_seed, problem.loss.unit),
        {"training loss": standard_error(capped), "sensitivity": standard_error(found[None])[0]},
        degrees_of_freedom=dict.fromkeys(("training loss", "sensitivity"), len(found) - 1),
        sample_size=len(found),
        cost=cost_of(run),
        provenance=provenance_of(problem, run),
        notes=tuple(notes),
    )
    return Result(reading)


def _expected_fall(draws: int) -> float:
    """How far the least of this many normal draws lies below their mean, in standard deviations (Blom, 1958)."""
    return NormalDist().inv_cdf((draws - 0.375) / (draws + 0.25))


@in_words
def sensitivity_figure(results: Mapping[str, Result]) -> Figure:
    """The loss against the rate, one line with its bootstrap band for each result of `rate_sensitivity`.

    It shows the losses that seeds had; a band of few seeds that disagree may go beyond.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=10, batch_size=64)
    >>> found = tw.tuning.rate_sensitivity(problem, recipe, rates=5, seeds=2)
    >>> tw.tuning.sensitivity_figure({"SGD": found}).title
    'Sensitivity to the learning rate'

    Args:
        results: by the name in the legend, such as one for each rule; all of one problem.

    Raises:
        UsageError: no result, or one of something else.
    """
    check_type("sensitivity_figure results", results or None, Mapping, "results of rate_sensitivity by name")
    for name, result in results.items():
        check_type(f"sensitivity_figure results[{name!r}]", result, Result, "a result of rate_sensitivity")
    readings, lines = {name: result.reading for name, result in results.items()}, []
    for name, reading in readings.items():
        if "sensitivity" not in reading.arrays:
            msg = f"sensitivity_figure draws results of rate_sensitivity; {name!r} is of {reading.name!r}."
            raise UsageError(msg)
        low, high = (np.where(np.isfinite(reading[end]), reading[end], np.nan) for end in ("low", "high"))
        found = float(reading["sensitivity"])
        label = f"{name}, sensitivity {found:.2g}" if np.isfinite(found) else f"{name}, not all seeds learn"
        lines.append(Line(reading.coordinate("rate"), reading["training loss"], low=low, high=high, label=label))
    first = next(iter(readings.values()))
    seen = np.concatenate([reading["training loss by seed"].ravel() for reading in readings.values()])
    margin = 0.05 * (seen.max() - seen.min())
    limits = (float(seen.min() - margin), float(seen.max() + margin)) if margin > 0 else None
    sizes = sorted({reading.sample_size or 0 for reading in readings.values()})
    seeds = " to ".join(map(str, sizes[:: max(1, len(sizes) - 1)]))
    return Figure.of(
        "Sensitivity to the learning rate",
        tuple(lines),
        Axis("learning rate", scale="log"),
        Axis("training loss", first.units["training loss"], limits=limits),
        caption=f"Means over {seeds} seeds with 95 % bands; a run counts as the loss before training at "
        "most. The sensitivity is the mean over seeds of the mean height above the lowest point.",
    )
