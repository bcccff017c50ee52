"""Which seeds a study tunes on, and which it scores on."""

from dataclasses import replace

from thalweg.progress import Progress, Watcher
from thalweg.studies.study import Context


def tuning_and_scored(context: Context, tuning: int, scored: int) -> tuple[list[int], list[int]]:
    """Two disjoint sets of seeds that belong to the context's seed alone."""
    first = 1_000 * context.seed
    seeds = list(range(first, first + tuning + scored))
    return seeds[:tuning], seeds[tuning:]


def labelled(context: Context, label: str) -> Watcher:
    """The context's watcher, told what is being done."""

    def watch(progress: Progress) -> None:
        context.watch(replace(progress, label=label))

    return watch
