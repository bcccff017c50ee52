"""Runs in a store: killed, interrupted, finished, mistaken for each other."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE, X, Y, mlp
from torch import nn

import thalweg as tw
from thalweg import optim
from thalweg.errors import StorageError
from thalweg.population import Problem
from thalweg.progress import Progress
from thalweg.storage import Store

SCRIPT = Path(__file__).parent / "killed.py"
MLP = CASE["mlp"]
RECIPE = tw.Recipe(optim.Momentum(0.05), 20, batch_size=5, evaluate=4, snapshot=2)


@pytest.fixture(scope="module")
def killed() -> ModuleType:
    """The script that is killed, as a module."""
    spec = importlib.util.spec_from_file_location("killed", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def uninterrupted(killed: ModuleType) -> tw.Run:
    """The run that nobody killed."""
    return tw.train(killed.problem(), killed.RECIPE, killed.SEEDS, plan="looped")


def assert_same_bits(one: tw.Run, other: tw.Run) -> None:
    ours, theirs = one.state.tensors(), other.state.tensors()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor.nan_to_num(-1e30), theirs[name].nan_to_num(-1e30)), name
    assert one.step == other.step
    for metric, values in one.history.metrics.items():
        assert np.array_equal(values, other.history[metric], equal_nan=True), metric


def assert_killed_at(step: int, store: Path, clock: float) -> None:
    paths = [str(SCRIPT.parent.parent), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    command = [sys.executable, str(SCRIPT), str(store), str(step), str(clock)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("step", "clock", "written"),
    [(17, 0, 16), (17, 10, None), (1, 0, 0)],
    ids=["every step written", "some steps written", "nothing written yet"],
)
def test_a_killed_run_goes_on_bit_for_bit(
    step: int, clock: float, written: int | None, tmp_path: Path, killed: ModuleType, uninterrupted: tw.Run
) -> None:
    assert_killed_at(step, tmp_path, clock)
    checkpoints = Store(tmp_path).list("checkpoint")
    reached = checkpoints[0].document["step"] if checkpoints else 0
    assert reached == written if written is not None else 0 < reached < step - 1
    heard: list[Progress] = []
    run = tw.train(killed.problem(), killed.RECIPE, killed.SEEDS, plan="looped", store=tmp_path, progress=heard.append)
    assert len(heard) == 30 - reached
    assert_same_bits(run, uninterrupted)
    store = Store(tmp_path)
    assert (len(store.list("run")), len(store.list("checkpoint"))) == (1, 0)
    assert store.check() == []


def test_killed_again_and_again(tmp_path: Path, killed: ModuleType, uninterrupted: tw.Run) -> None:
    for step in (5, 9):  # counted from where the process began
        assert_killed_at(step, tmp_path, 0)
    assert Store(tmp_path).list("checkpoint")[0].document["step"] == 4 + 8
    run = tw.train(killed.problem(), killed.RECIPE, killed.SEEDS, plan="looped", store=tmp_path)
    assert_same_bits(run, uninterrupted)


def _interrupt_at(step: int) -> Any:
    def watch(progress: Progress) -> None:
        if progress.done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return watch


def test_ctrl_c_ends_the_step_writes_a_checkpoint_and_goes_on(tmp_path: Path) -> None:
    whole = tw.train(MLP.problem(), RECIPE, 3, plan="looped")
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        tw.train(MLP.problem(), RECIPE, 3, plan="looped", store=tmp_path, progress=_interrupt_at(7))
    assert signal.getsignal(signal.SIGINT) is handler
    assert Store(tmp_path).list("checkpoint")[0].document["step"] == 7
    heard: list[Progress] = []
    run = tw.train(MLP.problem(), RECIPE, 3, plan="looped", store=tmp_path, progress=heard.append)
    assert len(heard) == 13
    assert_same_bits(run, whole)


def test_ctrl_c_without_a_store_stops_too() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        tw.train(MLP.problem(), RECIPE, 3, progress=_interrupt_at(2))
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def twice(progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tw.train(MLP.problem(), RECIPE, 3, store=tmp_path, progress=twice)
    assert Store(tmp_path).list("checkpoint") == []


def test_a_finished_run_is_returned_and_not_trained_again(tmp_path: Path) -> None:
    first = tw.train(CASE["batchnorm"].problem(), RECIPE, 2, store=tmp_path)
    heard: list[Progress] = []
    again = tw.train(CASE["batchnorm"].problem(), RECIPE, 2, store=Store(tmp_path), progress=heard.append)
    assert heard == []
    assert_same_bits(again, first)
    assert again.plans == first.plans
    for buffer, values in first.final.buffers.items():
        assert torch.equal(again.final.buffers[buffer], values)


def test_stopping_on_purpose_and_going_on_in_the_store(tmp_path: Path) -> None:
    whole = tw.train(MLP.problem(), RECIPE, 2, plan="looped")
    half = tw.train(MLP.problem(), RECIPE, 2, plan="looped", store=tmp_path, until=8)
    assert half.step == 8
    assert_same_bits(tw.train(MLP.problem(), RECIPE, 2, plan="looped", store=tmp_path), whole)


def _tanh_or_relu(layer: type[nn.Module]) -> Any:
    return lambda: nn.Sequential(nn.Linear(4, 5), layer(), nn.Linear(5, 3))


def test_an_interrupted_continuation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    problem = Problem(MLP.model, (X, Y))
    half = tw.train(problem, RECIPE, 2, until=8, plan="looped")

    def stop(progress: Progress) -> None:
        if progress.done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tw.train(problem, RECIPE, 2, resume=half, store=tmp_path, name="a", progress=stop)
    assert Store(tmp_path).get("checkpoint", "a").document["step"] == 13
    steps = []
    found = tw.train(
        problem,
        RECIPE,
        2,
        resume=half,
        store=tmp_path,
        name="a",
        progress=lambda progress: steps.append(progress.total),
    )
    assert steps == [7] * 7
    assert_same_bits(found, tw.train(problem, RECIPE, 2, plan="looped"))
    assert Store(tmp_path).list("checkpoint") == []


@pytest.mark.parametrize("until", [8, None])
def test_a_run_that_is_handed_over_is_stored(tmp_path: Path, until: int | None) -> None:
    problem = Problem(MLP.model, (X, Y))
    run = tw.train(problem, RECIPE, 2, until=until, plan="looped")
    again = tw.train(problem, RECIPE, 2, resume=run, until=until, store=tmp_path, name="a")
    (record,) = Store(tmp_path).list("run" if until is None else "checkpoint")
    assert (record.key, record.document["step"]) == ("a", run.step)
    assert_same_bits(run, again)


def test_a_continuation_under_the_name_of_a_finished_run(tmp_path: Path) -> None:
    """Until it is finished itself it leaves that run alone, and afterwards it is found under the name."""
    problem = Problem(MLP.model, (X, Y))
    finished = tw.train(problem, RECIPE, 2, store=tmp_path, name="a", plan="looped")
    other = tw.train(problem, RECIPE, 2, start=problem.initialize([7, 8]), until=8, plan="looped", paired=True)
    partly = tw.train(problem, RECIPE, 2, resume=other, until=12, store=tmp_path, name="a")
    assert_same_bits(finished, tw.train(problem, RECIPE, 2, store=tmp_path, name="a"))
    steps = []
    found = tw.train(
        problem,
        RECIPE,
        2,
        resume=other,
        store=tmp_path,
        name="a",
        progress=lambda progress: steps.append(progress.total),
    )
    assert partly.step == 12
    assert steps == [8] * 8
    assert torch.equal(found.final.theta, tw.train(problem, RECIPE, 2, resume=other).final.theta)
    with pytest.raises(StorageError, match="another run named 'a'"):
        tw.train(problem, RECIPE, 2, store=tmp_path, name="a")


def test_runs_that_differ_in_anything_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    flipped = Y.clone()
    flipped[3] = (flipped[3] + 1) % 3
    recipe = tw.Recipe(optim.SGD(0.5), 3)
    mask = torch.arange(43) % 2 == 0
    named = MLP.problem()
    runs: list[tuple[Problem, tw.Recipe, Any, dict[str, Any]]] = [
        (named, recipe, [0], {}),
        (named, tw.Recipe(optim.SGD(0.4), 3), [0], {}),
        (named, recipe, [1], {}),
        (named, recipe, [0], {"mask": mask}),
        (named, recipe, [0], {"start": named.initialize([5])}),
        (Problem(mlp, (X, flipped)), recipe, [0], {}),
        (Problem(mlp, (X + 0.1, Y)), recipe, [0], {}),
        (Problem(_tanh_or_relu(nn.ReLU), (X, Y)), recipe, [0], {}),
    ]
    stored = [tw.train(p, r, s, store=tmp_path, **options) for p, r, s, options in runs]
    assert len(Store(tmp_path).list("run")) == len(runs)
    for run, (p, r, s, options) in zip(stored, runs, strict=True):
        assert torch.equal(run.final.theta, tw.train(p, r, s, **options).final.theta)
        assert torch.equal(run.final.theta, tw.train(p, r, s, store=tmp_path, **options).final.theta)


def test_a_name_that_belongs_to_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    tw.train(MLP.problem(), RECIPE, 2, store=tmp_path, name="mine", until=4)
    flipped = Problem(mlp, (X, (Y + 1) % 3))
    for problem, recipe, seeds, different in (
        (MLP.problem(), tw.Recipe(optim.SGD(0.1), 20), [0, 1], "recipe"),
        (MLP.problem(), RECIPE, [0, 2], "probe, seeds, start"),
        (flipped, RECIPE, [0, 1], "data, probe"),
        (Problem(_tanh_or_relu(nn.ReLU), (X, Y)), RECIPE, [0, 1], "model, probe"),
    ):
        with pytest.raises(StorageError, match=rf"another checkpoint named 'mine' \(different: {different}\); pass"):
            tw.train(problem, recipe, seeds, store=tmp_path, name="mine")
    assert Store(tmp_path).get("checkpoint", "mine").document["step"] == 4


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    tw.train(MLP.problem(), RECIPE, 2, store=tmp_path, until=4)
    (file,) = (tmp_path / "objects").iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(StorageError, match="altered or truncated"):
        tw.train(MLP.problem(), RECIPE, 2, store=tmp_path)


def test_a_state_that_does_not_fit_lists_every_fault() -> None:
    small, large = (tw.train(MLP.problem(), RECIPE, seeds, until=1).state for seeds in (1, 2))
    tensors = small.tensors()
    tensors["more"] = tensors.pop("diverged_at")
    with pytest.raises(StorageError) as caught:
        large.load(tensors, 1)
    sentence = str(caught.value)
    assert sentence.startswith("The checkpoint does not fit this run: missing 'diverged_at'; unexpected 'more'; ")
    assert "'theta' is (1, 43) instead of (2, 43)" in sentence
    assert "'slots/velocity' is (1, 43) instead of (2, 43)" in sentence
    assert "'batch_loss' is (20, 1) instead of (20, 2)" in sentence
