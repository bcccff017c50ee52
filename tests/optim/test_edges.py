"""Gradients so large or so small that squares leave the range of numbers, and members beside others."""

import copy

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg import optim, sweep
from thalweg.optim import StepHyperparameters, Updater
from thalweg.optim.inplace import norms
from thalweg.schedules import Constant, Cosine, Linear, Scheduled
from thalweg.training import MemberGrid

SECOND_MOMENTS = {
    optim.Adam: torch.optim.Adam,
    optim.NAdam: torch.optim.NAdam,
    optim.RMSprop: torch.optim.RMSprop,
    optim.AMSGrad: lambda p, lr: torch.optim.Adam(p, lr=lr, amsgrad=True),
}


@pytest.mark.parametrize("rule", SECOND_MOMENTS, ids=lambda rule: rule.__name__)
def test_large_gradients_whose_squares_would_overflow(rule: type[optim.Rule]) -> None:
    gradients = [torch.full((1, 3), size) for size in (4e19, 1e19, 3e18)]  # 4e19 squared is beyond float32
    parameter = nn.Parameter(torch.ones(3, dtype=torch.float64))
    theirs = SECOND_MOMENTS[rule]([parameter], lr=0.1)
    theta = torch.ones(1, 3)
    updater = Updater(rule(0.1), theta)
    for step, gradient in enumerate(gradients, start=1):
        parameter.grad = gradient[0].double()
        theirs.step()
        updater.step(gradient.clone(), MemberGrid(tw.Recipe(rule(0.1), 3), [0]).at(step))
    assert torch.allclose(theta[0].double(), parameter, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e-22, 1.0, 1e22, 1e30])
def test_norms_of_extreme_rows(size: float) -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [5.0, 12.0]]) * torch.tensor([[size], [1.0], [1.0]])
    assert torch.allclose(norms(rows), torch.tensor([[5 * size], [0.0], [13.0]]), rtol=1e-6, atol=0)


def test_a_clipped_gradient_has_its_direction_though_squares_overflow() -> None:
    x, y = torch.eye(2) * 1e20, torch.tensor([[1.0], [-1.0]])
    problem = tw.Problem(lambda: nn.Linear(2, 1, bias=False), (x, y), loss=lambda out, y: (out * y).sum(1))
    run = tw.train(problem, tw.Recipe(optim.SGD(1.0), 1, clip_norm=0.5))
    moved = run.final.theta - problem.initialize([0]).theta
    assert torch.allclose(moved, torch.tensor([[-1.0, 1.0]]) * 0.5 / 2**0.5, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-25, 1e25])
@pytest.mark.parametrize("adaptive", [False, True])
def test_the_step_up_has_its_length_whatever_the_gradients_is(size: float, adaptive: bool) -> None:
    theta, out = torch.tensor([[2.0, -1.0]]), torch.empty(1, 2)
    h = StepHyperparameters({"rho": 0.1, "lr": 1.0, "schedule": 1.0}, 1)
    optim.SAM(optim.SGD(1.0), adaptive=adaptive).ascend(theta, torch.tensor([[3.0, 4.0]]) * size, h, out)
    expected = torch.tensor([[3.0 * 4, 4.0]]) / 52**0.5 if adaptive else torch.tensor([[0.6, 0.8]])
    assert torch.allclose(out - theta, 0.1 * expected, rtol=1e-5)


def test_muon_stops_where_gradients_stop() -> None:
    """Momentum that decays towards the smallest numbers has no direction left but rounding."""
    layout = tw.population.Layout.of(tw.nets.mlp(3, 4, 4, 2))
    theta = torch.randn(1, layout.parameters, generator=torch.Generator().manual_seed(0))
    updater = Updater(optim.Muon(0.02), theta, layout=layout)
    at = MemberGrid(tw.Recipe(optim.Muon(0.02), 2_000), [0]).at
    draw = torch.Generator().manual_seed(1)
    for step in range(1, 1_206):
        if step == 700:
            middle = theta.clone()
        updater.step(torch.randn(theta.shape, generator=draw) if step <= 5 else torch.zeros_like(theta), at(step))
    hidden = layout["hidden2.weight"].columns
    assert (theta - middle)[:, hidden].abs().max() < 1e-6


