"""Weight decay alone, and where it comes to rest against a gradient."""

import math

import pytest
import torch
from optim.quadratic import column, follow, hyper
from torch import Tensor

from thalweg.optim import SGD, Adam, AdamW, Momentum, Rule, StepHyperparameters, Updater
from thalweg.schedules import Cosine

START = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.1, -1.0]], dtype=torch.float64)


def _nothing(theta: Tensor, _: int) -> Tensor:
    return torch.zeros_like(theta)


def _scheduled(rule: Rule, gradient: Tensor, steps: int) -> Tensor:
    """theta after all steps of a cosine schedule."""
    theta, schedule = START.clone(), Cosine(warmup=5)
    updater = Updater(rule, theta)
    for step in range(1, steps + 1):
        multiplier = float(schedule(step, steps))
        numbers = rule.hyper_parameters() | {"schedule": multiplier}
        updater.step(gradient.clone(), StepHyperparameters(numbers | {"lr": numbers["lr"] * multiplier}, step))
    return theta


def _multipliers(steps: int) -> list[float]:
    return [min(1, t / 5) * 0.5 * (1 + math.cos(math.pi * max(0, t - 5) / (steps - 5))) for t in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("decay", "factor"),
    [
        ("lr_coupled", lambda s: 1 - 0.1 * s * 0.3),
        ("schedule_coupled", lambda s: 1 - s * 0.3),
        ("constant", lambda s: 1 - 0.3),
    ],
)
def test_without_a_gradient_theta_shrinks_by_the_product(decay: str, factor: object) -> None:
    for rule in (AdamW(0.1, weight_decay=0.3, decay=decay), Momentum(0.1, weight_decay=0.3, decay=decay)):
        got = _scheduled(rule, torch.zeros_like(START), 40)
        shrunk = math.prod(factor(s) for s in _multipliers(40))
        torch.testing.assert_close(got, START * shrunk, rtol=1e-12, atol=0)


def test_without_a_gradient_l2_under_adam_shrinks_by_the_rate_and_not_by_a_share() -> None:
    start = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    path = follow(Adam(1e-3, weight_decay=0.5), start, _nothing, 300)
    moved = start - path[-1]
    torch.testing.assert_close(moved, torch.full_like(moved, 0.3), rtol=0.15, atol=0)
    assert float(moved.max() / moved.min()) < 1.2


def test_the_lectures_decay_halves_weights_in_69_steps_and_torchs_in_69_thousand() -> None:
    lecture = follow(AdamW(1e-3, weight_decay=0.01, decay="constant"), START, _nothing, 69)
    assert (lecture[68].abs() > START.abs() / 2).all()
    assert (lecture[69].abs() < START.abs() / 2).all()
    torchs = follow(AdamW(1e-3, weight_decay=0.01), START, _nothing, 1)[1]
    share = float(torchs[0, 0] / START[0, 0])
    assert math.log(0.5) / math.log(share) == pytest.approx(69_315, abs=1)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_against_a_constant_sign_lr_coupled_decay_rests_at_one_over_decay_whatever_the_rate(sign: float) -> None:
    rates, gradient = column([0.1, 0.3, 0.9]), torch.full((3, 1), 5 * sign, dtype=torch.float64)
    rule = AdamW(0.1, eps=0.0, weight_decay=0.5)
    final = follow(rule, torch.zeros(3, 1), lambda *_: gradient, 1_000, lr=rates)[-1]
    torch.testing.assert_close(final, torch.full_like(final, -sign / 0.5), rtol=1e-10, atol=0)


@pytest.mark.parametrize("decay", ["constant", "schedule_coupled"])
def test_against_a_constant_sign_the_papers_decay_rests_at_rate_over_decay(decay: str) -> None:
    rates, gradient = column([0.1, 0.3, 0.9]), torch.full((3, 1), 5.0, dtype=torch.float64)
    rule = AdamW(0.1, eps=0.0, weight_decay=0.05, decay=decay)
    final = follow(rule, torch.zeros(3, 1), lambda *_: gradient, 1_000, lr=rates)[-1]
    torch.testing.assert_close(final, -rates / 0.05, rtol=1e-10, atol=0)


def test_for_plain_descent_coupled_and_decoupled_decay_are_one() -> None:
    curvature = torch.tensor([[0.3, 1.0, 0.7]], dtype=torch.float64)
    gradient = lambda theta, _: curvature * torch.sin(theta)  # noqa: E731
    l2 = follow(SGD(0.1, weight_decay=0.2), START, gradient, 60)[-1]
    coupled = follow(SGD(0.1, weight_decay=0.2, decay="lr_coupled"), START, gradient, 60)[-1]
    constant = follow(SGD(0.1, weight_decay=0.02, decay="constant"), START, gradient, 60)[-1]
    torch.testing.assert_close(coupled, l2, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(constant, l2, rtol=1e-12, atol=1e-14)
    heavy = [follow(Momentum(0.1, weight_decay=0.2, decay=d), START, gradient, 60)[-1] for d in ("l2", "lr_coupled")]
    assert (heavy[0] - heavy[1]).abs().max() > 1e-3


def test_the_papers_decay_is_torchs_times_the_base_rate() -> None:
    gradient = torch.tensor([[1.0, -0.3, 2.0], [0.1, 0.2, -1.0]], dtype=torch.float64)
    paper = _scheduled(AdamW(0.02, weight_decay=0.02 * 0.4, decay="schedule_coupled"), gradient, 50)
    torchs = _scheduled(AdamW(0.02, weight_decay=0.4), gradient, 50)
    torch.testing.assert_close(paper, torchs, rtol=1e-13, atol=0)


def test_a_member_with_no_decay_beside_one_with_decay() -> None:
    rule = AdamW(0.1)
    theta = START.clone()
    Updater(rule, theta).step(torch.zeros_like(theta), hyper(rule, 1, weight_decay=column([0.0, 0.5])))
    torch.testing.assert_close(theta, START * column([1.0, 0.95]), rtol=1e-14, atol=0)
