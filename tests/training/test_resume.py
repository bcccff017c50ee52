"""200 + 200 steps are 400 steps, bit for bit."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE

import thalweg as tw
from thalweg import optim, sweep
from thalweg.errors import UsageError
from thalweg.population import Plan

MLP = CASE["mlp"]


def assert_same_bits(one: tw.Run, other: tw.Run) -> None:
    """All that a run holds, except the time it took."""
    ours, theirs = one.state.tensors(), other.state.tensors()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor.nan_to_num(-1e30), theirs[name].nan_to_num(-1e30)), name
    assert one.step == other.step
    assert torch.equal(one.final.theta, other.final.theta)
    assert np.array_equal(one.diverged_at, other.diverged_at)
    assert np.array_equal(one.history.steps, other.history.steps)
    for metric, values in one.history.metrics.items():
        assert np.array_equal(values, other.history[metric], equal_nan=True), metric
    assert list(one.snapshots) == list(other.snapshots)


RULES = {
    "momentum": optim.Momentum(0.05, form="ema", start="first_gradient"),
    "nesterov": optim.Nesterov(sweep.values([0.05, 0.1]), weight_decay=0.01),
    "rmsprop": optim.RMSprop(0.005),
    "adamw": optim.AdamW(sweep.values([0.01, 0.02])),
}


def _recipe(rule: str, **changes: Any) -> tw.Recipe:
    options = {
        "batch_size": 7,
        "schedule": tw.schedules.Cosine(warmup=20),
        "clip_norm": 1.0,
        "evaluate": 8,
        "snapshot": 4,
    }
    return tw.Recipe(RULES[rule], 400, **(options | changes))


@pytest.mark.parametrize("rule", RULES)
def test_two_halves_are_the_whole(rule: str) -> None:
    problem, recipe, plan = MLP.problem(), _recipe(rule), Plan("stacked", 0)
    whole = tw.train(problem, recipe, 3, plan=plan)
    half = tw.train(problem, recipe, 3, plan=plan, until=200)
    assert half.step == 200
    assert list(half.snapshots) == [0, 100, 200]
    assert_same_bits(tw.train(problem, recipe, 3, resume=half), whole)


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("mlp", Plan("looped", 1)),
        ("batchnorm", Plan("looped", 1)),
        ("batchnorm", Plan("stacked", 2)),
        ("dropout", Plan("looped", 1)),
        ("attention", Plan("stacked", 0)),
        ("frozen", Plan("stacked", 0)),
    ],
)
def test_models_with_statistics_and_random_numbers_too(name: str, plan: Plan) -> None:
    problem, recipe = CASE[name].problem(), dataclasses.replace(_recipe("momentum"), steps=100)
    whole = tw.train(problem, recipe, 2, plan=plan)
    part = tw.train(problem, recipe, 2, plan=plan, until=33)
    assert_same_bits(tw.train(CASE[name].problem(), recipe, 2, resume=part), whole)


def test_measured_plans_are_kept() -> None:
    problem, recipe = MLP.problem(), _recipe("adamw")
    half = tw.train(problem, recipe, 3, until=200)
    rest = tw.train(MLP.problem(), recipe, 3, resume=half)
    assert rest.plans == half.plans
    assert_same_bits(rest, tw.train(problem, recipe, 3, plan=half.plans))


def test_many_small_pieces() -> None:
    problem, recipe = MLP.problem(), tw.Recipe(optim.AdamW(0.02), 12, batch_size=5, evaluate=12, snapshot=3)
    whole = tw.train(problem, recipe, 2, plan="looped")
    run = tw.train(problem, recipe, 2, plan="looped", until=1)
    for until in range(2, 13):
        run = tw.train(problem, recipe, 2, resume=run, until=until)
        assert run.step == until
    assert_same_bits(run, whole)


def test_going_on_leaves_the_first_run_as_it_was() -> None:
    problem, recipe = CASE["batchnorm"].problem(), _recipe("adamw")
    half = tw.train(problem, recipe, 2, until=50)
    before = {name: tensor.clone() for name, tensor in half.state.tensors().items()}
    one = tw.train(problem, recipe, 2, resume=half, until=60)
    other = tw.train(problem, recipe, 2, resume=half, until=60)
    assert_same_bits(one, other)
    assert half.step == 50
    for name, tensor in half.state.tensors().items():
        assert torch.equal(tensor.nan_to_num(-1e30), before[name].nan_to_num(-1e30)), name


def test_a_mask_and_a_start_go_on_without_being_given_again() -> None:
    problem, recipe = MLP.problem(), _recipe("adamw")
    mask = torch.rand(6, problem.layout.parameters, generator=torch.Generator().manual_seed(0)) < 0.5
    start = problem.initialize([41])
    options = {"start": start, "mask": mask, "plan": "looped"}
    whole = tw.train(problem, recipe, 3, until=40, **options)
    half = tw.train(problem, recipe, 3, until=20, **options)
    rest = tw.train(problem, recipe, 3, until=40, resume=half)
    assert_same_bits(rest, whole)
    assert torch.equal(rest.final.mask, mask)
    assert (rest.final.theta[~mask] == 0).all()


def test_a_finished_run_stays_finished() -> None:
    problem, recipe = MLP.problem(), tw.Recipe(optim.SGD(0.1), 3)
    whole = tw.train(problem, recipe, 2)
    assert_same_bits(tw.train(problem, recipe, 2, resume=whole), whole)
    assert_same_bits(tw.train(problem, recipe, 2, resume=whole, until=1), whole)


def test_another_recipe_or_other_seeds_are_refused() -> None:
    problem, recipe = MLP.problem(), tw.Recipe(optim.SGD(0.1), 10)
    half = tw.train(problem, recipe, 2, until=5)
    for other, seeds in ((tw.Recipe(optim.SGD(0.2), 10), 2), (recipe, 3), (recipe, [1, 0])):
        with pytest.raises(UsageError, match=r"a run of the same recipe and seeds; start=run.final begins a new run"):
            tw.train(problem, other, seeds, resume=half)
