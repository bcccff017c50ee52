"""Training by real processes: the bits of one, also where a worker is killed or the user stops it."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from sliced import Failing, Killing
from sliced_runs import assert_same
from torch import nn

import thalweg as tw
from thalweg import optim, sweep
from thalweg.errors import WorkerError
from thalweg.population import Plan
from thalweg.randomness import generator

DRAW = generator(0, "test workers")
X, Y = torch.randn(48, 6, generator=DRAW), torch.randint(0, 3, (48,), generator=DRAW)
RECIPE = tw.Recipe(optim.AdamW(sweep.values([0.01, 0.1])), 30, 8, evaluate=5, snapshot=3)
TWO = tw.workers.Processes(2)


def problem(model=lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)), **options):
    return tw.Problem(model, (X, Y), **options)


def test_merged_is_whole():
    told = []
    run = tw.train(problem(), RECIPE, 6, workers=TWO, progress=told.append)
    assert_same(run, tw.train(problem(), RECIPE, 6, plan=run.plans))
    assert told[-1].done <= told[-1].total == 30
    assert run.history.notes == ()


def test_a_killed_worker_costs_no_member(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIVER", str(os.getpid()))
    flag = str(tmp_path / "killed")
    where = problem(lambda: Killing(flag))
    looped = Plan("looped", 1)
    run = tw.train(where, RECIPE, 3, plan=looped, workers=TWO, store=tmp_path / "store", checkpoint_seconds=0, name="a")
    assert Path(flag).exists()
    assert_same(run, tw.train(problem(lambda: Killing(flag)), RECIPE, 3, plan=looped))


def test_what_cannot_be_sent_is_named(tmp_path):
    with open(tmp_path / "log", "w") as log:

        def loss(outputs, targets):
            log.write("")
            return nn.functional.cross_entropy(outputs, targets)

        with pytest.raises(WorkerError, match=r"cannot be sent to a worker because of a TextIOWrapper \(in 'log' of"):
            tw.train(problem(loss=loss), RECIPE, 3, workers=TWO)


def test_an_error_names_its_slice():
    with pytest.raises(Exception, match="no more of this") as caught:
        tw.train(problem(Failing), RECIPE, 4, plan=Plan("looped", 1), workers=TWO)
    assert any(note.startswith("In members ") for note in caught.value.__notes__)


SCRIPT = """
import torch, thalweg as tw
generator = torch.Generator().manual_seed(0)
x, y = torch.randn(48, 6, generator=generator), torch.randint(0, 3, (48,), generator=generator)
loss = lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets)
problem = tw.Problem(lambda: torch.nn.Linear(6, 3), (x, y), loss=loss)
recipe = tw.Recipe(tw.optim.Adam(0.01), {steps}, 8, evaluate=0)
workers = tw.workers.Processes(2)
def progress(report):
    if report.done:
        print(report.done, flush=True)
run = tw.train(problem, recipe, 4, workers=workers, store={store!r}, name="run", plan="looped", progress=progress)
print("whole", run.step)
"""


def run_script(**options):
    script = textwrap.dedent(SCRIPT).format(**options)
    return subprocess.Popen(
        [sys.executable, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ), script


def test_a_script_on_standard_input_is_stopped_and_goes_on(tmp_path):
    store = str(tmp_path / "store")
    process, script = run_script(steps=200_000, store=store)
    with process:
        process.stdin.write(script)
        process.stdin.close()
        assert int(process.stdout.readline()) > 0
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) != 0
    assert "KeyboardInterrupt" in rest
    slices = tw.Store(store).list("slice")
    assert [one.document["identity"]["rows"] for one in sorted(slices, key=lambda one: one.key)] == [[0, 2], [2, 4]]
    assert all(0 < one.document["step"] < 200_000 for one in slices)


def test_trainings_in_threads():
    found = {}

    def one(seed):
        found[seed] = tw.train(problem(), RECIPE, [seed, seed + 1], workers=TWO)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in (0, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, run in found.items():
        assert_same(run, tw.train(problem(), RECIPE, [seed, seed + 1], plan=run.plans))


def test_float64_by_default_dtype():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        where = tw.Problem(lambda: nn.Linear(6, 3), (X.double(), Y), loss=nn.CrossEntropyLoss())
        run = tw.train(where, RECIPE, 3, workers=TWO)
        assert run.final.theta.dtype == torch.float64
        assert_same(run, tw.train(where, RECIPE, 3, plan=run.plans))
    finally:
        torch.set_default_dtype(before)
