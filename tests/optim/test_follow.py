"""Rules on functions of one's own, against closed forms."""

import numpy as np
import pytest
import torch

from thalweg.errors import UsageError
from thalweg.optim import SGD, AdamW, Momentum, Nesterov, follow


def test_gradient_descent_on_a_quadratic_multiplies_by_one_minus_rate_times_curvature():
    curvature = torch.tensor([0.5, 3.0], dtype=torch.float64)
    rates = torch.tensor([[0.1], [0.3]], dtype=torch.float64)
    start = torch.tensor([[1.0, -2.0], [3.0, 1.0]], dtype=torch.float64)
    path = follow(SGD(1.0), lambda theta: curvature * theta, start, 7, numbers={"lr": rates})
    powers = (1 - rates * curvature) ** torch.arange(8)[:, None, None]
    torch.testing.assert_close(path, start * powers)
    assert start.tolist() == [[1.0, -2.0], [3.0, 1.0]]


def test_nesterovs_gradient_is_taken_at_the_point_ahead():
    seen = []

    def gradient(theta):
        seen.append(theta.clone())
        return torch.ones_like(theta)

    path = follow(Nesterov(0.1, beta=0.5), gradient, torch.zeros(1, 1, dtype=torch.float64), 3)
    velocities = (path[:-1] - path[1:]) / 0.1
    np.testing.assert_allclose(velocities.flatten(), [1, 1.5, 1.75])
    for step in (1, 2):
        torch.testing.assert_close(seen[step], path[step] - 0.1 * 0.5 * velocities[step - 1])


def test_without_momentum_the_points_are_those_of_gradient_descent():
    start = torch.ones(1, 3, dtype=torch.float64)
    plain, heavy = (follow(rule, torch.sin, start, 20) for rule in (SGD(0.1), Momentum(0.1, beta=0.0)))
    torch.testing.assert_close(plain, heavy, rtol=1e-14, atol=0)


def test_a_schedule_multiplies_what_follows_it():
    start = torch.ones(1, 1, dtype=torch.float64)
    rule = AdamW(0.1, weight_decay=0.2, decay="schedule_coupled")
    path = follow(rule, torch.zeros_like, start, 1, numbers={"schedule": 0.5})
    assert path[1].item() == pytest.approx(1 - 0.5 * 0.2)


@pytest.mark.parametrize(("shape", "steps"), [((3,), 5), ((1, 3), 0)])
def test_what_cannot_be_followed_is_refused(shape, steps):
    with pytest.raises(UsageError, match="members, parameters"):
        follow(SGD(0.1), torch.zeros_like, torch.zeros(shape), steps)
