"""Train into a store and be killed on the way: `killed.py STORE STEP CLOCK`, for the tests of the store.

The checkpoint's clock is replaced by one that counts its readings, so that which steps are written depends
on nothing but the program: with CLOCK seconds between checkpoints, every CLOCK-th step is.
"""

import itertools
import os
import signal
import sys
from types import SimpleNamespace

from cases import CASE

import thalweg as tw
from thalweg import optim, sweep
from thalweg.population import Problem
from thalweg.progress import Progress
from thalweg.training import checkpoint

SEEDS = [0, 4]
RECIPE = tw.Recipe(
    optim.AdamW(sweep.values([0.01, 0.05])),
    steps=30,
    batch_size=7,
    schedule=tw.schedules.Cosine(warmup=5),
    evaluate=6,
    snapshot=3,
)


def problem() -> Problem:
    """The same in the process that is killed and in the one that goes on."""
    return CASE["batchnorm"].problem()


def main() -> None:
    """Train until killed."""
    store, last, clock = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    checkpoint.time = SimpleNamespace(monotonic=itertools.count().__next__)

    def kill(progress: Progress) -> None:
        if progress.done == last:
            os.kill(os.getpid(), signal.SIGKILL)

    tw.train(problem(), RECIPE, SEEDS, plan="looped", store=store, progress=kill, checkpoint_seconds=clock)


if __name__ == "__main__":
    main()
