"""Instability to the order of the data: exact nulls, a convex model, the same by hand, one seed alone."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.connectivity import Instability, instability
from thalweg.connectivity.instability_steps import parting_seeds, parting_steps
from thalweg.errors import UsageError
from thalweg.population import Plan
from thalweg.randomness import stream_key
from thalweg.training import Start

T = 24
DATA = tw.data.digits().subset(train=160, test=60)


def problem_of(*hidden: int) -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, *hidden, 10), DATA, dtype=torch.float64)


def recipe_of(rule: tw.optim.Rule | None = None, steps: int = T) -> tw.Recipe:
    return tw.Recipe(rule or tw.optim.Momentum(0.2), steps, 40, tw.schedules.Cosine(), evaluate=0)


@pytest.fixture(scope="module")
def deep() -> tw.Problem:
    return problem_of(12, 12)


@pytest.fixture(scope="module")
def found(deep: tw.Problem) -> Instability:
    return instability(deep, recipe_of(), at=(0, 0.25, T - 1), seeds=[3, 5, 9], points=9)


@pytest.mark.parametrize("fresh_schedule", [False, True])
def test_copies_with_one_order_are_the_same_to_the_bit(deep: tw.Problem, fresh_schedule: bool) -> None:
    last = T if fresh_schedule else T - 1
    rule = tw.optim.AdamW(0.01)
    null = instability(
        deep, recipe_of(rule), at=(0, 1, 0.5, last), seeds=3, orders=(4, 4), points=7, fresh_schedule=fresh_schedule
    )
    assert torch.equal(null.first.theta, null.second.theta)
    assert not null["distance"].any()
    for name in ("loss barrier", "error barrier", "loss barrier, over mean", "error barrier, over mean"):
        assert null[name].shape == (2, 4, 3)
        assert not null[name].any()
    assert null.stable_from() == 0


def normalized() -> nn.Module:
    """With batches that normalize, and units that are dropped."""
    return nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 10))


@pytest.mark.parametrize("statistics", ["recompute", "interpolate"])
def test_so_are_those_of_networks_with_running_statistics_and_dropout(statistics: str) -> None:
    problem = tw.Problem(normalized, DATA)
    options = {"at": (0, 0.5), "seeds": 2, "points": 5, "statistics": statistics}
    null = instability(problem, recipe_of(), orders=(1, 1), **options)
    assert not null["distance"].any()
    assert not null["loss barrier"].any()
    found = instability(problem, recipe_of(), **options)
    assert (found["distance"] > 0).all()
    means = [one.buffers["1.running_mean"] for one in found.copies(0)]
    assert not torch.equal(*means)


@pytest.mark.parametrize("plan", ["looped", Plan("stacked", 4), Plan("stacked", 5)])
def test_no_way_of_computing_parts_copies_with_one_order(plan: Plan | str) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 12, 10), DATA)
    null = instability(problem, recipe_of(), at=(0, 1, 0.5), seeds=3, orders=(2, 2), points=3, plan=plan)
    assert not null["distance"].any()
    assert not null["loss barrier"].any()


def test_the_chord_is_never_below_the_line_of_a_convex_model() -> None:
    convex = instability(problem_of(), recipe_of(), at=(0, 0.25, 0.75), seeds=3, points=9)
    assert (convex["distance"] > 1e-3).all()  # copies do part
    assert convex["loss barrier"].max() < 1e-12
    assert (convex["loss barrier, over mean"] > 0).any()  # which on a convex loss is no barrier


def test_copies_of_the_last_step_hardly_part(found: Instability) -> None:
    assert (found["distance"][0] > 20 * found["distance"][-1]).all()
    above = found["loss barrier, over mean"]
    assert above[:, -1].max() < 1e-3 * above[:, 0].min()


def test_it_is_what_two_trainings_and_an_evaluation_by_hand_give(deep: tw.Problem, found: Instability) -> None:
    recipe, seed, step = recipe_of(), 5, T // 4
    trunk = tw.train(deep, replace(recipe, snapshot=(step,), snapshot_state=True), [seed])
    ends = [
        tw.train(deep, recipe, [stream_key(seed, "instability", copy)], start=trunk.at(step)).final for copy in (0, 1)
    ]
    line, (x, y) = [], (torch.as_tensor(part) for part in (deep.data.test.inputs, deep.data.test.targets))
    for t in np.linspace(0, 1, 9):
        module = ends[0].with_theta((1 - t) * ends[0].theta + t * ends[1].theta).module(0).requires_grad_(False)
        line.append(
            [float(nn.functional.cross_entropy(module(x), y)), float((module(x).argmax(1) != y).double().mean())]
        )
    loss, error = np.array(line).T
    on, at, row = 0, 1, 1
    assert found.reading.coordinate("on")[on] == "test"
    np.testing.assert_allclose(found["loss"][on, at, row], loss, rtol=1e-6)
    np.testing.assert_allclose(found["error"][on, at, row], error, atol=1e-12)
    assert found["distance"][at, row] == pytest.approx(float((ends[0].theta - ends[1].theta).norm()), rel=1e-6)
    assert found["error barrier, over mean"][on, at, row] >= error.max() - error[[0, -1]].mean() - 1e-12
    first, second = found.copies(step)
    torch.testing.assert_close(first.theta[[row]], ends[0].theta, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(second.theta[[row]], ends[1].theta, rtol=1e-6, atol=1e-9)


def test_a_fresh_schedule_begins_anew_after_a_trunk_at_a_constant_rate(deep: tw.Problem) -> None:
    recipe, seed, step = recipe_of(tw.optim.AdamW(0.01)), 5, 8
    fresh = instability(deep, recipe, at=(0, step), seeds=[seed, 6], fresh_schedule=True, on="train", points=5)
    constant = replace(recipe, schedule=tw.schedules.Constant(), snapshot=(step,), snapshot_state=True)
    start = replace(tw.train(deep, constant, [seed], until=step).at(step), step=0, order=None)
    end = tw.train(deep, recipe, [stream_key(seed, "instability", 0)], start=start).final
    torch.testing.assert_close(fresh.copies(step)[0].theta[[0]], end.theta, rtol=1e-6, atol=1e-9)
    usual = instability(deep, recipe, at=(0, step), seeds=[seed, 6], on="train", points=5)
    assert (usual["distance"][1] < fresh["distance"][1]).all()  # less time and rate to part
    np.testing.assert_allclose(usual["distance"][0], fresh["distance"][0], rtol=1e-6)
    alone = tw.train(deep, recipe, [stream_key(seed, "instability", 0)], start=Start(deep.initialize([seed]))).final
    torch.testing.assert_close(fresh.copies(0)[0].theta[[0]], alone.theta, rtol=1e-6, atol=1e-9)


def test_a_seed_among_few_is_the_same_among_many(deep: tw.Problem, found: Instability) -> None:
    few = instability(deep, recipe_of(), at=T // 4, seeds=[9, 3], points=9)
    for name in ("loss barrier", "error barrier, over mean"):
        np.testing.assert_allclose(few[name][:, 0], found[name][:, 1, [2, 0]], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(few["distance"][0], found["distance"][1, [2, 0]], rtol=1e-6)


def test_steps_are_ints_and_shares_are_floats(deep: tw.Problem) -> None:
    given = instability(deep, recipe_of(), at=[0.5, 1, 0, 0.5, 12], seeds=2, on="train", points=3)
    assert given.steps == [0, 1, 12]
    assert parting_steps(recipe_of(), np.array([3, 1]), last=T) == [1, 3]
    assert parting_steps(recipe_of(), np.int64(3), last=T) == [3]
    assert parting_seeds(recipe_of(), np.arange(3)) == [0, 1, 2]
    assert given.reading.dims["loss"] == ("on", "step", "seed", "t")
    assert given.reading.dims["distance"] == ("step", "seed")
    for at in (T, 1.0, -1, 1.5, True, "0.1"):
        with pytest.raises(UsageError, match=f"a step from 0 to {T - 1} \\(an int\\)|steps and shares"):
            instability(deep, recipe_of(), at=at)
    with pytest.raises(UsageError, match="at least one step"):
        instability(deep, recipe_of(), at=())
    with pytest.raises(UsageError, match=f"0 to {T} .*got {T + 1}, which is step {T + 1}"):
        instability(deep, recipe_of(), at=T + 1, fresh_schedule=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": 1}, "at least 2 seeds"),
        ({"seeds": [4]}, "at least 2 seeds"),
        ({"seeds": [4, 4]}, "each once"),
        ({"seeds": "ab"}, "whole numbers"),
        ({"orders": (0,)}, "numbers of two data orders"),
        ({"orders": 3}, "numbers of two data orders"),
        ({"points": 2}, "at least 3"),
        ({"on": "held out"}, "train, test"),
        ({"on": []}, "at least one"),
        ({"fresh_schedule": "yes"}, "True or False"),
    ],
)
def test_other_arguments_are_refused_before_anything_is_trained(
    deep: tw.Problem, options: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[instability.__module__], "trunks", None)
    with pytest.raises(UsageError, match=words):
        instability(deep, recipe_of(), **options)


def test_a_recipe_with_sweeps_and_a_problem_without_test_examples_are_refused(deep: tw.Problem) -> None:
    with pytest.raises(UsageError, match="it sweeps lr"):
        instability(deep, recipe_of(tw.optim.SGD([0.1, 0.2])))
    without = tw.Problem(lambda: tw.nets.mlp(64, 10), (DATA.train.inputs, DATA.train.targets))
    with pytest.raises(UsageError, match="no test examples"):
        instability(without, recipe_of())
    assert instability(without, recipe_of(), at=2, seeds=2, on="train", points=3)["loss"].shape == (1, 1, 2, 3)


def test_what_diverged_is_not_a_number_and_said() -> None:
    """Of two seeds one starts so far out that its first step is not finite."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 6, 10, activation="square"), DATA)
    recipe = tw.Recipe(tw.optim.SGD(1e4), 6, 40, evaluate=0)
    found = instability(problem, recipe, at=(0, 5), seeds=2, points=3)
    assert np.isnan(found["loss barrier"]).all()
    assert np.isnan(found["distance"]).all()
    assert found.stable_from() is None
    assert "diverged" in " ".join(found.reading.notes)
    found.figure().to_matplotlib()


