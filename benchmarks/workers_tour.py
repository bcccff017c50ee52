"""Studies in two processes of one thread each against one process with two threads.

    python benchmarks/workers_tour.py                      # three quick studies
    python benchmarks/workers_tour.py --studies all        # the tour
    python benchmarks/workers_tour.py --repeats 1 --studies implicit ntk

Each repeat runs both, in turn; the ratio of medians is printed (above 1: side by side is faster), and whether all
verdicts are the same. Starting the processes, and torch in them, is part of their time.
"""

import argparse
import statistics
import time

import torch

from thalweg.studies import catalog, run
from thalweg.studies.together import Together
from thalweg.workers import Processes

STUDIES = ("bias-variance", "implicit", "simplicity")
PROCESSES, REPEATS = 2, 3


def in_turn(names: list[str]) -> tuple[float, dict[str, str]]:
    """Seconds, and the verdicts by claim, of one study after the other in this process."""
    started = time.perf_counter()
    results = [run(name, progress=None) for name in names]
    seconds = time.perf_counter() - started
    return seconds, {one.verdict.claim.id: one.verdict.outcome for result in results for one in result.findings}


def side_by_side(names: list[str]) -> tuple[float, dict[str, str]]:
    """The same of all experiments from one queue."""
    started = time.perf_counter()
    together = Together(names, Processes(PROCESSES))
    for step in together.steps():
        if step.error is not None:
            raise step.error
    seconds = time.perf_counter() - started
    results = [together.result(name) for name in names]
    return seconds, {one.verdict.claim.id: one.verdict.outcome for result in results for one in result.findings}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", nargs="+", default=STUDIES)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    names = list(catalog.MODULES) if list(given.studies) == ["all"] else list(given.studies)
    torch.set_num_threads(PROCESSES)
    catalog.studies()  # imported before the clock runs: both ways need that here
    alone, beside = [], []
    for repeat in range(given.repeats):
        (before, expected), (after, found) = in_turn(names), side_by_side(names)
        alone.append(before)
        beside.append(after)
        other = sorted(name for name in expected if found[name] != expected[name])
        same = f"other verdicts on {', '.join(other)}" if other else "the same verdicts"
        print(f"{repeat + 1}: one process {before:.1f} s, {PROCESSES} processes {after:.1f} s, {same}", flush=True)
    one, two = statistics.median(alone), statistics.median(beside)
    print(f"{', '.join(names)}: {one:.1f} s one after the other, {two:.1f} s side by side, ratio {one / two:.2f}")


if __name__ == "__main__":
    main()
