"""Rates, stability limits, noise and first steps against their closed forms."""

import math

import numpy as np
import pytest
import torch
from optim.quadratic import column, follow, spectral_radius
from torch import Tensor

from thalweg.optim import SGD, Adam, AdamW, Momentum, Nesterov, RMSprop, Rule

BETAS = [0.1, 0.5, 0.9, 0.99]
CONDITION = 100.0
MODES = np.geomspace(1, CONDITION, 9)


def test_heavy_ball_at_its_optimum_shrinks_every_mode_at_the_same_rate() -> None:
    root = math.sqrt(CONDITION)
    lr, rate = 4 / (root + 1) ** 2, (root - 1) / (root + 1)
    assert rate == pytest.approx(0.81818, abs=1e-5)
    got = spectral_radius(Momentum(lr, rate**2), MODES)
    np.testing.assert_allclose(got[1:-1], rate, rtol=1e-9)
    np.testing.assert_allclose(got, rate, rtol=1e-5)  # both ends are double roots, known to the root of rounding


@pytest.mark.parametrize("beta", BETAS)
def test_underdamped_modes_of_heavy_ball_shrink_at_the_root_of_beta(beta: float) -> None:
    low, high = (1 - math.sqrt(beta)) ** 2, (1 + math.sqrt(beta)) ** 2
    inside = low + (high - low) * np.array([0.1, 0.3, 0.5, 0.9])
    np.testing.assert_allclose(spectral_radius(Momentum(1.0, beta), inside), math.sqrt(beta), rtol=1e-8)
    outside = spectral_radius(Momentum(1.0, beta), [0.9 * low, (high + 2 * (1 + beta)) / 2])
    assert (outside > math.sqrt(beta) + 1e-6).all()


def test_nesterov_at_its_optimum() -> None:
    root = math.sqrt(CONDITION)
    got = spectral_radius(Nesterov(1 / CONDITION, (root - 1) / (root + 1)), MODES[:-1])
    assert got[0] == pytest.approx(1 - 1 / root, rel=1e-5)
    assert (got <= 1 - 1 / root + 1e-5).all()
    assert (got[1:] < got[0]).all()


def _limits() -> list[tuple[str, Rule, float]]:
    cases: list[tuple[str, Rule, float]] = [("sgd", SGD(1.0), 2.0)]
    for beta in BETAS:
        cases += [
            (f"heavy ball {beta}", Momentum(1.0, beta), 2 * (1 + beta)),
            (f"heavy ball, lr inside {beta}", Momentum(1.0, beta, form="lr_inside"), 2 * (1 + beta)),
            (f"heavy ball, ema {beta}", Momentum(1.0, beta, form="ema"), 2 * (1 + beta) / (1 - beta)),
            (f"nesterov {beta}", Nesterov(1.0, beta), 2 * (1 + beta) / (1 + 2 * beta)),
            (f"reformulated {beta}", Nesterov(1.0, beta, look="reformulated"), 2 * (1 + beta) / (1 + 2 * beta)),
            (f"full {beta}", Nesterov(1.0, beta, look="full"), 2 * (1 + beta) / 3),
            (f"full, ema {beta}", Nesterov(1.0, beta, look="full", form="ema"), 2 * (1 + beta) / 3 / (1 - beta)),
            (f"full, lr inside {beta}", Nesterov(1.0, beta, look="full", form="lr_inside"), 2 * (1 + beta) / 3),
        ]
    return cases


LIMITS = [pytest.param(rule, limit, id=name) for name, rule, limit in _limits()]


@pytest.mark.parametrize(("rule", "limit"), LIMITS)
def test_stability_ends_exactly_at_the_limit(rule: Rule, limit: float) -> None:
    around = limit * np.array([1 - 1e-4, 1 + 1e-4])
    if isinstance(rule, SGD):
        radii = np.array([abs(1 - x) for x in around])
        path = follow(rule, torch.ones(2, 1), lambda theta, _: column(around) * theta, 1)
        np.testing.assert_allclose(path[1].abs().flatten(), radii)
    else:
        radii = spectral_radius(rule, around)
    assert radii[0] < 1 < radii[1]


