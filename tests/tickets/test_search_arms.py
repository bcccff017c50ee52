"""Arms of a search that are asked for by name, and at some levels only."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.tickets import MORE_ARMS, Policy, search, search_cost, shuffled
from thalweg.tickets.search_cost import steps_to_find

RECIPE = tw.Recipe(tw.optim.Momentum(0.1), steps=8, batch_size=50, schedule=tw.schedules.Cosine(), evaluate=1)
LEVELS = {name: (2,) for name in MORE_ARMS} | {"reinit": (1, 2), "shuffled": (2,), "one-shot": (2,)}


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    data = tw.data.digits().subset(train=200, test=100)
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 8, 10), data)


@pytest.fixture(scope="module")
def found(problem: tw.Problem) -> tw.tickets.Search:
    return search(problem, RECIPE, seeds=2, rounds=2, keep=0.5, rewind_to=2, arms=LEVELS, plan="looped", progress=None)


def test_arms_are_trained_at_their_levels_alone(found: tw.tickets.Search) -> None:
    assert [set(level) for level in found.runs] == [{"ticket", "reinit"}, {"ticket", *LEVELS}]
    assert [set(level) for level in found.masks] == [set(level) for level in found.runs]
    assert np.isnan(found.of(1, "shuffled")).all()
    assert np.isfinite(found.of(2, "shuffled")).all()
    assert not found.better(1, "shuffled").known
    with pytest.raises(UsageError, match="without its controls"):
        found.verdict(1)
    assert set(found.verdict(2).better) == {"dense", *LEVELS}
    facts = found.facts()
    assert ("matching" in facts) == (found.largest_matching() != 1)  # a level is named only beside its controls
    with pytest.raises(UsageError, match="arm of level 1"):
        found.trained(1, "shuffled")
    points = {
        mark.label: len(np.atleast_1d(mark.x)) for mark in found.figure().panels[0].marks if mark.label != "dense"
    }
    assert points == {"ticket": 2, "reinit": 2} | dict.fromkeys({*LEVELS} - {"reinit"}, 1)


def test_where_further_arms_start_and_what_they_keep(problem: tw.Problem, found: tw.tickets.Search) -> None:
    layout, masks = found.dense.final.layout, found.masks[1]
    entries = Policy().entries(layout)
    assert torch.equal(masks["another reinit"], masks["ticket"])
    assert torch.equal(masks["reinit, shuffled"], masks["shuffled"])
    assert not torch.equal(masks["another shuffling"], masks["shuffled"])
    for name in ("another shuffling", "first layer shuffled", "reinit, shuffled", "one-shot, equal cost"):
        for entry in entries:
            assert torch.equal(masks[name][:, entry.columns].sum(1), masks["ticket"][:, entry.columns].sum(1)), name
    first, *others = entries
    assert torch.equal(masks["first layer shuffled"], shuffled(masks["ticket"], [first], [0, 1]))
    assert all(
        torch.equal(masks["first layer shuffled"][:, one.columns], masks["ticket"][:, one.columns]) for one in others
    )
    again = {
        name: tw.train(problem, RECIPE, 2, start=found.start, mask=masks[name], paired=True, plan="looped")
        for name in ("another shuffling", "one-shot, equal cost")
    }
    for name, run in again.items():
        assert torch.equal(run.final.theta, found.trained(2, name).theta)
    assert not torch.equal(found.trained(2, "reinit").theta, found.trained(2, "another reinit").theta)


def test_one_shot_at_equal_cost_cuts_a_dense_run_of_as_many_steps(
    problem: tw.Problem, found: tw.tickets.Search
) -> None:
    assert steps_to_find(RECIPE, 2, 2, "weights") == 8 + 6
    longer = tw.train(problem, replace(RECIPE, steps=14), 2, plan="looped", progress=None)
    kept = found.masks[1]["ticket"]
    for entry in Policy().entries(problem.layout):
        magnitude = longer.final.theta[:, entry.columns].abs()
        count = int(kept[0, entry.columns].sum())
        largest = magnitude.topk(count, dim=1).indices.sort(1).values
        mine = found.masks[1]["one-shot, equal cost"][:, entry.columns].nonzero()[:, 1].view(2, -1)
        assert torch.equal(largest, mine)


def test_what_they_cost_is_said(problem: tw.Problem, found: tw.tickets.Search) -> None:
    ticket, others = 8 + 6 + 6, 6 * (2 + 2 + len(MORE_ARMS))  # of reinit at two levels, and two more arms
    assert found.cost.trainings * 8 == ticket + others + 14 + 2 * 2  # a longer dense run, and two more initializations
    assert found.cost.members == 2 * (1 + len(LEVELS))
    plain = search_cost(problem, RECIPE, rounds=2, arms=("ticket",))
    assert plain.trainings == plain.ticket_trainings == 3


@pytest.mark.parametrize(
    ("arms", "words"),
    [({"reinit": (3,)}, "levels 1 to 2; 'reinit' is asked for at"), ({"reinits": (1,)}, "'reinits'"), ((), "arms")],
)
def test_what_cannot_be_meant(problem: tw.Problem, arms: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        search(problem, RECIPE, rounds=2, keep=0.5, arms=arms)


def test_transfer_trains_the_arms_asked_for(problem: tw.Problem, found: tw.tickets.Search) -> None:
    arms = ("dense", "another shuffling", "shuffled, new init")
    moved = tw.tickets.transfer(found, {"same": problem}, level=2, arms=arms, plan="looped", progress=None)
    assert moved.reading.coordinate("arm").tolist() == [
        "ticket",
        "shuffled",
        "dense",
        "shuffled, new init",
        "another shuffling",
    ]
    gap = moved.of("same") - moved.of("same", "shuffled")
    assert moved.advantage("same").estimate == pytest.approx(gap.mean())
    with pytest.raises(UsageError, match="'reinit'"):
        moved.of("same", "reinit")
    with pytest.raises(UsageError, match="An arm of transfer"):
        tw.tickets.transfer(found, {"same": problem}, level=2, arms=("reinit",))
