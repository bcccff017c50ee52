"""The corrections of the lecture: complete, and true where they can be computed."""

import math

import numpy as np
import pytest
import torch

from thalweg.optim import Adam, Momentum, follow
from thalweg.studies import catalog
from thalweg.studies.errata import CORRECTIONS

WHY = {one.id: f"{one.right} {one.why}" for one in CORRECTIONS}


def test_corrections_are_whole():
    assert len(WHY) == len(CORRECTIONS)
    assert all(one.section and one.lecture and one.right and one.why and one.source for one in CORRECTIONS)


def test_what_a_claim_corrects_is_listed():
    listed = {claim for one in CORRECTIONS for claim in one.claims}
    correcting = {claim.id for study in catalog.studies() for claim in study.claims if claim.corrected}
    assert correcting - listed == set()
    assert {"OPT3", "SCH1", "LAN1"} <= correcting


def test_the_arithmetic_of_optimizers_and_schedules_is_right():
    assert f"{2 * 1.9 / 3:.3f}" in WHY["nesterov-look-ahead"]
    assert f"{2 * 1.9 / 2.8:.3f}" in WHY["nesterov-look-ahead"]
    assert f"about {512 // 32} times" in " ".join(WHY["nesterov-batch-sum"].split())
    assert f"{(1 - 0.9) / math.sqrt(1 - 0.999):.2f}" in WHY["adam-hats"]
    assert f"{math.ceil(math.log(0.5) / math.log(0.99))} steps" in WHY["adamw-rate"]
    assert f"{math.ceil(math.log(0.5) / math.log(1 - 1e-5)):,}" in WHY["adamw-rate"]
    jumps = 1 - (1 + np.cos(np.pi * np.array([0.1, 0.3]))) / 2
    assert all(f"{jump:.1%}".replace("%", " %") in WHY["cosine-counts-warmup"] for jump in jumps)
    assert f"{math.sqrt(4000):.0f} times" in WHY["inverse-square-root-exponents"]


@pytest.mark.parametrize(("gradient", "share"), [(1.0, 1.0), (1e-8, 0.5), (1e-10, 1 / 101)])
def test_the_first_step_of_adam_is_the_rate_only_where_the_gradient_is_far_above_epsilon(gradient, share):
    start = torch.zeros(1, 1, dtype=torch.float64)
    way = follow(Adam(1e-3, eps=1e-8), lambda theta: torch.full_like(theta, gradient), start, 1)
    assert float(-way[-1]) / 1e-3 == pytest.approx(share, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_a_step_with_rate_0_moves_nothing_and_enters_the_moments():
    theta = torch.ones(1, requires_grad=True)
    rule = torch.optim.Adam([theta], lr=0.0)
    theta.grad = torch.full((1,), 2.0)
    rule.step()
    assert float(theta.detach()) == 1
    assert float(rule.state[theta]["exp_avg"]) == pytest.approx(0.2)


def test_the_arithmetic_of_the_landscape_is_right():
    shares = 6 / np.pi**2 / np.array([1, 4])
    words = [f"{share:.0%}".replace("%", " %") for share in (*shares, shares.sum())]
    assert words == ["61 %", "15 %", "76 %"]
    assert all(word in WHY["pca-share-of-a-random-walk"] for word in words)
    spreads = [f"{math.sqrt(1 / (2 * d)):.2g}" for d in (100, 10_000)]
    assert spreads == ["0.071", "0.0071"]
    assert all(word in WHY["equidistant-if-random"] for word in ("7.1 % at", "0.71 % at"))


@pytest.mark.parametrize(("curvature", "ranks"), [([1.0, 1.0, 1.0], 1), ([1.0, 0.3, 0.1], 3)])
def test_descent_goes_straight_where_a_loss_is_equally_curved(curvature, ranks):
    start = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    path = follow(Momentum(0.1, 0.9), lambda theta: torch.tensor(curvature) * theta, start, 50)[:, 0].numpy()
    assert np.linalg.matrix_rank(path - path.mean(0), tol=1e-6) == ranks


def test_units_rescaled_scale_the_curvature_and_leave_the_loss():
    """Of (w2 relu(w1 x) - y)^2 / 2 at (a w1, w2 / a), by the first weight and by the second."""
    x, y, (w1, w2), a = 1.5, 0.3, (0.7, 1.1), 4.0

    def loss(w: torch.Tensor) -> torch.Tensor:
        return (w[1] * torch.relu(w[0] * x) - y) ** 2 / 2

    before, after = torch.tensor([w1, w2]), torch.tensor([a * w1, w2 / a])
    assert loss(after) == pytest.approx(float(loss(before)), rel=1e-4)
    curved, changed = (torch.autograd.functional.hessian(loss, at).diag() for at in (before, after))
    np.testing.assert_allclose(changed / curved, [1 / a**2, a**2], rtol=1e-4)
