"""Eight rewound starts with five seeds each: as one population, and one network at a time, side by side in one run.

    python benchmarks/rewinding.py

A run keeps eight snapshots with its optimizer's state. From each of them five data orders are trained to the end: as 40
members of one population that join at their own steps, as eight runs of five, and as forty runs of one.
"""

import statistics
import time
from collections.abc import Callable

import torch

import thalweg as tw

SIZES = {"64-32-32-10": (64, 32, 32, 10), "64-128-128-10": (64, 128, 128, 10)}
STEPS, STARTS, SEEDS, REPEATS = 400, tuple(range(0, 400, 50)), range(5), 3


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print seconds and ratios."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; medians of {REPEATS}")
    for name, widths in SIZES.items():
        problem = tw.Problem(lambda widths=widths: tw.nets.mlp(*widths), tw.data.digits())
        recipe = tw.Recipe(
            tw.optim.Momentum(0.05), STEPS, 64, tw.schedules.Cosine(), evaluate=2, snapshot=STARTS, snapshot_state=True
        )
        run = tw.train(problem, recipe)
        starts = {f"step {step}": run.at(step) for step in STARTS}

        def together() -> None:
            tw.train(problem, recipe, SEEDS, start=starts)  # noqa: B023

        def by_start() -> None:
            for start in starts.values():  # noqa: B023
                tw.train(problem, recipe, SEEDS, start=start)  # noqa: B023

        def one_by_one() -> None:
            for start in starts.values():  # noqa: B023
                for seed in SEEDS:
                    tw.train(problem, recipe, [seed], start=start)  # noqa: B023

        ways = {"one population": together, "eight runs of five": by_start, "forty runs of one": one_by_one}
        for work in ways.values():
            work()
        times = {way: statistics.median(seconds(work) for _ in range(REPEATS)) for way, work in ways.items()}
        print(f"\n{name}")
        for way, took in times.items():
            print(f"  {way:20s} {took:6.2f} s   {took / times['one population']:5.1f} x")


if __name__ == "__main__":
    main()
