"""The search: what every arm keeps and starts from, and that nothing but the mask is changed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.tickets import ARMS, Global, Policy, first_units, rescaled_to, search, search_cost, shuffled


def problem_of(**changes: object) -> tw.Problem:
    data = tw.data.digits().subset(train=200, test=100)
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 8, 10), data, **changes)


RECIPE = tw.Recipe(
    tw.optim.AdamW(0.01), steps=12, batch_size=50, schedule=tw.schedules.Cosine(warmup=3), evaluate=2, clip_norm=1.0
)


@pytest.fixture(scope="module")
def found() -> tw.tickets.Search:
    return search(problem_of(), RECIPE, seeds=2, rounds=3, keep=0.5, rewind_to=0.25, plan="looped")


@pytest.mark.parametrize("rewind_to", [0, 5, "1 epoch"])
def test_masks_that_keep_everything_give_the_dense_run_bit_for_bit(rewind_to: int | str) -> None:
    whole = search(
        problem_of(), RECIPE, seeds=2, rounds=2, keep=1.0, rewind_to=rewind_to, arms=("ticket",), plan="looped"
    )
    for run in (level["ticket"] for level in whole.runs):
        assert torch.equal(run.final.theta, whole.dense.final.theta)
        for name, matrix in run.state.slots.items():
            assert torch.equal(matrix, whole.dense.state.slots[name])
    assert (whole["test_loss"][0] == whole["dense test_loss"]).all()


def test_running_statistics_are_rewound_too() -> None:
    problem = tw.Problem(lambda: tw.nets.resnet(2), tw.data.digits(image=True).subset(train=40, test=20))
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=4, batch_size=10, evaluate=1)
    whole = search(problem, recipe, seeds=1, rounds=1, keep=1.0, rewind_to=2, arms=("ticket",), plan="looped")
    final, again = whole.dense.final, whole.trained(1)
    assert torch.equal(final.theta, again.theta)
    assert all(torch.equal(final.running[name], again.running[name]) for name in final.running)


def test_all_arms_keep_as_many_weights(found: tw.tickets.Search) -> None:
    prunable = Policy().columns(found.dense.final.layout)
    assert found.arms == ARMS
    for level, masks in enumerate(found.masks):
        kept = found["weights kept"][level]
        for name, mask in masks.items():
            count = mask[:, prunable].sum(1)
            if name == "small dense":
                assert (count - kept).abs().max() <= 64 + 12 + 8 + 10  # to one unit
            else:
                assert count.tolist() == [kept] * 2, name
        for name in found.arms:
            members = found.trained(level + 1, name)
            assert torch.equal(members.mask, masks[name])
            assert (members.theta[~masks[name]] == 0).all()


def test_levels_nest_in_every_arm(found: tw.tickets.Search) -> None:
    for name in found.arms:
        for first, second in zip(found.masks, found.masks[1:], strict=False):
            assert (second[name] <= first[name]).all(), name


def test_a_ticket_is_the_rewound_network_under_the_mask_of_the_level_before(found: tw.tickets.Search) -> None:
    problem, level = problem_of(), 2
    scores = found.trained(1).theta.abs()
    mask = tw.tickets.prune(problem, scores, 0.5, within=found.masks[0]["ticket"])
    assert torch.equal(mask, found.masks[1]["ticket"])
    again = tw.train(problem, RECIPE, 2, start=found.dense.at(3), mask=mask, paired=True, plan="looped", progress=None)
    assert torch.equal(again.final.theta, found.trained(level).theta)


def test_controls_differ_from_the_ticket_in_one_thing_each(found: tw.tickets.Search) -> None:
    layout, masks = found.dense.final.layout, found.masks[0]
    assert torch.equal(masks["reinit"], masks["ticket"])
    assert torch.equal(masks["signs kept"], masks["ticket"])
    for entry in Policy().entries(layout):
        counts = masks["shuffled"][:, entry.columns].sum(1)
        assert torch.equal(counts, masks["ticket"][:, entry.columns].sum(1))
        assert not torch.equal(masks["shuffled"][:, entry.columns], masks["ticket"][:, entry.columns])
    assert torch.equal(masks["one-shot"], masks["ticket"])  # at the first level there is no other way


def test_signs_are_kept_and_magnitudes_are_new() -> None:
    problem = problem_of()
    fresh, first = tw.Start(tw.tickets.reinitialized(problem, [0, 1])), problem.initialize([0, 1])
    signed = tw.tickets.with_signs(fresh, first).population
    assert torch.equal(signed.theta.sign(), first.theta.sign())
    assert torch.equal(signed.theta.abs(), fresh.population.theta.abs())


def test_shuffling_nests_and_depends_on_the_seed_alone() -> None:
    problem = problem_of()
    entries, scores = Policy().entries(problem.layout), problem.initialize(2).theta.abs()
    outer = tw.tickets.prune(problem, scores, 0.5)
    inner = tw.tickets.prune(problem, scores, 0.5, within=outer)
    assert (shuffled(inner, entries, [0, 1]) <= shuffled(outer, entries, [0, 1])).all()
    assert torch.equal(shuffled(outer, entries, [0, 1])[1:], shuffled(outer[1:], entries, [1]))


def test_the_small_dense_network_is_one_of_fewer_units() -> None:
    """Its outputs are those of a narrow module of the same numbers, whose scale is that of its own fan-in."""
    problem = problem_of()
    small = first_units(problem, Policy(), 64 * 6 + 6 * 4 + 4 * 10)
    views = problem.layout.views(small)
    assert [int(views[f"hidden{i}.bias"].sum()) for i in (1, 2)] == [6, 4]
    population = rescaled_to(problem.initialize(1), small).with_mask(small)
    narrow = tw.nets.mlp(64, 6, 4, 10)
    ours = problem.layout.views(population.theta[0])
    with torch.no_grad():
        for name, parameter in narrow.named_parameters():
            parameter.copy_(ours[name][tuple(slice(0, size) for size in parameter.shape)])
    inputs = problem.data.test.slice(0, 20)[0]
    assert torch.allclose(population.module(0)(inputs), narrow(inputs), atol=1e-6)
    assert float(ours["output.weight"].abs().max()) == pytest.approx(0.5, rel=0.1)  # uniform to 1 / sqrt(4)


def test_the_cost_is_what_was_trained(found: tw.tickets.Search) -> None:
    told = search_cost(problem_of(), RECIPE, seeds=2, rounds=3, rewind_to=0.25, arms=ARMS)
    trained = 12 * 2 + 3 * 2  # dense, and the other initializations up to step 3
    for level in found.runs:
        trained += int(np.isfinite(level["ticket"].history.batch_loss).sum())
    assert told.steps == trained == found.cost.steps


def test_no_verdict_without_controls() -> None:
    few = search(problem_of(), RECIPE, seeds=3, rounds=1, keep=0.5, arms=("ticket", "random"))
    with pytest.raises(UsageError, match="without its controls"):
        few.verdict(1)
    assert "none without" in few.facts()["verdict"]
    assert few.better(1, "random").n == 3


def test_the_verdict_has_every_control_and_loss_counts_downwards(found: tw.tickets.Search) -> None:
    verdict = found.verdict(2)
    assert set(verdict.better) == {"dense", *ARMS} - {"ticket"}
    by_hand = found["test_accuracy"][0, 1] - found["dense test_accuracy"]
    assert verdict.better["dense"].estimate == pytest.approx(by_hand.mean())
    loss = found.better(2, "dense", metric="test_loss").estimate
    assert loss == pytest.approx((found["dense test_loss"] - found["test_loss"][0, 1]).mean())
    assert len(found.figure().panels[0].marks) == len(ARMS) + 1


def test_retraining_from_the_last_weights() -> None:
    problem = problem_of()
    rate = search(problem, RECIPE, seeds=2, rounds=1, keep=0.5, retrain="rate", arms=("ticket",), plan="looped")
    start = replace(rate.dense.at(0), population=rate.dense.final, state=None)
    mask = rate.masks[0]["ticket"]
    again = tw.train(problem, RECIPE, 2, start=start, mask=mask, paired=True, plan="looped", progress=None)
    assert torch.equal(again.final.theta, rate.trained(1).theta)
    tuning = tw.Recipe(tw.optim.SGD(1e-3), steps=3, batch_size=50)
    tuned = search(
        problem, RECIPE, seeds=2, rounds=1, keep=0.5, retrain=tuning, arms=("reinit", "shuffled"), plan="looped"
    )
    near = (tuned.trained(1).theta - tuned.dense.final.theta * mask).abs().max()
    assert 0 < float(near) < 0.1
    again = tw.train(problem, RECIPE, 2, start=rate.dense.at(0), mask=tuned.masks[0]["shuffled"], paired=True)
    assert again.history.final("test_loss") == pytest.approx(tuned["test_loss"][2, 0], abs=1e-5)
    assert tuned.better(1, "shuffled").n == 2
    with pytest.raises(UsageError, match="goes on from trained weights"):
        tuned.verdict(1)
    assert "goes on from trained weights" in tuned.facts()["verdict"]
    with pytest.raises(UsageError, match="goes on from trained weights"):
        rate.verdict(1)
    assert tuned.cost.ticket_trainings == 1 + 3 / 12


def test_a_search_that_would_empty_a_layer_stops_and_keeps_what_it_found() -> None:
    found = search(problem_of(), RECIPE, seeds=2, rounds=6, keep=0.2, arms=("ticket",), allocation=Global())
    assert 1 <= len(found.runs) < 6
    assert any("Stopped before level" in note for note in found.reading.notes)


def test_bad_input_is_named() -> None:
    problem = problem_of()
    for wrong in (12, 1.0, -1, "soon", True):
        with pytest.raises(UsageError, match="rewind_to"):
            search(problem, RECIPE, rewind_to=wrong)
    with pytest.raises(UsageError, match="An arm of search"):
        search(problem, RECIPE, arms=("ticket", "lucky"))
    with pytest.raises(UsageError, match="sweeps"):
        search(problem, replace(RECIPE, optimizer=tw.optim.SGD([0.1, 0.2])), seeds=1, rounds=1)
    fixed = tw.Problem(tw.nets.mlp(64, 10), tw.data.digits().subset(train=50, test=50))
    with pytest.raises(UsageError, match="the same weights at every call"):
        search(fixed, tw.Recipe(tw.optim.SGD(0.1), steps=2), seeds=1, rounds=1, arms=("reinit",))