@pytest.mark.parametrize(("rule", "limit"), LIMITS)
def test_paths_shrink_below_the_limit_and_grow_above_it(rule: Rule, limit: float) -> None:
    h = column([0.97 * limit, 1.03 * limit])
    final = follow(rule, torch.ones(2, 1), lambda theta, _: h * theta, 2_000)[-1].abs().flatten()
    assert final[0] < 1e-3
    assert final[1] > 1e3 or not final[1].isfinite()


CHAINS = 40_000


def _sgd_variance(a: float) -> float:
    return a / (2 - a)


def _heavy_ball_variance(a: float, beta: float) -> float:
    return a * (1 + beta) / ((1 - beta) * (2 * (1 + beta) - a))


@pytest.mark.parametrize(
    ("rule", "h", "wanted"),
    [
        (SGD(0.5), 1.0, _sgd_variance(0.5)),
        (SGD(0.75), 2.0, _sgd_variance(1.5) / 4),  # with s = 1: eta/(h (2 - eta h)), which is a/(2 - a) / h^2
        (Momentum(0.5, 0.9), 1.0, _heavy_ball_variance(0.5, 0.9)),
        (Momentum(3.0, 0.9), 1.0, _heavy_ball_variance(3.0, 0.9)),
        (Momentum(0.4, 0.5), 2.0, _heavy_ball_variance(0.8, 0.5) / 4),
        (Momentum(1.0, 0.5, form="ema"), 1.0, _heavy_ball_variance(0.5, 0.5)),
    ],
)
def test_stationary_variance_under_gradient_noise(rule: Rule, h: float, wanted: float) -> None:
    draw = torch.Generator().manual_seed(11)
    start = torch.zeros(CHAINS, 1, dtype=torch.float64)

    def noisy(theta: Tensor, _: int) -> Tensor:
        return h * theta + torch.randn(CHAINS, 1, generator=draw, dtype=torch.float64)

    variance = float(follow(rule, start, noisy, 120)[-1].square().mean())
    z = (variance / wanted - 1) / math.sqrt(2 / CHAINS)  # mean of squares of normal variables
    assert abs(z) < 3.5


def _gradients(*shape: int) -> Tensor:
    draw = torch.Generator().manual_seed(4)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def test_adams_first_step_is_the_rate_in_every_entry() -> None:
    g = _gradients(5, 20) * 10.0 ** column([-3, -1, 0, 2, 4])
    path = follow(Adam(0.01), torch.zeros(5, 20), lambda *_: g, 1)
    torch.testing.assert_close(path[1], -0.01 * g / (g.abs() + 1e-8), rtol=1e-12, atol=0)
    exact = follow(Adam(0.01, eps=0.0), torch.zeros(5, 20), lambda *_: g, 1)
    torch.testing.assert_close(exact[1], -0.01 * g.sign(), rtol=1e-13, atol=0)


def test_adams_first_step_without_correction_is_three_times_the_rate() -> None:
    g = _gradients(3, 4)
    path = follow(Adam(0.01, eps=0.0, bias_correction=False), torch.zeros(3, 4), lambda *_: g, 1)
    factor = (1 - 0.9) / math.sqrt(1 - 0.999)
    assert factor == pytest.approx(3.1623, abs=1e-4)
    torch.testing.assert_close(path[1], -0.01 * factor * g.sign(), rtol=1e-11, atol=0)


def test_adam_under_a_constant_gradient_moves_by_the_rate_at_every_step() -> None:
    g = _gradients(3, 4)
    path = torch.stack(follow(Adam(0.01, eps=0.0), torch.zeros(3, 4), lambda *_: g, 300))
    torch.testing.assert_close(path.diff(dim=0), (-0.01 * g.sign()).expand(300, 3, 4), rtol=1e-10, atol=0)


