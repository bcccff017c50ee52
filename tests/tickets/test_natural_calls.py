"""Scores and allocations as one would write them, and layers that would become empty."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.tickets import EmptyLayerError, Global, critical_sparsity, early_bird, rewinding_map, scores, search

RECIPE = tw.Recipe(tw.optim.Momentum(0.1), steps=8, batch_size=50, evaluate=1)
OF_PROBLEM = [scores.snip, scores.taylor, scores.grasp, scores.synflow]
SCORES = [scores.magnitude, scores.movement, scores.magnitude_increase, scores.large_same_sign, *OF_PROBLEM]
ALLOCATIONS = [
    tw.tickets.ErdosRenyi(),
    tw.tickets.NofM(),
    tw.tickets.Blocks(),
    tw.tickets.Units(),
    Global(),
    tw.tickets.ByLayer(),
]


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 10), tw.data.digits().subset(train=100, test=50))


@pytest.mark.parametrize("score", SCORES, ids=[one.__name__ for one in SCORES])
def test_every_score_can_be_given_as_it_is(problem: tw.Problem, score: object) -> None:
    found = search(problem, RECIPE, seeds=2, rounds=2, keep=0.5, score=score, arms="ticket", progress=None)
    before = found.trained(0), found.dense.snapshots[0]
    if score in OF_PROBLEM:
        values = score(problem, before[0])
    elif score is scores.magnitude:
        values = score(before[0])
    else:
        values = score(*before)
    assert torch.equal(found.masks[0]["ticket"], tw.tickets.prune(problem, values, 0.5))
    assert found["weights kept"].tolist() == [444, 222]


def test_scores_that_need_more_say_so(problem: tw.Problem) -> None:
    for wrong, words in ((scores.random, "needs seeds"), ("snip", "is a function of")):
        with pytest.raises(UsageError, match=words):
            search(problem, RECIPE, seeds=2, rounds=1, score=wrong, arms="ticket", progress=None)


def test_norm_scales_can_be_given_as_they_are() -> None:
    problem = tw.Problem(lambda: tw.nets.resnet(2), tw.data.digits(image=True).subset(train=40, test=20))
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=4, batch_size=10, evaluate=1, snapshot=4)
    run = tw.train(problem, recipe, 1, progress=None)
    found = early_bird(problem, run, 0.5, score=scores.gamma, allocation=tw.tickets.Units(), window=2)
    assert found["overlap"].shape == (1, 5, 5)


@pytest.mark.parametrize("allocation", ALLOCATIONS, ids=[type(one).__name__ for one in ALLOCATIONS])
def test_every_allocation_has_a_usual_share(problem: tw.Problem, allocation: tw.tickets.Allocation) -> None:
    found = search(problem, RECIPE, seeds=2, rounds=2, allocation=allocation, arms="ticket", progress=None)
    mapped = rewinding_map(problem, RECIPE, (0,), seeds=2, rounds=1, allocation=allocation, progress=None)
    assert found.densities[0] == pytest.approx(0.5 if isinstance(allocation, tw.tickets.NofM) else 0.8, abs=0.1)
    assert torch.equal(mapped.masks[0][0], found.masks[0]["ticket"])


def test_a_layer_that_becomes_empty_does_not_match_and_loses_nothing() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 4, 10), tw.data.digits().subset(train=100, test=50))
    found = critical_sparsity(problem, RECIPE, seeds=3, margin=1.0, tolerance=2, progress=None)  # 0.99 of 40 is all
    assert 0.5 < found.matching < found.failing
    assert found.failing <= 0.99
    assert any("would become empty" in note for note in found.reading.notes)
    assert found.figure().panels[0].marks
    mapped = rewinding_map(problem, RECIPE, (0, 0.5), seeds=2, rounds=6, keep=0.2, allocation=Global(), progress=None)
    levels = len(mapped.masks[0])
    assert 1 <= levels < 6
    assert mapped["test_accuracy"].shape == (2, levels, 2)
    assert np.isfinite(mapped["test_accuracy"]).all()
    assert any("Stopped before level" in note for note in mapped.reading.notes)


def test_a_layer_that_is_empty_at_once_is_refused_before_training(
    problem: tw.Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        __import__("sys").modules["thalweg.tickets.search"], "train", lambda *_, **__: pytest.fail("trained")
    )
    with pytest.raises(EmptyLayerError, match=r"'output.weight' would become empty"):
        search(problem, RECIPE, seeds=2, rounds=1, keep={"output": 0.001}, arms="ticket", progress=None)


def test_errors_of_a_users_score_come_through(problem: tw.Problem) -> None:
    calls = iter(range(9))

    def broken(trained: tw.Population, first: tw.Population) -> torch.Tensor:
        if next(calls) > 1:
            msg = "of my own"
            raise UsageError(msg)
        return trained.theta.abs()

    with pytest.raises(UsageError, match="of my own"):
        search(problem, RECIPE, seeds=2, rounds=3, keep=0.5, score=broken, arms="ticket", progress=None)
