"""Runs whose workers are killed again and again: no member is lost, and each bit is that of one process."""

import os
import secrets
import signal
import time

import numpy as np
import psutil
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg import optim, sweep
from thalweg.population import Plan
from thalweg.randomness import generator

KILLS, SEED = 20, 0
BEGUN = 4.0  # seconds of a processor, after which a process has told how far it is
DRAW = generator(SEED, "soak")
X, Y = torch.randn(256, 16, generator=DRAW), torch.randint(0, 4, (256,), generator=DRAW)
RECIPE = tw.Recipe(optim.AdamW(sweep.values([0.001, 0.01])), 6_000, 16, evaluate=500, snapshot=4)
LOOPED = Plan("looped", 1)


def trained(**where):
    """Members have what must come over a death: statistics, moments, streams; and seconds."""

    def model():
        return nn.Sequential(nn.Linear(16, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 4))

    begun = time.perf_counter()
    run = tw.train(tw.Problem(model, (X, Y)), RECIPE, 12, plan=LOOPED, **where)
    return run, time.perf_counter() - begun


@pytest.fixture(scope="module")
def whole():
    run, seconds = trained()
    print(f"\none process: {len(run.final)} members, {seconds:.0f} s")
    return run


class Killer:
    """Kills a worker at each of so many moments of the run, drawn by the seed, as it hears of the progress.

    Args:
        processes: those that work now.
        at: what else happens at some of the moments, by their number.
    """

    def __init__(self, processes, at=None):
        self.processes, self.at = processes, at or {}
        self.draw = np.random.default_rng(SEED)
        self.moments = sorted(self.draw.uniform(0.02, 0.8, KILLS))
        self.killed = 0

    def __call__(self, progress):
        while self.killed < KILLS and progress.done >= self.moments[self.killed] * progress.total:
            there = self.processes()
            if not there:
                return  # all begin anew: the next time
            os.kill(int(self.draw.choice(there)), signal.SIGKILL)
            self.at.get(self.killed, lambda: None)()
            self.killed += 1


def children(named):
    """Processes of this one whose command lines hold a word, and that work: three deaths before that end a run."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if named in " ".join(process.cmdline()) and process.cpu_times().user > BEGUN:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def assert_whole(run, whole, killer, seconds, where):
    print(f"{where}: {killer.killed} kills, {len(run.final)} members, {seconds:.0f} s")
    assert len(run.final) == len(whole.final) == 24
    assert (run.state.step, run.history.notes) == (RECIPE.steps, ())
    theirs = whole.state.tensors()
    for name, tensor in run.state.tensors().items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0, equal_nan=True, msg=name)
    assert killer.killed == KILLS


def test_processes_of_this_machine(whole, tmp_path):
    killer = Killer(lambda: children("LokyProcess"))
    workers = tw.workers.Processes(2, slices=6)
    run, seconds = trained(workers=workers, store=tmp_path, checkpoint_seconds=0.5, name="run", progress=killer)
    assert_whole(run, whole, killer, seconds, "two processes")


def test_a_cluster_of_three_nodes(whole, tmp_path, monkeypatch):
    """One of the moments takes a whole node, for which another comes."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # on the loopback device only
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
    node = {"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
    nodes = [cluster.add_node(**node) for _ in range(2)]

    def lose_a_node():
        cluster.remove_node(nodes[0], allow_graceful=False)
        cluster.add_node(**node)

    killer = Killer(lambda: children("ray::carry_out"), {KILLS // 2: lose_a_node})
    workers = tw.workers.Ray(cluster.address, slices=6)
    try:
        run, seconds = trained(workers=workers, store=tmp_path, checkpoint_seconds=0.5, name="run", progress=killer)
    finally:
        cluster.shutdown()
    assert_whole(run, whole, killer, seconds, "three nodes, of which one was lost")
