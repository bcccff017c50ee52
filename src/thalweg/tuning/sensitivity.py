"""What a wrong learning rate costs (Wortsman et al., 2023, arXiv:2309.14322)."""

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.population import Problem
from thalweg.progress import Watcher, ignore
from thalweg.results import Reading
from thalweg.training import Recipe
from thalweg.tuning.rates import cost_of, final_losses, provenance_of, standard_error


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
    seeds: int = 5,
    watch: Watcher = ignore,
) -> Reading:
    """The loss each rate ends with, and the sensitivity to the rate over the whole range.

    Args:
        problem, recipe: what is trained, and how; the rate of the recipe's optimizer is replaced.
        low, high: the range, the paper's by default.
        rates: how many, at equal ratios.
        seeds: members a rate.
        watch: called with the progress.

    Returns:
        "training loss" (rate), at most the loss before, and the scalar "sensitivity", both means over seeds with
        standard errors; "sensitivity by seed" (seed).

    Raises:
        UsageError: a range that does not ascend from above 0, or fewer than 2 rates.

    Cost: rates x seeds runs of the recipe.
    """
    if not 0 < low < high or rates < 2:
        msg = f"rate_sensitivity goes over at least 2 rates, 0 < low < high; got {rates} from {low} to {high}."
        raise UsageError(msg)
    grid = np.geomspace(low, high, rates)
    run, before, after = final_losses(problem, recipe, grid, seeds, watch)
    capped, found = np.fmin(after, before), sensitivity(after, before[0])
    unit = problem.loss.unit
    return Reading(
        "sensitivity to the learning rate",
        {"training loss": capped.mean(1), "sensitivity": found.mean(), "sensitivity by seed": found},
        {"training loss": ("rate",), "sensitivity by seed": ("seed",)},
        {"rate": grid, "seed": np.unique(run.axes["seed"])},
        {"training loss": unit, "sensitivity": unit, "sensitivity by seed": unit},
        {"training loss": standard_error(capped), "sensitivity": standard_error(found[None])[0]},
        sample_size=seeds,
        cost=cost_of(run),
        provenance=provenance_of(problem, run),
        notes=(f"After {recipe.steps} steps; a run counts as the loss before training at most.",),
    )