@pytest.mark.parametrize("rule", [Adam(0.05, eps=0.0), AdamW(0.05, eps=0.0), RMSprop(0.05, eps=0.0)])
def test_the_path_does_not_know_the_scale_of_the_loss(rule: Rule) -> None:
    noise, start = _gradients(50, 3, 4), _gradients(3, 4)
    paths = [
        follow(rule, start, lambda theta, t, scale=scale: scale * (theta + noise[t - 1]), 50)[-1]
        for scale in (1.0, 2.0**12, 1e-5)
    ]
    assert torch.equal(paths[1], paths[0])  # a power of two is exact
    torch.testing.assert_close(paths[2], paths[0], rtol=1e-11, atol=0)


def test_adam_without_memory_is_sign_descent() -> None:
    noise = _gradients(20, 3, 4)
    path = torch.stack(follow(Adam(0.1, 0.0, 0.0, eps=0.0), torch.zeros(3, 4), lambda _, t: noise[t - 1], 20))
    torch.testing.assert_close(path.diff(dim=0), -0.1 * noise.sign(), rtol=1e-12, atol=1e-15)


def test_adams_steps_come_close_to_their_sharp_bound_and_never_pass_it() -> None:
    beta1, beta2 = 0.9, 0.999
    bound = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    assert bound == pytest.approx(7.27, abs=5e-3)
    growing = lambda theta, t: torch.full_like(theta, (beta2 / beta1) ** t)  # noqa: E731
    path = torch.cat(follow(Adam(1.0, eps=0.0), torch.zeros(1, 1), growing, 3_000)).flatten()
    steps = path.diff().abs()
    assert float(steps.max()) < bound
    assert float(steps[-1]) == pytest.approx(7.09, abs=5e-3)
    kingma = (1 - beta1) / math.sqrt(1 - beta2)
    assert float(steps[-1]) > 2 * kingma  # the paper's bound is that of a single gradient that is not zero


def test_rmsprops_first_step() -> None:
    g = _gradients(3, 4)
    alphas = column([0.9, 0.99, 0.5])
    path = follow(RMSprop(0.01, eps=0.0), torch.zeros(3, 4), lambda *_: g, 1, alpha=alphas)
    torch.testing.assert_close(path[1], -0.01 * g.sign() / (1 - alphas).sqrt(), rtol=1e-12, atol=0)


def test_eps_inside_the_root_has_a_floor_of_its_root() -> None:
    g = torch.full((1, 1), 1e-12, dtype=torch.float64)
    outside = follow(RMSprop(1.0, eps=1e-8), torch.zeros(1, 1), lambda *_: g, 1)[1]
    inside = follow(RMSprop(1.0, eps=1e-8, eps_inside=True), torch.zeros(1, 1), lambda *_: g, 1)[1]
    assert float(inside) == pytest.approx(-1e-12 / 1e-4, rel=1e-6)
    assert float(outside) == pytest.approx(-1e-12 / 1e-8, rel=1e-4)


def test_looking_ahead_equals_the_reformulation_after_a_change_of_variable() -> None:
    lr, beta = 0.07, 0.8
    curvatures, noise, start = _gradients(3, 5).abs() + 0.1, _gradients(100, 3, 5), _gradients(3, 5)
    gradient = lambda theta, t: curvatures * theta + torch.sin(2 * theta) + noise[t - 1]  # noqa: E731
    true = follow(Nesterov(lr, beta), start, gradient, 100)
    other = follow(Nesterov(lr, beta, look="reformulated"), start, gradient, 100)
    for step in range(1, 101):
        velocity = (true[step - 1] - true[step]) / lr
        torch.testing.assert_close(true[step] - lr * beta * velocity, other[step], rtol=1e-10, atol=1e-12)
    assert (true[-1] - other[-1]).abs().max() > 1e-3
