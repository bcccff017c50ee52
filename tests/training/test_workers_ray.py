"""Training by tasks of a Ray cluster: the bits of one process, also where a worker is killed in mid-run."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from sliced import Killing
from sliced_runs import assert_same
from torch import nn

import thalweg as tw
from thalweg import optim, sweep
from thalweg.population import Plan
from thalweg.randomness import generator
from thalweg.workers import connection

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = pytest.mark.xdist_group("ray")

DRAW = generator(0, "test workers of Ray")
X, Y = torch.randn(48, 6, generator=DRAW), torch.randint(0, 3, (48,), generator=DRAW)
RECIPE = tw.Recipe(optim.AdamW(sweep.values([0.01, 0.1])), 30, 8, evaluate=5, snapshot=3)


@pytest.fixture(scope="module")
def workers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIVER", str(os.getpid()))  # which processes of the cluster inherit
        with connection.connected(None) as ray:
            yield tw.workers.Ray(ray.get_runtime_context().gcs_address)


def problem(model=lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))):
    return tw.Problem(model, (X, Y))


def test_merged_is_whole(workers):
    told = []
    run = tw.train(problem(), RECIPE, 6, workers=workers, progress=told.append)
    assert_same(run, tw.train(problem(), RECIPE, 6, plan=run.plans))
    assert told[-1].done <= told[-1].total == 30
    assert run.history.notes == ()


def test_a_killed_worker_costs_no_member(workers, tmp_path):
    flag = str(tmp_path / "killed")
    looped = Plan("looped", 1)
    run = tw.train(
        problem(lambda: Killing(flag)),
        RECIPE,
        3,
        plan=looped,
        workers=workers,
        store=tmp_path / "store",
        checkpoint_seconds=0,
        name="a",
    )
    assert Path(flag).exists()
    assert_same(run, tw.train(problem(lambda: Killing(flag)), RECIPE, 3, plan=looped))


@dataclass(frozen=True)
class Elsewhere:
    """Workers that find another folder where the store is here."""

    workers: tw.workers.Ray
    folder: str
    slices: int = 2

    def map(self, work, items, heard):
        return self.workers.map(replace(work, store=self.folder), items, heard)


def test_a_store_that_workers_do_not_see_is_said(workers, tmp_path):
    tw.Store(tmp_path / "other")
    where = Elsewhere(workers, str(tmp_path / "other"))
    run = tw.train(problem(), RECIPE, 4, workers=where, store=tmp_path / "store", name="a")
    assert_same(run, tw.train(problem(), RECIPE, 4, plan=run.plans))
    assert [note.partition(" ran where")[2] for note in run.history.notes] == [
        " the store is not seen, so a worker that dies there costs the whole slice"
    ] * 2
