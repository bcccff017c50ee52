"""Which seeds a study tunes on, and which it scores on."""

from dataclasses import replace

from thalweg.progress import Progress, Watcher
from thalweg.studies.lab import Lab


def tuning_and_scored(lab: Lab, tuning: int, scored: int) -> tuple[list[int], list[int]]:
    """Two disjoint sets of seeds that belong to the lab's seed alone."""
    first = 1_000 * lab.seed
    seeds = list(range(first, first + tuning + scored))
    return seeds[:tuning], seeds[tuning:]


def labelled(lab: Lab, label: str) -> Watcher:
    """The lab's watcher, told what is being done."""

    def told(report: Progress) -> None:
        lab.progress(replace(report, label=label))

    return told
