"""Checkpoints with their units aligned, and whether one answer made of all of them beats the best."""

from typing import Any

from thalweg.connectivity.alignment import Alignment, align, align_together
from thalweg.connectivity.averaging import Averaged, averaged
from thalweg.connectivity.repair import layers_repaired, repaired
from thalweg.connectivity.soups import average_of_weights, equal_shares
from thalweg.errors import ModelError
from thalweg.evaluation import Sample, as_sample
from thalweg.population import Population, Problem
from thalweg.progress import Watcher

ALIGNED, REPAIRED = "average after aligning", "repaired "
FEWEST = 4  # held-out examples, half of which choose and half of which score
_BY_HAND = "What is written as align(..., groups=...) is for between(..., groups=...) too."


def aligned_to_first(
    problem: Problem, first: Population, second: Population, groups: Any, seed: int
) -> tuple[Alignment | None, str]:
    """The second of every pair aligned to the first, or why it cannot be."""
    try:
        return align(problem, first, second, groups=groups, seed=seed, progress=None), ""
    except ModelError as error:
        return None, f"Not aligned: {error} {_BY_HAND}"


def averages_of(
    problem: Problem,
    population: Population,
    alignment: Alignment | None,
    groups: Any,
    held_out: Any,
    common: dict[str, Any],
    stage: Watcher,
) -> tuple[Averaged | None, str]:
    """Averages and ensembles of all networks against the best, or why there are none."""
    held = len(as_sample("between held_out", held_out).draw(problem))
    if held < FEWEST:
        return None, f"Averages were not scored: that takes {FEWEST} held-out examples or more; got {held}."
    seed, count, also = common["seed"], len(population), {}
    shares = equal_shares(count)
    base, name = population, "average of weights"
    if alignment is not None:
        pair = count == 2
        moved = alignment if pair else align_together(problem, population, groups=groups, seed=seed, progress=None)
        base = Population.concatenate([population[0], moved.population]) if pair else moved.population
        also[name := ALIGNED] = average_of_weights(base, shares)
    if layers_repaired(problem):
        on = Sample("train", common["statistics_count"], seed)
        other = repaired(problem, average_of_weights(base, shares), list(base), on=on)
        if bool(other.theta.isfinite().all()):
            also[REPAIRED + name] = other
    keep = "recompute" if common["statistics"] == "recompute" else "keep"
    options = common | {"statistics": keep, "on": held_out, "also": also, "progress": stage}
    try:
        return averaged(problem, population, **options), ""
    except ModelError as error:
        return None, f"Averages and ensembles were not scored: {error}"
