"""Slices that workers train against one process: what cutting costs, and what two processes bring.

    python benchmarks/workers.py [--steps 3000]

Every figure is a median over interleaved repeats of the seconds a step, from the first report of progress to the last,
so that the start of processes (printed apart) is no part of it. 64 MLPs on the digits with AdamW and batches of 128.
- cutting: the run in two slices, one after the other in this process, over the whole run by the same plans, one thread
- two processes of one thread each over one process of two threads
It ends with a model of a large run, from what was measured: 10,000 members on 100 nodes.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import torch

import thalweg as tw
from thalweg.progress import Progress
from thalweg.results import Provenance
from thalweg.training import scatter

WIDTHS, MEMBERS, BATCH, REPEATS = (64, 32, 32, 10), 64, 128, 5


def problem() -> tw.Problem:
    """Small MLPs on the digits."""
    return tw.Problem(lambda: tw.nets.mlp(*WIDTHS), tw.data.digits())


def recipe(steps: int) -> tw.Recipe:
    """One rate a member."""
    return tw.Recipe(tw.optim.AdamW(lr=tw.sweep.log(1e-4, 1e-2, MEMBERS)), steps, BATCH, evaluate=0)


def timed(train: Callable[[Callable[[Progress], None]], object]) -> tuple[float, float]:
    """Seconds until the first report, and seconds a step from there on."""
    reports: list[tuple[float, int]] = []
    began = time.perf_counter()
    train(lambda report: reports.append((time.perf_counter(), report.done)))
    ended, last = time.perf_counter(), reports[-1][1]
    first, done = next(one for one in reports if one[1])
    return first - began, (ended - first) / (last - done)


def compare(arms: dict[str, Callable[[Callable[[Progress], None]], object]]) -> dict[str, tuple[float, float]]:
    """Medians of every arm over interleaved repeats."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for _ in range(REPEATS):
        for name, arm in arms.items():
            found[name].append(timed(arm))
    return {name: tuple(map(statistics.median, zip(*of, strict=True))) for name, of in found.items()}


def cutting(steps: int) -> None:
    """The same work whole and in slices of one process."""
    torch.set_num_threads(1)
    where, how, here = problem(), recipe(steps), tw.workers.Here(2)
    plans = tw.train(where, recipe(20), workers=here, progress=None).plans
    found = compare(
        {
            "whole": lambda told: tw.train(where, how, plan=plans, progress=told),
            "in two slices": lambda told: tw.train(where, how, plan=plans, workers=here, progress=told),
        }
    )
    whole, apart = found["whole"][1], found["in two slices"][1]
    more = f"{apart / whole - 1:+.1%} (<= 5 %)"
    print(f"cutting: {1e3 * apart:.3f} ms a step in two slices, {1e3 * whole:.3f} whole: {more}")


def side_by_side(steps: int) -> None:
    """Two processes of one thread against one of two threads."""
    torch.set_num_threads(2)
    where, how, two = problem(), recipe(steps), tw.workers.Processes(2)
    found = compare(
        {
            "one process, two threads": lambda told: tw.train(where, how, progress=told),
            "two processes, one thread": lambda told: tw.train(where, how, workers=two, progress=told),
        }
    )
    for name, (start, step) in found.items():
        print(f"    {name}: {start:.2f} s to the first step, then {1e3 * step:.3f} ms a step")
    one, other = (step for _, step in found.values())
    print(f"two processes of one thread: {one / other:.2f}x as fast as one of two threads (aim 1.3x)")


def large(members: int = 10_000, nodes: int = 100) -> None:
    """What a run of many members asks of the process that waits for it, from slices that were measured."""
    where, steps, few = problem(), 20, 400
    how = tw.Recipe(tw.optim.AdamW(lr=1e-3), steps, BATCH, evaluate=10)
    with tempfile.TemporaryDirectory() as folder:
        run = scatter(where, how, few, workers=tw.workers.Here(4), store=folder, progress=None)
        size = sum(file.stat().st_size for file in os.scandir(os.path.join(folder, "objects")))
        held = run.history.batch_loss.nbytes + sum(one.nbytes for one in run.history.metrics.values())
        began = time.perf_counter()
        store = tw.Store(folder)
        for number in range(nodes):
            store.put("slices", f"one {number}", {"mark": "x"})
        write = (time.perf_counter() - began) / nodes
    print(f"{members:,} members on {nodes} nodes, each a slice of {members // nodes}, from {few} that were measured:")
    print(f"    this process holds {held / few * members / 2**20:.1f} MiB of histories ({steps} steps) and no theta")
    print(f"    the store gets {size / few * members / 2**30:.2f} GiB, {size / few / 2**10:.0f} KiB a member")
    print(f"    a record takes {1e3 * write:.1f} ms, one at a time: {nodes} slices that write every 30 s keep the")
    print(f"    database {nodes * write / 30:.1%} of the time; it is full at {30 / write:,.0f} slices")


def main() -> None:
    """Print all figures."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--steps", type=int, default=3_000)
    steps = arguments.parse_args().steps
    here = Provenance.here()
    print(f"{here.cpu}, {os.cpu_count()} cores, torch {torch.__version__}")
    cutting(steps)
    side_by_side(steps)
    large()


if __name__ == "__main__":
    main()
