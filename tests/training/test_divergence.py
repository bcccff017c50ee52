"""A member that stops being finite is frozen and reported; nobody else notices."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE

import thalweg as tw
from thalweg import optim, sweep
from thalweg.population import Plan

PLANS = [Plan("stacked", 0), Plan("stacked", 2), Plan("looped", 1)]
over_plans = pytest.mark.parametrize("plan", PLANS, ids=["stacked", "chunked", "looped"])


def _run(rule: Any, rates: list[float], plan: Plan, name: str = "mlp", **options: Any) -> tw.Run:
    recipe = tw.Recipe(rule(lr=sweep.values(rates)), 12, **({"batch_size": 6, "evaluate": 6} | options))
    return tw.train(CASE[name].problem(), recipe, [0, 1], plan=plan)


@over_plans
@pytest.mark.parametrize("rule", [optim.SGD, optim.Momentum, optim.Nesterov, optim.RMSprop, optim.AdamW])
@pytest.mark.parametrize("name", ["mlp", "batchnorm"])
def test_the_others_go_on_with_the_same_bits(rule: Any, name: str, plan: Plan) -> None:
    healthy = _run(rule, [0.05, 0.1, 0.2], plan, name)
    sick = _run(rule, [0.05, 3e38, 0.2], plan, name)
    others = [0, 1, 4, 5]
    assert (healthy.diverged_at == -1).all()
    assert (sick.diverged_at[others] == -1).all()
    assert (sick.diverged_at[[2, 3]] > 0).all()
    assert torch.equal(sick.final.theta[others], healthy.final.theta[others])
    for slot, matrix in healthy.state.slots.items():
        assert torch.equal(sick.state.slots[slot][others], matrix[others])
    for buffer, values in healthy.final.buffers.items():
        assert torch.equal(sick.final.buffers[buffer][others], values[others])
    for metric in healthy.history.metrics:
        assert np.array_equal(sick.history[metric][:, others], healthy.history[metric][:, others])
    assert np.array_equal(sick.history.batch_loss[:, others], healthy.history.batch_loss[:, others])


@over_plans
def test_a_clipped_population_is_as_separate(plan: Plan) -> None:
    healthy = _run(optim.SGD, [0.05, 0.1], plan, clip_norm=0.5)
    problem = CASE["mlp"].problem()
    start = problem.initialize([0, 1, 0, 1])
    start.theta[3, 0] = torch.nan
    recipe = tw.Recipe(optim.SGD(sweep.values([0.05, 0.1])), 12, batch_size=6, evaluate=6, clip_norm=0.5)
    sick = tw.train(problem, recipe, [0, 1], start=start, plan=plan, paired=True)
    assert sick.diverged_at.tolist() == [-1, -1, -1, 0]
    assert torch.equal(sick.final.theta[:3], healthy.final.theta[:3])


@over_plans
def test_a_member_stops_at_its_last_theta_with_a_finite_gradient(plan: Plan) -> None:
    sick = _run(optim.SGD, [0.05, 3e38], plan)
    for member in (2, 3):
        step = int(sick.diverged_at[member])  # the step whose loss or gradient was not finite
        shorter = tw.train(
            CASE["mlp"].problem(),
            tw.Recipe(optim.SGD(sweep.values([0.05, 3e38])), 12, batch_size=6, evaluate=6),
            [0, 1],
            plan=plan,
            until=step - 1,
        )
        assert shorter.diverged_at[member] == -1
        assert torch.equal(shorter.final.theta[member], sick.final.theta[member])
        losses = sick.history.batch_loss[:, member]
        assert np.isnan(losses[step - 1 :]).all()
        assert not np.isnan(losses[: step - 1]).any()
        after = sick.history.steps >= step
        assert np.isnan(sick.history["train_loss"][after, member]).all()


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_start_that_is_not_finite_is_reported_as_such(value: float) -> None:
    problem = CASE["mlp"].problem()
    start = problem.initialize(3)
    start.theta[1, 5] = value  # infinity saturates a tanh: loss and gradient stay finite
    run = tw.train(problem, tw.Recipe(optim.AdamW(0.1), 4, batch_size=6), 3, start=start, paired=True)
    assert run.diverged_at.tolist() == [-1, 0, -1]
    assert run.final.theta[1].isfinite().sum() == problem.layout.parameters - 1
    assert np.isnan(run.history["train_loss"][:, 1]).all()


def test_a_theta_that_overflows_in_the_last_step_is_reported() -> None:
    recipe = tw.Recipe(optim.SGD(sweep.values([0.1, 3e38])), 1)
    run = tw.train(CASE["logits"].problem(model=Steep), recipe)
    assert run.diverged_at.tolist() == [-1, 1]
    assert np.isnan(run.history.final("train_loss")).tolist() == [False, True]


class Steep(torch.nn.Linear):
    """Its first gradient is of the order of a thousand."""

    def __init__(self) -> None:
        super().__init__(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(1000 * x).squeeze(1)


@over_plans
def test_when_all_diverge_the_run_still_ends(plan: Plan) -> None:
    run = _run(optim.SGD, [3e38], plan)
    assert (run.diverged_at > 0).all()
    assert run.step == 12
    assert np.isnan(run.history.final("train_loss")).all()


@over_plans
def test_divergence_is_remembered_by_a_resumed_run(plan: Plan) -> None:
    whole = _run(optim.Momentum, [0.05, 3e38], plan)
    problem = CASE["mlp"].problem()
    half = tw.train(problem, whole.recipe, [0, 1], plan=plan, until=6)
    rest = tw.train(problem, whole.recipe, [0, 1], resume=half)
    assert np.array_equal(rest.diverged_at, whole.diverged_at)
    assert torch.equal(rest.final.theta, whole.final.theta)
    assert np.array_equal(rest.history["train_loss"], whole.history["train_loss"], equal_nan=True)
