"""Runs that begin in mid-run: rewinding is the run itself, arms are as if alone, and masks hold from the first step."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE
from torch import Tensor

import thalweg as tw
from thalweg import optim
from thalweg.errors import UsageError
from thalweg.training import Start
from thalweg.training.start import DataOrder

MLP = CASE["mlp"]
AROUND = {
    "averaged": optim.Averaged(optim.Adam(0.01)),
    "averaged muon": optim.Averaged(optim.Muon(0.01)),
    "grokfast": optim.Grokfast(optim.AdamW(0.01)),
    "centralized": optim.Centralized(optim.Momentum(0.05)),
    "centralized, ahead": optim.Centralized(optim.Nesterov(0.05)),
    "centralized, schedule-free": optim.Centralized(optim.ScheduleFreeSGD(0.1)),
    "orthogonal": optim.Orthogonal(optim.SGD(0.05)),
    "sam": optim.SAM(optim.Momentum(0.05)),
    "dampened": optim.Momentum(0.05, form="ema", start="first_gradient"),
    "torch": optim.TorchOptimizer(0.01, lambda p: torch.optim.RAdam(p)),
    "torch adamw": optim.TorchOptimizer(0.01, lambda p: torch.optim.AdamW(p)),
}
EVERY = {name: rule(0.01) for name, rule in optim.RULES.items()} | AROUND


def _recipe(rule: Any, steps: int = 14, **changes: Any) -> tw.Recipe:
    options: dict[str, Any] = {
        "batch_size": 5,
        "schedule": tw.schedules.Cosine(warmup=3),
        "clip_norm": 1.0,
        "evaluate": (4, 9),
        "snapshot": (0, 4, 6, 9),
        "snapshot_state": True,
    }
    return tw.Recipe(rule, steps, **(options | changes))


def _plan(rule: Any) -> str:
    return "looped" if isinstance(rule, optim.TorchOptimizer) else "stacked"


def assert_same_from(
    step: int, one: tw.Run, other: tw.Run, members: Any = slice(None), *, rounding: float = 0.0
) -> None:
    """All that `one` holds from a step on is what `other` holds, whose members are these."""
    if rounding:
        assert torch.allclose(one.final.theta, other.final.theta[members], rtol=rounding, atol=rounding)
        return
    assert torch.equal(one.final.theta, other.final.theta[members])
    for name, matrix in one.state.slots.items():
        assert torch.equal(matrix, other.state.slots[name][members]), name
    for name, buffer in one.final.buffers.items():
        assert torch.equal(buffer, other.final.buffers[name][members]), name
    assert np.array_equal(one.history.batch_loss[step:], other.history.batch_loss[step:, members], equal_nan=True)
    both = sorted({*one.history.steps} & {*other.history.steps} & {*range(step, one.step + 1)})
    rows, theirs = np.isin(one.history.steps, both), np.isin(other.history.steps, both)
    for metric, values in one.history.metrics.items():
        assert np.array_equal(values[rows], other.history[metric][theirs][:, members], equal_nan=True), metric
    for at in one.snapshots:
        theta = other.snapshots[at].theta[members]
        assert np.array_equal(one.snapshots[at].theta.numpy(), theta.numpy(), equal_nan=True)


@pytest.mark.parametrize("name", EVERY)
def test_rewinding_with_all_true_masks_is_the_uninterrupted_run(name: str) -> None:
    problem, recipe, plan = MLP.problem(), _recipe(EVERY[name]), _plan(EVERY[name])
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
    problem, recipe = CASE[case].problem(), _recipe(optim.AdamW(0.01))
    whole = tw.train(problem, recipe, 2, plan=plan)
    assert_same_from(4, tw.train(problem, recipe, 2, start=whole.at(4), paired=True, plan=plan), whole)


def test_rewinding_dropout_and_streamed_data() -> None:
    recipe = _recipe(optim.Adam(0.01))
    digits = tw.data.digits().train
    items = [(digits.inputs[i], int(digits.targets[i])) for i in range(60)]
    streamed = tw.data.from_user(items, memory_budget=1)
    assert not isinstance(streamed.train, tw.data.Examples)
    for problem in (CASE["dropout"].problem(), tw.Problem(lambda: tw.nets.mlp(64, 5, 10), streamed)):
        whole = tw.train(problem, recipe, 2, plan="looped")
        again = tw.train(problem, recipe, 2, start=whole.at(9), paired=True, plan="looped")
        assert_same_from(9, again, whole)


def test_rewinding_a_sweep_pairs_its_members_with_the_grid() -> None:
    recipe = _recipe(optim.Momentum(tw.sweep.values([0.01, 0.1])), batch_size=tw.sweep.values([4, 6]))
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
    recipe = _recipe(optim.SGD(0.3), batch_size=None, clip_norm=None)
    run = tw.train(problem, recipe, 1)
    fork = tw.train(problem, recipe, seeds=[5], start=run.at(4))
    theta = run.snapshots[4].theta.clone()
    batch = tw.population.Batch.range(problem.data.train, 0, len(problem.data.train))
    from thalweg.population.derivatives import gradient

    for step in range(5, 15):
        theta -= 0.3 * float(recipe.schedule(step, 14)) * gradient(problem, run.final.with_theta(theta), batch)
    assert torch.allclose(fork.final.theta, theta, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("fresh", [False, True])
def test_starts_of_different_steps_in_one_population_are_as_each_alone(name: str, fresh: bool) -> None:
    """Fresh moments count their own steps: corrections of moments and first steps are those of a run that begins."""
    rounding = 1e-9 if name == "soap" else 0.0  # its products of matrices differ with who is in the population
    problem, recipe = MLP.problem(dtype=torch.float64 if rounding else torch.float32), _recipe(EVERY[name])
    run = tw.train(problem, recipe, 2, plan="looped")
    starts: dict[str, Any] = {f"from {step}": run.at(step) for step in (9, 0, 4)}
    if fresh:
        starts = {arm: replace(start, state=None) for arm, start in starts.items()}
    together = tw.train(problem, recipe, 2, start=starts, paired=True, plan="looped")
    assert together.axes["arm"].tolist() == [arm for arm in starts for _ in range(2)]
    assert together.history.steps.tolist() == [0, 4, 9, 14]
    assert np.isnan(together.history["train_loss"][:2, :2]).all()
    for arm, start in starts.items():
        alone = tw.train(problem, recipe, 2, start=start, paired=True, plan="looped")
        assert_same_from(start.step, alone, together, together.select(arm=arm), rounding=rounding)
        assert np.isnan(together.history.batch_loss[: start.step, together.select(arm=arm)]).all()
        if not fresh:
            assert_same_from(start.step, alone, run, rounding=rounding)


@pytest.mark.parametrize("plan", ["stacked", tw.population.Plan("stacked", 2)])
def test_stacked_arms_that_join_later_are_as_alone_to_rounding(plan: Any) -> None:
    problem, recipe = MLP.problem(dtype=torch.float64), _recipe(optim.AdamW(0.01))
    run = tw.train(problem, recipe, 2)
    together = tw.train(problem, recipe, 2, start={"a": run.at(6), "b": run.at(0)}, paired=True, plan=plan)
    for arm in ("a", "b"):
        assert torch.allclose(together.final.theta[together.select(arm=arm)], run.final.theta, rtol=0, atol=1e-12)


def test_fresh_moments_at_a_step_are_those_of_a_run_begun_there() -> None:
    """At a constant rate a start at step 4 without moments is a run from step 0 on the same batches."""
    problem = MLP.problem()
    recipe = _recipe(optim.Adam(0.01), schedule=tw.schedules.Constant(), batch_size=None, clip_norm=None)
    run = tw.train(problem, recipe, 1)
    late = tw.train(problem, recipe, 1, start=replace(run.at(4), state=None))
    new = tw.train(problem, replace(recipe, steps=10, snapshot=0), 1, start=run.snapshots[4])
    assert torch.equal(late.final.theta, new.final.theta)
    assert not torch.equal(late.final.theta, run.final.theta)


def test_arms_of_one_seed_see_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.training.loop import Group

    seen: list[Tensor] = []
    inner = Group.gradient
    monkeypatch.setattr(
        Group, "gradient", lambda group, step, out: (seen.append(group.order.indices(step)), inner(group, step, out))[1]
    )
    problem = MLP.problem()
    recipe = _recipe(optim.SGD(0.1))
    start, parameters = problem.initialize(1), problem.layout.parameters
    masks = {arm: torch.rand(parameters) < share for arm, share in (("most", 0.9), ("half", 0.5), ("few", 0.1))}
    run = tw.train(problem, recipe, seeds=[3, 8], start=start, mask=masks, plan="looped")
    assert run.axes["arm"].tolist() == ["most", "most", "half", "half", "few", "few"]
    assert run.axes["seed"].tolist() == [3, 8] * 3
    assert len(seen) == 14
    for indices in seen:
        assert torch.equal(indices[:2], indices[2:4])
        assert torch.equal(indices[:2], indices[4:])
        assert not torch.equal(indices[0], indices[1])


def test_seeds_are_crossed_with_members_and_sweeps() -> None:
    problem = MLP.problem()
    run = tw.train(problem, _recipe(optim.SGD(0.1)), 3)
    recipe = _recipe(optim.SGD(tw.sweep.values([0.1, 0.2])))
    fork = tw.train(problem, recipe, [7, 8], start={"few": run.at(4)[[0, 2]], "one": run.at(4)[1]})
    rows = list(zip(*(fork.axes[name].tolist() for name in ("lr", "arm", "start_member", "seed")), strict=True))
    each = [("few", 0, 7), ("few", 0, 8), ("few", 1, 7), ("few", 1, 8), ("one", 0, 7), ("one", 0, 8)]
    assert rows == [(rate, *one) for rate in (0.1, 0.2) for one in each]
    began = [0, 0, 2, 2, 1, 1] * 2
    assert np.allclose(fork.history["train_loss"][0], run.history["train_loss"][1][began], atol=1e-6)
    assert set(fork.history.table().columns["arm"]) == {"few", "one"}
    assert fork.history.figure("train_loss", by="arm").panels[0].marks[0].label == "arm = few"


def test_an_arm_may_be_initialized_by_seed() -> None:
    problem, recipe = MLP.problem(), _recipe(optim.Adam(0.01))
    whole = tw.train(problem, recipe, 2, plan="looped")
    run = tw.train(problem, recipe, 2, start={"new": None, "rewound": whole.at(9)}, paired=True, plan="looped")
    assert torch.equal(run.final.theta, torch.cat([whole.final.theta] * 2))


@pytest.mark.parametrize("name", EVERY)
def test_masks_hold_after_every_step_in_mid_run_too(name: str) -> None:
    problem, rule = MLP.problem(), EVERY[name]
    run = tw.train(problem, _recipe(rule), 2, plan=_plan(rule))
    mask = torch.rand(2, problem.layout.parameters, generator=torch.Generator().manual_seed(0)) < 0.6
    outside, looked = ~mask, []

    class Watch:
        slots: Any = None

        def begin(self, slots: Any) -> None:
            self.slots = slots

        def __call__(self, step: int, population: tw.Population) -> None:
            looked.append(step)
            assert not population.theta[outside].any()
            for slot, matrix in self.slots.items():
                if matrix.shape != mask.shape or (name == "soap" and slot == "second_moment"):
                    continue
                assert not matrix[outside].any(), slot

    for start in (run.at(4), run.at(0), replace(run.at(4), state=None)):
        ticket = tw.train(
            problem, _recipe(rule), 2, start=start, mask=mask, paired=True, plan=_plan(rule), observe=Watch()
        )
        assert ticket.final.theta[mask].all()
        assert (ticket.diverged_at == -1).all()
    assert looked == [*range(4, 15), *range(15), *range(4, 15)]


@pytest.mark.parametrize("name", EVERY)
def test_gradients_are_masked_before_they_are_clipped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.training import loop

    problem, rule = MLP.problem(), EVERY[name]
    mask = torch.rand(problem.layout.parameters, generator=torch.Generator().manual_seed(0)) < 0.6
    seen, inner = [], loop.clipping
    monkeypatch.setattr(loop, "clipping", lambda g, most: (seen.append(bool(g[:, ~mask].any())), inner(g, most))[1])
    tw.train(problem, _recipe(rule, 3, snapshot=0, evaluate=0), 2, mask=mask, plan=_plan(rule))
    assert seen == [False] * 3


def test_masks_by_start_member_by_seed_and_by_member() -> None:
    problem, recipe = MLP.problem(), _recipe(optim.SGD(0.1), 3, evaluate=0, snapshot=0)
    masks = torch.rand(4, problem.layout.parameters, generator=torch.Generator().manual_seed(0)) < 0.6
    start = problem.initialize(2)
    for given, wanted in ((masks[:2], [0, 0, 1, 1]), (masks, [0, 1, 2, 3]), (masks[0], [0] * 4)):
        run = tw.train(problem, recipe, [7, 8], start=start, mask=given)
        assert torch.equal(run.final.mask, masks[wanted])
    by_seed = tw.train(problem, replace(recipe, optimizer=optim.SGD([0.1, 0.2])), 2, mask=masks[:2])
    assert torch.equal(by_seed.final.mask, masks[[0, 1, 0, 1]])
    within = tw.train(problem, recipe, 2, start=start.with_mask(masks[2]), mask=masks[3], paired=True)
    assert torch.equal(within.final.mask, (masks[2] & masks[3]).expand(2, -1))


def test_a_mask_with_a_layer_wholly_zero_is_allowed() -> None:
    problem = MLP.problem()
    mask = torch.ones(problem.layout.parameters, dtype=torch.bool)
    mask[next(iter(problem.layout)).columns] = False
    run = tw.train(problem, _recipe(optim.AdamW(0.01)), 2, mask=mask)
    assert not run.final.theta[:, ~mask].any()
    assert (run.diverged_at == -1).all()


def test_a_fork_resumes_and_is_stored_with_its_beginning(tmp_path: Any) -> None:
    problem, recipe = MLP.problem(), _recipe(optim.Adam(0.01))
    run = tw.train(problem, recipe, 2, plan="looped")
    starts = {"early": run.at(4), "late": replace(run.at(9), state=None)}

    def fork(**more: Any) -> tw.Run:
        return tw.train(problem, recipe, [7, 8], start=starts, paired=True, plan="looped", **more)

    whole, half = fork(), fork(until=7)
    assert half.history.steps.tolist() == [4]
    assert_same_from(4, tw.train(problem, recipe, [7, 8], resume=half), whole)
    interrupted = fork(until=11, store=tmp_path)
    assert interrupted.step == 11
    finished = fork(store=tmp_path)
    assert_same_from(4, finished, whole)
    assert finished.at(9, members=[0, 1]).population.theta.equal(whole.snapshots[9].theta[:2])
    other = tw.train(problem, recipe, [7, 8], start=run.at(4), paired=True, plan="looped", store=tmp_path)
    assert len(other.final) == 2
    moved = {"early": run.at(4), "late": run.at(9)}  # the same weights with moments are another run
    kept = tw.train(problem, recipe, [7, 8], start=moved, paired=True, plan="looped", store=tmp_path)
    assert not torch.equal(kept.final.theta[2:], whole.final.theta[2:])


def test_members_that_are_not_finite_where_they_begin_are_frozen_there() -> None:
    problem, recipe = MLP.problem(), _recipe(optim.Adam(0.01))
    run = tw.train(problem, recipe, 2)
    broken = run.snapshots[6]
    broken = broken.with_theta(torch.where(torch.tensor([[True], [False]]), torch.nan, broken.theta))
    arms = {"whole": run.at(0), "broken": replace(run.at(6), population=broken)}
    fork = tw.train(problem, recipe, 2, start=arms, paired=True)
    assert fork.diverged_at.tolist() == [-1, -1, 6, -1]
    assert torch.isfinite(fork.final.theta[[0, 1, 3]]).all()


def test_snapshots_before_a_member_begins_are_not_there() -> None:
    problem, recipe = MLP.problem(), _recipe(optim.Adam(0.01))
    run = tw.train(problem, recipe, 2)
    fork = tw.train(problem, recipe, 2, start={"early": run.at(0), "late": run.at(6)}, paired=True)
    assert fork.snapshots[4].theta[2:].isnan().all()
    assert torch.isfinite(fork.snapshots[6].theta).all()
    with pytest.raises(UsageError, match=r"Members \[2, 3\] begin after step 4; write run.at\(4, members="):
        fork.at(4)
    assert torch.isfinite(fork.at(4, members=[0, 1]).population.theta).all()


def test_averages_of_members_that_stop_where_they_begin_are_there() -> None:
    problem, recipe = MLP.problem(), _recipe(optim.Averaged(optim.SGD(0.1)))
    run = tw.train(problem, recipe, 2)
    far = run.snapshots[6].with_theta(run.snapshots[6].theta.clone())
    far.theta[0, 0] = torch.inf
    fork = tw.train(problem, recipe, 2, start=replace(run.at(6), population=far), paired=True)
    assert fork.diverged_at.tolist() == [6, -1]
    assert torch.equal(fork.averaged(problem).theta[0], far.theta[0])
    assert torch.equal(fork.averaged(problem).theta[1], run.averaged(problem).theta[1])


def test_starts_that_cannot_be_meant() -> None:
    problem, recipe = MLP.problem(), _recipe(optim.Adam(0.01))
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
        _recipe(optim.Momentum(0.1)),
    )
    refused("of another architecture than the problem's", of=CASE["batchnorm"].problem())
    refused("step 4 of batches of 5 of 24 examples, and these are 6 of 24", _recipe(optim.Adam(0.01), batch_size=6))
    tw.train(problem, _recipe(optim.Adam(0.01), batch_size=6), 2, start=replace(start, order=None), paired=True)
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
        tw.train(problem, _recipe(optim.SGD(tw.sweep.values([0.1, 0.2], axis="arm"))), 1)
