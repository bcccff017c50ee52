"""Runs that begin in mid-run: rewinding is the run itself, and what cannot be meant is said."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from beginnings import EVERY, MLP, assert_same_from, plan_of, recipe_of
from cases import CASE

import thalweg as tw
from thalweg import optim
from thalweg.errors import UsageError
from thalweg.training import Start
from thalweg.training.start import DataOrder


@pytest.mark.parametrize("name", EVERY)
def test_rewinding_with_all_true_masks_is_the_uninterrupted_run(name: str) -> None:
    problem, recipe, plan = MLP.problem(), recipe_of(EVERY[name]), plan_of(EVERY[name])
    whole = tw.train(problem, recipe, 3, plan=plan)
    start = whole.at(6)
    masked = torch.ones(problem.layout.parameters, dtype=torch.bool)
    again = tw.train(problem, recipe, 3, start=start, mask=masked, paired=True, plan=plan)
    assert again.history.steps.tolist() == [6, 9, 14]
    assert list(again.snapshots) == [6, 9]
    assert np.isnan(again.history.batch_loss[:6]).all()
    assert_same_from(6, again, whole)
    assert_same_from(9, tw.train(problem, recipe, 3, start=again.at(9), paired=True, plan=plan), whole)


@pytest.mark.parametrize("plan", ["looped", "stacked"])
@pytest.mark.parametrize("case", ["batchnorm", "attention", "frozen"])
def test_rewinding_models_with_statistics(case: str, plan: str) -> None:
    problem, recipe = CASE[case].problem(), recipe_of(optim.AdamW(0.01))
    whole = tw.train(problem, recipe, 2, plan=plan)
    assert_same_from(4, tw.train(problem, recipe, 2, start=whole.at(4), paired=True, plan=plan), whole)


def test_rewinding_dropout_and_streamed_data() -> None:
    recipe = recipe_of(optim.Adam(0.01))
    digits = tw.data.digits().train
    items = [(digits.inputs[i], int(digits.targets[i])) for i in range(60)]
    streamed = tw.data.from_user(items, memory_budget=1)
    assert not isinstance(streamed.train, tw.data.Examples)
    for problem in (CASE["dropout"].problem(), tw.Problem(lambda: tw.nets.mlp(64, 5, 10), streamed)):
        whole = tw.train(problem, recipe, 2, plan="looped")
        again = tw.train(problem, recipe, 2, start=whole.at(9), paired=True, plan="looped")
        assert_same_from(9, again, whole)


def test_rewinding_a_sweep_pairs_its_members_with_the_grid() -> None:
    recipe = recipe_of(optim.Momentum(tw.sweep.values([0.01, 0.1])), batch_size=tw.sweep.values([4, 6]))
    problem = MLP.problem()
    whole = tw.train(problem, recipe, 3, plan="looped")
    assert len(whole.final) == 12
    again = tw.train(problem, recipe, 3, start=whole.at(6), paired=True, plan="looped")
    assert_same_from(6, again, whole)
    assert {name: axis.tolist() for name, axis in again.axes.items()} == {
        name: axis.tolist() for name, axis in whole.axes.items()
    }


def test_a_start_goes_on_with_the_schedule_and_steps_of_its_step() -> None:
    """By hand: SGD on one full batch from theta_4 at rates lr s(t) is the last ten of fourteen steps."""
    problem = MLP.problem(dtype=torch.float64)
    recipe = recipe_of(optim.SGD(0.3), batch_size=None, clip_norm=None)
    run = tw.train(problem, recipe, 1)
    fork = tw.train(problem, recipe, seeds=[5], start=run.at(4))
    theta = run.snapshots[4].theta.clone()
    batch = tw.population.Batch.range(problem.data.train, 0, len(problem.data.train))
    from thalweg.population.derivatives import gradient

    for step in range(5, 15):
        theta -= 0.3 * float(recipe.schedule(step, 14)) * gradient(problem, run.final.with_theta(theta), batch)
    assert torch.allclose(fork.final.theta, theta, rtol=0, atol=1e-12)


def test_fresh_moments_at_a_step_are_those_of_a_run_begun_there() -> None:
    """At a constant rate a start at step 4 without moments is a run from step 0 on the same batches."""
    problem = MLP.problem()
    recipe = recipe_of(optim.Adam(0.01), schedule=tw.schedules.Constant(), batch_size=None, clip_norm=None)
    run = tw.train(problem, recipe, 1)
    late = tw.train(problem, recipe, 1, start=replace(run.at(4), state=None))
    new = tw.train(problem, replace(recipe, steps=10, snapshot=0), 1, start=run.snapshots[4])
    assert torch.equal(late.final.theta, new.final.theta)
    assert not torch.equal(late.final.theta, run.final.theta)


def test_starts_that_cannot_be_meant() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
    run = tw.train(problem, recipe, 2)
    start = run.at(4)

    def refused(match: str, rule: Any = recipe, of: tw.Problem = problem, **how: Any) -> None:
        with pytest.raises(UsageError, match=match):
            tw.train(of, rule, 2, **({"start": start, "paired": True} | how))

    with pytest.raises(UsageError, match=r"no snapshot of step 5; kept are 0, 4, 6, 9, and the last step 14"):
        run.at(5)
    bare = tw.train(problem, replace(recipe, snapshot_state=False), 2)
    with pytest.raises(
        UsageError, match=r"snapshot of step 4 has no optimizer state; train with .*snapshot_state=True"
    ):
        bare.at(4)
    assert bare.at(0).state is None
    assert bare.at(14).step == 14
    refused(
        "has another optimizer's state: it keeps first_moment, second_moment, and Momentum keeps velocity",
        recipe_of(optim.Momentum(0.1)),
    )
    refused("The start does not fit the problem: The two layouts differ", of=CASE["batchnorm"].problem())
    refused("step 4 of batches of 5 of 24 examples, and these are 6 of 24", recipe_of(optim.Adam(0.01), batch_size=6))
    tw.train(problem, recipe_of(optim.Adam(0.01), batch_size=6), 2, start=replace(start, order=None), paired=True)
    refused("stands at step 14, and the recipe has 14 steps", start=run.at(14))
    refused("until=4 leaves nothing to train: the start stands at step 4", until=4)
    refused("paired=True needs a start of 2 members, one for each seed; got 3", start=run.at(4)[[0, 1, 0]])
    refused("the same names, at least one", start={"a": start}, mask={"b": None})
    refused("the same names, at least one", start={})
    refused("Arms are named by text", start={0: start})
    refused("train start must be a Start such as", start={"a": run})
    refused("train paired must be True or False", paired=1)
    refused("resume goes on with the run's own members and mask", resume=run)
    with pytest.raises(UsageError, match="has 2 members, but its state 'first_moment' has 1 rows"):
        replace(start[[0]], population=start.population)
    with pytest.raises(UsageError, match="Start step must be a whole number of at least 0; got -1"):
        Start(start.population, step=-1)
    assert start.order == DataOrder(24, 5)
    with pytest.raises(UsageError, match='may not use the axis "arm"; pass a mapping'):
        tw.train(problem, recipe_of(optim.SGD(tw.sweep.values([0.1, 0.2], axis="arm"))), 1)


def test_a_start_at_step_zero_keeps_its_moments_in_the_store_and_when_begun_again(tmp_path: Any) -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
    run = tw.train(problem, recipe, 2, plan="looped")
    kept = replace(run.at(6), step=0, order=None)

    def train(start: Any, **more: Any) -> tw.Run:
        return tw.train(problem, recipe, 2, start=start, paired=True, plan="looped", **more)

    warm, cold = train(kept), train(Start(kept.population), store=tmp_path)
    assert not torch.equal(warm.final.theta, cold.final.theta)
    assert torch.equal(train(kept, store=tmp_path).final.theta, warm.final.theta)
    assert_same_from(0, train(warm.at(0)), warm)
    assert warm.updates.tolist() == [20, 20]
    assert cold.at(0).state is None
    bare = tw.train(problem, replace(recipe, snapshot_state=False), 2, start=kept, paired=True, plan="looped")
    with pytest.raises(UsageError, match="snapshot of step 0 has no optimizer state"):
        bare.at(0)


def test_a_fork_with_repeated_seeds_resumes() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
    run = tw.train(problem, recipe, 2, plan="looped")
    whole = tw.train(problem, recipe, [3, 3], start=run.at(4), paired=True, plan="looped")
    half = tw.train(problem, recipe, [3, 3], start=run.at(4), paired=True, plan="looped", until=7)
    assert_same_from(4, tw.train(problem, recipe, [3, 3], resume=half), whole)


def test_numbers_of_numpy_choose_steps_and_members() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
    run = tw.train(problem, recipe, 3)
    start = run.at(np.int64(4))
    best = start[run.history["train_loss"][-1].argmin()]
    assert (start.step, len(best), best.state["first_moment"].shape[0]) == (4, 1, 1)  # type: ignore[index]


def test_errors_name_the_arm() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
    with pytest.raises(UsageError, match=r"The mask of arm 'hidden.weight' \(names are those of arms\) is boolean"):
        tw.train(problem, recipe, 2, mask={"hidden.weight": torch.ones(3, dtype=torch.bool)})
    other = MLP.problem(dtype=torch.float64).initialize(1)
    with pytest.raises(
        UsageError, match=r"The start of arm 'a' does not fit the problem: The population is torch\.float64"
    ):
        tw.train(problem, recipe, 2, start={"a": other})
