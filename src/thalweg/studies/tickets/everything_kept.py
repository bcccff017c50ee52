"""The positive control of LTH1: a mask that keeps every weight, with which a ticket must be the dense network again."""

from thalweg import tickets
from thalweg.statistics import Interval
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.setting import SMALL, problem_of, recipe_of

LEVELS = 2


def everything_kept(lab: Lab, seeds: list[int]) -> Interval:
    """By how much at most a weight differs from the dense network's, over levels that prune nothing, and seeds."""
    found = tickets.search(
        problem_of(lab, SMALL.width),
        recipe_of(SMALL.steps),
        seeds=seeds,
        rounds=LEVELS,
        keep=1.0,
        arms=("ticket",),
        progress=lab.labelled("masks that keep every weight"),
        workers=lab.workers,
    )
    dense = found.trained(0).theta
    away = max(float((found.trained(level).theta - dense).abs().max()) for level in range(1, LEVELS + 1))
    return Interval(away, away, away, len(seeds), "largest over weights, levels and seeds, computed")
