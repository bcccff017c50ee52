"""Starts and masks by name: members of one population that begin at steps of their own are as if alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from beginnings import EVERY, MLP, assert_same_from, recipe_of
from torch import Tensor

import thalweg as tw
from thalweg import optim
from thalweg.errors import UsageError
from thalweg.training import Start


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("fresh", [False, True])
def test_starts_of_different_steps_in_one_population_are_as_each_alone(name: str, fresh: bool) -> None:
    """Fresh moments count their own steps: corrections of moments and first steps are those of a run that begins."""
    rounding = 1e-9 if name == "soap" else 0.0  # its products of matrices differ with who is in the population
    problem, recipe = MLP.problem(dtype=torch.float64 if rounding else torch.float32), recipe_of(EVERY[name])
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
    problem, recipe = MLP.problem(dtype=torch.float64), recipe_of(optim.AdamW(0.01))
    run = tw.train(problem, recipe, 2)
    together = tw.train(problem, recipe, 2, start={"a": run.at(6), "b": run.at(0)}, paired=True, plan=plan)
    for arm in ("a", "b"):
        assert torch.allclose(together.final.theta[together.select(arm=arm)], run.final.theta, rtol=0, atol=1e-12)


def test_arms_of_one_seed_see_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.training.loop import Group

    seen: list[Tensor] = []
    inner = Group.gradient

    def noting(group: Group, step: int, out: Tensor, audit: int | None) -> Tensor:
        seen.append(group.order.indices(step))
        return inner(group, step, out, audit)

    monkeypatch.setattr(Group, "gradient", noting)
    problem = MLP.problem()
    recipe = recipe_of(optim.SGD(0.1))
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
    run = tw.train(problem, recipe_of(optim.SGD(0.1)), 3)
    recipe = recipe_of(optim.SGD(tw.sweep.values([0.1, 0.2])))
    fork = tw.train(problem, recipe, [7, 8], start={"few": run.at(4)[[0, 2]], "one": run.at(4)[1]})
    rows = list(zip(*(fork.axes[name].tolist() for name in ("arm", "lr", "start_member", "seed")), strict=True))
    few, one = [(0, 7), (0, 8), (1, 7), (1, 8)], [(0, 7), (0, 8)]
    assert rows == [("few", rate, *of) for rate in (0.1, 0.2) for of in few] + [
        ("one", rate, *of) for rate in (0.1, 0.2) for of in one
    ]
    began = [0, 0, 2, 2] * 2 + [1, 1] * 2
    assert np.allclose(fork.history["train_loss"][0], run.history["train_loss"][1][began], atol=1e-6)
    assert set(fork.history.table().columns["arm"]) == {"few", "one"}
    assert fork.history.figure("train_loss", by="arm").panels[0].marks[0].label == "arm = few"


def test_an_arm_may_be_initialized_by_seed() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
    whole = tw.train(problem, recipe, 2, plan="looped")
    run = tw.train(problem, recipe, 2, start={"new": None, "rewound": whole.at(9)}, paired=True, plan="looped")
    assert torch.equal(run.final.theta, torch.cat([whole.final.theta] * 2))


def test_a_fork_resumes_and_is_stored_with_its_beginning(tmp_path: Any) -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
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
    assert_same_from(4, other, tw.train(problem, recipe, [7, 8], start=run.at(4), paired=True, plan="looped"))
    moved = {"early": run.at(4), "late": run.at(9)}  # the same weights with moments are another run
    kept = tw.train(problem, recipe, [7, 8], start=moved, paired=True, plan="looped", store=tmp_path)
    assert not torch.equal(kept.final.theta[2:], whole.final.theta[2:])


def test_members_that_are_not_finite_where_they_begin_are_frozen_there() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
    run = tw.train(problem, recipe, 2)
    broken = run.snapshots[6]
    broken = broken.with_theta(torch.where(torch.tensor([[True], [False]]), torch.nan, broken.theta))
    arms = {"whole": run.at(0), "broken": replace(run.at(6), population=broken)}
    fork = tw.train(problem, recipe, 2, start=arms, paired=True)
    assert fork.diverged_at.tolist() == [-1, -1, 6, -1]
    assert torch.isfinite(fork.final.theta[[0, 1, 3]]).all()


def test_snapshots_before_a_member_begins_are_not_there() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Adam(0.01))
    run = tw.train(problem, recipe, 2)
    fork = tw.train(problem, recipe, 2, start={"early": run.at(0), "late": run.at(6)}, paired=True)
    assert fork.snapshots[4].theta[2:].isnan().all()
    assert torch.isfinite(fork.snapshots[6].theta).all()
    with pytest.raises(UsageError, match=r"Members \[2, 3\] begin after step 4; write run.at\(4, members="):
        fork.at(4)
    assert torch.isfinite(fork.at(4, members=[0, 1]).population.theta).all()


def test_averages_of_members_that_stop_where_they_begin_are_there() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Averaged(optim.SGD(0.1)))
    run = tw.train(problem, recipe, 2)
    far = run.snapshots[6].with_theta(run.snapshots[6].theta.clone())
    far.theta[0, 0] = torch.inf
    fork = tw.train(problem, recipe, 2, start=replace(run.at(6), population=far), paired=True)
    assert fork.diverged_at.tolist() == [6, -1]
    assert torch.equal(fork.averaged(problem).theta[0], far.theta[0])
    assert torch.equal(fork.averaged(problem).theta[1], run.averaged(problem).theta[1])


def test_arms_that_have_not_begun() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.Averaged(optim.SGD(0.1)))
    run = tw.train(problem, recipe, 2)
    late = replace(run.at(9), state=None)
    fork = tw.train(problem, recipe, 2, start={"early": run.at(0), "late": late}, paired=True, until=6)
    assert torch.equal(fork.averaged(problem).theta[2:], run.snapshots[9].theta)
    with pytest.raises(UsageError, match=r"Members \[3\] begin after step 4"):
        fork.at(4, members=[-1])
    assert len(fork.at(4, members=slice(0, 2))) == 2
    for start in (late, run.at(9)):
        half = tw.train(problem, recipe, 2, start={"early": run.at(0), "late": start}, paired=True, until=6)
        with pytest.raises(UsageError, match="needs members that have begun, with moments of one age"):
            tw.tuning.effective_rates(problem, half)
    plane = tw.train(
        problem, replace(recipe, snapshot=(0, 4, 6, 9, 10, 12)), 2, start={"a": run.at(0), "b": late}, paired=True
    )
    drawn = tw.landscape.trajectory_plane(problem, plane, members=3, resolution=3)
    assert drawn.reading.coordinates["step"].tolist() == [9, 10, 12]


def test_members_of_one_arm_are_neighbors_in_a_sweep() -> None:
    """They begin together, so that their gradients are taken together."""
    problem = MLP.problem()
    recipe = recipe_of(optim.SGD(tw.sweep.values([0.1, 0.2])), batch_size=tw.sweep.values([4, 6]))
    run = tw.train(problem, recipe_of(optim.SGD(0.1)), 2, plan="looped")
    starts = {"a": replace(run.at(4), order=None), "b": Start(run.final)}
    fork = tw.train(problem, recipe, 2, start=starts, paired=True, plan="looped")
    assert fork.axes["batch_size"].tolist() == [4.0] * 8 + [6.0] * 8
    assert fork.axes["arm"].tolist() == (["a"] * 4 + ["b"] * 4) * 2
    alone = tw.train(problem, recipe, 2, start=starts["a"], paired=True, plan="looped")
    assert_same_from(4, alone, fork, fork.select(arm="a"))
