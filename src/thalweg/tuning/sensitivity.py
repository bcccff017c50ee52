"""What a wrong learning rate costs (Wortsman et al., 2023, arXiv:2309.14322)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_type
from thalweg.population import Problem
from thalweg.progress import Watcher, ignore
from thalweg.results import Axis, Figure, Line, Reading
from thalweg.training import Recipe
from thalweg.tuning.rates import cost_of, final_losses, interval, provenance_of, standard_error


def sensitivity(losses: NDArray[np.float64], before: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """E over rates of min(loss(rate), loss before) - least loss(rate), for rates at equal ratios: (seeds,).

    Args:
        losses: (rates, seeds).
        before: of the untrained network, which a diverged run counts as: (seeds,); None: losses are capped already.

    Raises:
        UsageError: losses are not a table of at least 2 rates.
    """
    if losses.ndim != 2 or len(losses) < 2:
        msg = f"sensitivity needs losses (rates, seeds) of at least 2 rates; got shape {losses.shape}."
        raise UsageError(msg)
    capped = losses if before is None else np.fmin(losses, before)
    return capped.mean(0) - capped.min(0)


def rate_sensitivity(
    problem: Problem,
    recipe: Recipe,
    *,
    low: float = 3e-4,
    high: float = 3e-1,
    rates: int = 13,
    seeds: int | Sequence[int] = 5,
    watch: Watcher = ignore,
) -> Reading:
    """The loss each rate ends with, and the sensitivity to the rate over the whole range.

    Args:
        problem, recipe: what is trained, and how; the rate of the recipe's optimizer is replaced.
        low, high: the range, the paper's by default.
        rates: how many, at equal ratios.
        seeds: one a member of each rate; an integer n means 0 to n - 1.
        watch: called with the progress.

    Returns:
        "training loss" (rate), at most the loss before, and the scalar "sensitivity", both means over seeds with
        standard errors; "low" and "high" (rate), the ends of the loss's 95 % band, and "sensitivity low" and
        "sensitivity high", by the bootstrap over seeds, studentized (Student's t for fewer than five);
        "training loss by seed" (rate, seed) and "sensitivity by seed" (seed).

    Raises:
        UsageError: a range that does not ascend from above 0, fewer than 2 rates, or the recipe sweeps another number.

    Cost: rates x seeds runs of the recipe.
    """
    check_type("rate_sensitivity low", low, (int, float), "a number above 0")
    check_type("rate_sensitivity high", high, (int, float), "a number above low")
    check_type("rate_sensitivity rates", rates, int, "how many, at least 2")
    if not 0 < low < high < np.inf or rates < 2:
        msg = f"rate_sensitivity goes over at least 2 rates, 0 < low < high; got {rates} from {low} to {high}."
        raise UsageError(msg)
    grid = np.geomspace(low, high, rates)
    run, before, after = final_losses("rate_sensitivity", problem, recipe, grid, seeds, watch)
    capped, found = np.fmin(after, before), sensitivity(after, before[0])
    band, (ends,) = interval(capped), np.transpose(interval(found[None]))
    losses = {"training loss": capped.mean(1), "low": band[0], "high": band[1]}
    costs = {"sensitivity": found.mean(), "sensitivity low": ends[0], "sensitivity high": ends[1]}
    by_seed = {"training loss by seed": capped, "sensitivity by seed": found}
    dims = {"training loss by seed": ("rate", "seed"), "sensitivity by seed": ("seed",)}
    return Reading(
        "sensitivity to the learning rate",
        losses | costs | by_seed,
        dict.fromkeys(losses, ("rate",)) | dims,
        {"rate": grid, "seed": run.axes["seed"][: len(found)]},
        dict.fromkeys(losses | costs | by_seed, problem.loss.unit),
        {"training loss": standard_error(capped), "sensitivity": standard_error(found[None])[0]},
        sample_size=len(found),
        cost=cost_of(run),
        provenance=provenance_of(problem, run),
        notes=(f"After {recipe.steps} steps; a run counts as the loss before training at most.",),
    )


def sensitivity_figure(readings: Mapping[str, Reading]) -> Figure:
    """The loss against the rate, one line with its bootstrap band for each reading of `rate_sensitivity`.

    It shows the losses that seeds had; a band of few seeds that disagree may go beyond.

    Args:
        readings: by the name in the legend, such as one for each rule; all of one problem.

    Raises:
        UsageError: no reading, or one of something else.
    """
    check_type("sensitivity_figure readings", readings or None, Mapping, "readings of rate_sensitivity by name")
    lines = []
    for name, reading in readings.items():
        check_type(f"sensitivity_figure readings[{name!r}]", reading, Reading, "a Reading of rate_sensitivity")
        if "sensitivity" not in reading.arrays:
            msg = f"sensitivity_figure draws readings of rate_sensitivity; {name!r} is of {reading.name!r}."
            raise UsageError(msg)
        low, high = (np.where(np.isfinite(reading[end]), reading[end], np.nan) for end in ("low", "high"))
        label = f"{name}, sensitivity {float(reading['sensitivity']):.2g}"
        lines.append(Line(reading.coordinate("rate"), reading["training loss"], low=low, high=high, label=label))
    first = next(iter(readings.values()))
    seen = np.concatenate([reading["training loss by seed"].ravel() for reading in readings.values()])
    margin = 0.05 * (seen.max() - seen.min())
    limits = (float(seen.min() - margin), float(seen.max() + margin)) if margin > 0 else None
    return Figure(
        "Sensitivity to the learning rate",
        tuple(lines),
        Axis("learning rate", scale="log"),
        Axis("training loss", first.units["training loss"], limits=limits),
        caption=f"Means over {first.sample_size} seeds with 95 % bands; a run counts as the loss before training at "
        "most. The sensitivity is the mean over seeds of the mean height above the lowest point.",
    )
