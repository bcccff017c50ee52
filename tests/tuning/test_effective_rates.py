"""The step a run would take next, against the step it takes."""

import numpy as np
import pytest
import torch
from curvature.planted import of_matrix, quadratic
from torch import nn

import thalweg as tw
from thalweg import optim, sweep, tuning
from thalweg.errors import UsageError
from thalweg.schedules import Cosine

X = torch.randn(60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


def _problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (X, Y), dtype=torch.float64)


@pytest.mark.parametrize(
    "rule",
    [
        optim.SGD(sweep.values([0.1, 0.5])),
        optim.AdamW(sweep.values([1e-3, 1e-2])),
        optim.Averaged(optim.Adam(sweep.values([1e-3, 1e-2])), 0.9),
        optim.Muon(fallback=optim.AdamW(sweep.values([1e-3, 1e-2]))),
    ],
    ids=["SGD", "AdamW", "around Adam", "Muon"],
)
def test_it_is_the_step_that_the_run_takes_next(rule: optim.Rule) -> None:
    recipe = tw.Recipe(rule, 10, schedule=Cosine())
    problem = _problem()
    before = tw.train(problem, recipe, [3, 0], until=6)
    state = {name: tensor.clone() for name, tensor in before.state.slots.items()}
    reading = tuning.effective_rates(problem, before, examples=60)
    for name, tensor in before.state.slots.items():
        assert torch.equal(tensor, state[name])
    after = tw.train(problem, recipe, [3, 0], resume=before, until=7)
    step = after.final.theta - before.final.theta
    for column, entry in enumerate(problem.layout):
        part = step[:, entry.columns]
        share = part.norm(dim=1) / before.final.theta[:, entry.columns].norm(dim=1)
        np.testing.assert_allclose(reading["update / weight"][:, column], share.numpy(), rtol=1e-8)
        slopes = []
        for member in range(4):
            module = before.final.module(member)
            loss = nn.functional.cross_entropy(module(X), Y)
            slopes.append(torch.autograd.grad(loss, dict(module.named_parameters())[entry.name])[0].flatten())
        cosine = nn.functional.cosine_similarity(part, -torch.stack(slopes), dim=1)
        np.testing.assert_allclose(reading["cosine of step and descent"][:, column], cosine.numpy(), atol=1e-8)


def test_gradient_descent_goes_straight_down() -> None:
    problem = _problem()
    plain = tuning.effective_rates(problem, tw.train(problem, tw.Recipe(optim.SGD(0.1), 5), 2, until=2))
    np.testing.assert_allclose(plain["cosine of step and descent"], 1, rtol=1e-9)
    assert "rate" not in plain.arrays


def test_rates_and_signal_are_those_of_the_moments_that_the_step_uses() -> None:
    problem, recipe = _problem(), tw.Recipe(optim.Adam(0.01), 5)
    reading = tuning.effective_rates(problem, tw.train(problem, recipe, 2, until=1), examples=60)
    after = tw.train(problem, recipe, 2, until=2).state.slots
    m, v = after["first_moment"] / (1 - 0.9**2), after["second_moment"] / (1 - 0.999**2)
    for column, entry in enumerate(problem.layout):
        rate = 0.01 / (v[:, entry.columns].sqrt() + 1e-8)
        for index, share in enumerate((0.1, 0.5, 0.9)):
            expected = np.quantile(rate.numpy(), share, axis=1)
            np.testing.assert_allclose(reading["rate"][:, column, index], expected, rtol=1e-9)
        signal = (m**2 / v)[:, entry.columns].median(dim=1).values
        np.testing.assert_allclose(reading["signal to noise"][:, column], signal.numpy(), rtol=1e-9)


SHARPNESS = "largest eigenvalue / stability limit"


def test_curvature_is_seen_against_the_limit_of_every_member() -> None:
    problem = quadratic(np.array([-9.0, 0.5, 1.0, 4.0]))
    rates = [0.3, 0.45, 0.55]
    for rule, limits in (
        (optim.SGD(sweep.values(rates)), [2 / lr for lr in rates]),
        (optim.Momentum(sweep.values(rates), 0.5), [3 / lr for lr in rates]),
        (optim.Averaged(optim.SGD(sweep.values(rates), weight_decay=0.1)), [2 / lr - 0.1 for lr in rates]),
    ):
        run = tw.train(problem, tw.Recipe(rule, 9), 1, until=1)
        reading = tuning.effective_rates(problem, run)
        np.testing.assert_allclose(reading[SHARPNESS], 4 / np.array(limits), rtol=1e-4)
        assert reading.dims[SHARPNESS] == ("member",)
        assert reading.cost.hvps > 0


def test_a_schedule_moves_the_limit() -> None:
    problem = quadratic(np.array([1.0, 4.0]))
    recipe = tw.Recipe(optim.SGD(0.1), 4, schedule=tw.schedules.Linear())
    for done in (1, 3):
        reading = tuning.effective_rates(problem, tw.train(problem, recipe, 1, until=done))
        rate = 0.1 * float(recipe.schedule(done + 1, 4))
        assert reading[SHARPNESS][0] == pytest.approx(4 * rate / 2, rel=1e-6)


@pytest.mark.parametrize(
    "rule", [optim.AdamW(0.01, beta1=0.8, eps=1e-3), optim.RMSprop(0.01)], ids=["AdamW", "RMSprop"]
)
def test_adaptive_rules_see_the_matrix_that_is_preconditioned_as_their_step_is(rule: optim.Rule) -> None:
    matrix = torch.tensor([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]], dtype=torch.float64)
    problem = of_matrix(matrix)
    run = tw.train(problem, tw.Recipe(rule, 9), 1, until=3)
    following = tw.train(problem, tw.Recipe(rule, 9), 1, resume=run, until=4)
    move = run.final.theta * (1 - 0.01 * rule.weight_decay) - following.final.theta
    moved = following.state.slots["first_moment"] if rule.slots[0] == "first_moment" else run.final.theta @ matrix
    divisor = (0.01 * moved / move)[0]  # theta moves by -lr m / P
    balanced = divisor.rsqrt()[:, None] * matrix * divisor.rsqrt()
    limit = (2 - 0.01 * rule.weight_decay) / 0.01 * (1.8 / 0.2 if isinstance(rule, optim.Adam) else 1)
    wanted = float(torch.linalg.eigvalsh(balanced)[-1]) / limit
    assert tuning.effective_rates(problem, run)[SHARPNESS][0] == pytest.approx(wanted, rel=1e-6)


def test_rules_without_a_limit_have_no_such_ratio() -> None:
    problem = _problem()
    run = tw.train(problem, tw.Recipe(optim.Lion(0.1), 3), 1, until=1)
    assert SHARPNESS not in tuning.effective_rates(problem, run).arrays


def test_a_rule_that_looks_ahead_is_refused() -> None:
    problem = _problem()
    run = tw.train(problem, tw.Recipe(optim.Nesterov(0.1), 3), 1, until=1)
    with pytest.raises(UsageError, match="looks ahead"):
        tuning.effective_rates(problem, run)
