"""Instability analysis with eight steps and five seeds: as one population, and one network at a time, side by side.

    python benchmarks/instability.py

Eight steps at which copies part, five seeds, two copies each: 80 networks, and the 40 lines between them. One at a
time, every trunk and copy is a run of its own, by the same `train`, and every line a `barrier` of its own. Times go
from the recipe to the barriers on at most 500 test examples.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

import thalweg as tw
from thalweg.randomness import stream_key
from thalweg.studies import Lab
from thalweg.studies.connectivity.setting import DIGITS, SIGNALS, Setting

SETTINGS = {
    "digits, four hidden layers": (DIGITS.with_hidden(64, 64, 64, 64), 5.0),
    "MNIST-1D, width 100": (SIGNALS, 3.0),
}
SHARES = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
SEEDS, REPEATS, POINTS, ON = tuple(range(500, 505)), 3, 25, tw.Sample("test", 500)


def together(problem: tw.Problem, recipe: tw.Recipe) -> np.ndarray:
    """Loss barriers (steps, seeds), all at once."""
    found = tw.connectivity.instability(problem, recipe, SHARES, seeds=SEEDS, points=POINTS, on=ON, progress=None)
    return found["loss barrier"][0]


def one_by_one(problem: tw.Problem, recipe: tw.Recipe) -> np.ndarray:
    """The same, every network a run of its own."""
    steps = [round(share * recipe.steps) for share in SHARES]
    kept, table = replace(recipe, snapshot=tuple(steps), snapshot_state=True), np.empty((len(steps), len(SEEDS)))
    for column, seed in enumerate(SEEDS):
        trunk = tw.train(problem, kept, [seed], until=max(steps), progress=None)
        for row, step in enumerate(steps):
            first, second = (
                tw.train(
                    problem, recipe, [stream_key(seed, "instability", copy)], start=trunk.at(step), progress=None
                ).final
                for copy in (0, 1)
            )
            found = tw.connectivity.barrier(problem, first, second, points=POINTS, on=ON, resamples=0, progress=None)
            table[row, column] = found["loss barrier"][0, 0]
    return table


def timed(work: Callable[[tw.Problem, tw.Recipe], np.ndarray], setting: Setting) -> tuple[float, np.ndarray]:
    """Seconds and barriers, on a problem of its own: plans are measured each time."""
    problem = setting.problem(Lab())
    started = time.perf_counter()
    found = work(problem, setting.recipe)
    return time.perf_counter() - started, found


def main() -> None:
    """Print seconds, ratios and mean barriers, which rounding changes as other batches do."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; medians of {REPEATS}")
    for name, (setting, least) in SETTINGS.items():
        seconds: dict[str, list[float]] = {"together": [], "one by one": []}
        heights: dict[str, list[float]] = {"together": [], "one by one": []}
        for _ in range(REPEATS):
            for way, work in (("together", together), ("one by one", one_by_one)):
                took, found = timed(work, setting)
                seconds[way].append(took)
                heights[way].append(float(found[0].mean()))
        fast, slow = (statistics.median(values) for values in seconds.values())
        ours, theirs = (statistics.mean(values) for values in heights.values())
        print(
            f"{name}: {fast:.1f} s as one population, {slow:.1f} s one at a time: {slow / fast:.1f} times "
            f"(to reach: {least:g}); mean barrier of copies that part at step 0 {ours:.2f} and {theirs:.2f} nats"
        )


if __name__ == "__main__":
    main()