def test_a_loss_without_an_error_is_judged_by_the_loss() -> None:
    x = DATA.train.inputs
    problem = tw.Problem(lambda: tw.nets.mlp(64, 4, 64), (x, x), "squared_error")
    found = instability(problem, recipe_of(tw.optim.Adam(0.01)), at=(0, 0.5), seeds=2, on="train", points=3)
    assert found.usual == "loss barrier"
    assert found.barriers().shape == (2, 2)
    found.figure().to_matplotlib()


def test_the_first_step_whose_whole_interval_is_below_is_named(found: Instability) -> None:
    table = np.array([[0.1, 0.2, 0.3], [0.001, 0.002, 0.05], [0.001, 0.0015, 0.002]])
    planted = np.stack([table, np.full_like(table, 0.5)])
    name = "error barrier, over mean"
    reading = replace(found.reading, arrays={**found.reading.arrays, name: planted})
    result = replace(found, reading=reading)
    assert result.stable_from() == T - 1  # at a quarter the mean is below, and its upper end is not
    assert table[1].mean() < 0.02
    assert result.stable_from(on="train") is None
    said = {"stable on test": f"from {T - 1} (3 steps tried)", "stable on train": "from none (3 steps tried)"}
    assert result.line() == said
    with pytest.raises(UsageError, match="set of examples"):
        result.stable_from(on="validation")
    with pytest.raises(UsageError, match="steps 0, 6, 23; got 7"):
        result.copies(7)


