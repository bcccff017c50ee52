"""What a search refuses: sweeps before anything is trained, and networks that diverged, by their seeds."""

from collections.abc import Callable
from functools import partial

import pytest

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.tickets import critical_sparsity, early_masks, prunable, rewinding_map, search

SEARCHES = [
    partial(search, rounds=1, keep=0.5, arms=("ticket",)),
    critical_sparsity,
    partial(rewinding_map, rounds=1, keep=0.5),
    partial(early_masks, share=0.5),
]
NAMES = ["search", "critical_sparsity", "rewinding_map", "early_masks"]
WILD = tw.Recipe(tw.optim.SGD(1e30), steps=8, batch_size=50, evaluate=1)


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 10), tw.data.digits().subset(train=100, test=50))


@pytest.mark.parametrize(("call", "name"), list(zip(SEARCHES, NAMES, strict=True)), ids=NAMES)
def test_sweeps_are_refused_before_anything_is_trained(
    problem: tw.Problem, call: Callable, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tw.Recipe(tw.optim.SGD(tw.sweep.values([0.1, 0.2])), steps=4, batch_size=50)
    module = __import__("sys").modules[(call.func if isinstance(call, partial) else call).__module__]
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("something was trained"))
    with pytest.raises(UsageError, match=f"{name} trains one network a seed; leave sweeps out of the recipe .*lr"):
        call(problem, recipe, seeds=3, progress=None)


@pytest.mark.parametrize(("call", "name"), list(zip(SEARCHES, NAMES, strict=True)), ids=NAMES)
def test_seeds_that_diverged_are_named(problem: tw.Problem, call: Callable, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} cannot score networks that diverged: seeds 3, 5 did"):
        call(problem, WILD, seeds=[3, 5], progress=None)


def test_a_users_diverged_networks_are_named(problem: tw.Problem) -> None:
    run = tw.train(problem, WILD, [3, 5], progress=None)
    with pytest.raises(UsageError, match=r"members \[0, 1\], of the seeds \[3, 5\], did"):
        prunable(problem, run, densities=(0.5,), progress=None)


def test_a_ticket_that_diverges_ends_the_search_and_keeps_what_was_found(problem: tw.Problem) -> None:
    calm = tw.Recipe(tw.optim.SGD(0.1), steps=8, batch_size=50, evaluate=1)
    found = search(problem, calm, seeds=2, rounds=3, keep=0.5, arms=("ticket",), retrain=WILD, progress=None)
    assert len(found.runs) == 1
    assert any("tickets of the seeds [0, 1] diverged" in note for note in found.reading.notes)


@pytest.mark.parametrize("call", [partial(search, rounds=1, keep=0.5, arms=("ticket",)), critical_sparsity])
def test_no_seeds_are_said(problem: tw.Problem, call: Callable) -> None:
    with pytest.raises(UsageError, match="at least one seed"):
        call(problem, WILD, seeds=[], progress=None)