RULES = [rule for rule in optim.RULES.values() if not rule.takes_tensors]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_member_beside_others_with_other_rates_is_the_member_alone(
    rule: type[optim.Rule], dtype: torch.dtype
) -> None:
    """To the last bits of the coefficients, which NumPy and Python may round apart in float64."""
    start = torch.randn(1, 53, dtype=dtype, generator=torch.Generator().manual_seed(0))
    recipe = tw.Recipe(rule(sweep.values([0.01, 0.3, 0.05]), weight_decay=0.1), 60)
    alone = tw.Recipe(rule(0.05, weight_decay=0.1), 60)
    found = []
    for one, members in ((recipe, 3), (alone, 1)):
        theta = start.repeat(members, 1)
        updater, grid = Updater(one.optimizer, theta), MemberGrid(one, [0])
        draw = torch.Generator().manual_seed(1)
        for step in range(1, 61):
            gradient = torch.randn(1, 53, dtype=dtype, generator=draw).repeat(members, 1)
            updater.step(gradient, grid.at(step))
        found.append(theta[-1])
    if dtype == torch.float32:
        assert torch.equal(*found)
    else:
        assert torch.allclose(*found, rtol=1e-13, atol=1e-15)


def test_decay_coupled_to_the_schedule_follows_all_that_multiplies_the_rate() -> None:
    halved = optim.AdamW(Scheduled(1e-2, Linear()), weight_decay=0.1, decay="schedule_coupled")
    plain = optim.AdamW(1e-2, weight_decay=0.1, decay="schedule_coupled")
    for step in (1, 5, 10):
        own = MemberGrid(tw.Recipe(halved, 10, schedule=Constant()), [0]).at(step)
        recipes = MemberGrid(tw.Recipe(plain, 10, schedule=Linear()), [0]).at(step)
        both = MemberGrid(tw.Recipe(halved, 10, schedule=Cosine()), [0]).at(step)
        assert own.schedule == recipes.schedule == pytest.approx(own.lr / 1e-2)
        assert both.schedule == pytest.approx(both.lr / 1e-2)
    inner = optim.AdamW(Scheduled(1e-2, Linear()), weight_decay=0.1, decay="schedule_coupled")
    h = MemberGrid(tw.Recipe(optim.Muon(0.02, fallback=inner), 10), [0]).at(6)
    assert h.schedule == 1.0
    assert h.under("fallback").schedule == pytest.approx(h.under("fallback").lr / 1e-2)
    assert h.under("fallback").schedule < 1


def test_nadams_product_follows_a_beta_that_is_scheduled() -> None:
    rule = optim.NAdam(0.1, beta1=Scheduled(0.9, Linear(final=0.5)))
    at = MemberGrid(tw.Recipe(rule, 6), [0]).at
    theta = torch.ones(1, 2, dtype=torch.float64)
    updater, product = Updater(rule, theta), 1.0
    for step in range(1, 7):
        h = at(step)
        product *= h.beta1 * (1 - 0.5 * 0.96 ** (step * 4e-3))
        updater.step(torch.ones_like(theta), h)
        assert updater.state["correction"].item() == pytest.approx(1 - product, rel=1e-14)


def test_values_are_copied() -> None:
    h = StepHyperparameters({"lr": 0.1, "schedule": 1.0}, 3)
    assert copy.deepcopy(h) == copy.copy(h) == h


@pytest.mark.parametrize("lr", [1e-300, 5e-324, 1e-12])
def test_decoupled_decay_by_the_kernel_at_vanishing_rates(lr: float) -> None:
    """Decay that does not follow the rate shrinks theta however small that is."""
    theta = torch.ones(1, 9_000, dtype=torch.float64)
    rule = optim.AdamW(lr, weight_decay=0.25, decay="constant")
    updater = Updater(rule, theta)
    assert updater.fused
    updater.step(torch.ones_like(theta), MemberGrid(tw.Recipe(rule, 1), [0]).at(1))
    assert torch.allclose(theta, torch.tensor(0.75, dtype=torch.float64), rtol=1e-11)