def with_barriers(found: Instability, table: list[list[float]]) -> Instability:
    """The same with these barriers, (steps, seeds), on all sets of examples."""
    name = "error barrier, over mean"
    planted = np.stack([np.array(table)] * len(found.reading.coordinate("on")))
    return replace(found, reading=replace(found.reading, arrays={**found.reading.arrays, name: planted}))


def test_copies_are_not_stable_from_a_step_after_which_a_barrier_rises_again(found: Instability) -> None:
    low, high = [0.001, 0.0015, 0.002], [0.3, 0.31, 0.32]
    for table, wanted in (
        ([high, low, high], None),
        ([low, high, low], T - 1),
        ([high, low, low], T // 4),
        ([low, low, low], 0),
        ([low, [0.0, np.nan, 0.0], low], T - 1),
        ([high, [0.001, 0.001, 0.001], low], T // 4),
    ):
        assert with_barriers(found, table).stable_from() == wanted


@pytest.mark.parametrize("on", [["train", "test"], ["test", "train"]])
def test_where_none_are_named_the_first_examples_are_meant(deep: tw.Problem, on: list[str]) -> None:
    found = instability(deep, recipe_of(), at=(0, 6), seeds=2, points=3, on=on)
    np.testing.assert_array_equal(found.barriers(), found.barriers(on=on[0]))
    assert (found.barriers("loss barrier, over mean") != found.barriers("loss barrier, over mean", on=on[1])).any()
    assert found.reading.units["error"] == found.reading.units["error barrier"] == "fraction"


def test_the_figure_puts_step_0_at_the_left_and_errors_in_points(found: Instability) -> None:
    barrier, train, distance = found.figure().panels
    assert [panel.title for panel in (barrier, train, distance)] == ["Barrier, test", "Barrier, train", "Distance"]
    at = [mark.value for mark in barrier.marks if getattr(mark, "direction", "") == "vertical"]
    line = barrier.marks[0]
    assert at == [line.x[0]]
    assert 0 < line.x[0] < line.x[1] == T // 4
    np.testing.assert_allclose(line.y, 100 * found["error barrier, over mean"][0].mean(1))
    assert any(getattr(mark, "value", None) == 2 for mark in barrier.marks)
    np.testing.assert_allclose(distance.marks[0].y, found["distance"].mean(1))
    found.figure().to_matplotlib()


def test_progress_is_told_by_parts(deep: tw.Problem) -> None:
    reports: list[tw.progress.Progress] = []
    instability(deep, recipe_of(), at=(0, 6), seeds=2, points=3, progress=reports.append)
    labels = list(dict.fromkeys(report.label for report in reports))
    assert labels == [f"instability, {part}" for part in ("trunks", "copies", "barriers")]
    copies = [report for report in reports if report.label == "instability, copies"]
    assert [report.done for report in copies] == list(range(1, T + 1))


def test_control_c_stops_it(deep: tw.Problem) -> None:
    def stop(report: tw.progress.Progress) -> None:
        if report.label == "instability, copies" and report.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        instability(deep, recipe_of(), at=(0, 6), seeds=2, points=3, progress=stop)
