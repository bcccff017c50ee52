"""Elementary shapes against torch's schedulers and optax."""

from typing import Any

import jax
import numpy as np
import optax
import pytest
from schedules.values import T, close, torch_values, values
from torch.optim import lr_scheduler as torchs

from thalweg.errors import UsageError
from thalweg.schedules import Exponential, Linear, Polynomial, Step


def _optax_values(schedule: Any, count: int) -> np.ndarray:
    with jax.enable_x64(True):
        return np.array([float(schedule(np.float64(step))) for step in range(count)])


@pytest.mark.parametrize(
    ("schedule", "build"),
    [
        (Linear(0.25, 1.0, 7).from_zero(), lambda o: torchs.LinearLR(o, 0.25, 1.0, 7)),
        (Linear(1.0, 0.1).from_zero(), lambda o: torchs.LinearLR(o, 1.0, 0.1, T)),
        (Polynomial(2.5, over=60).from_zero(), lambda o: torchs.PolynomialLR(o, 60, 2.5)),
        (Exponential(0.97).from_zero(), lambda o: torchs.ExponentialLR(o, 0.97)),
        (Step(30, 0.3), lambda o: torchs.StepLR(o, 30, 0.3)),
    ],
)
def test_as_torch_has_them(schedule: Any, build: Any) -> None:
    close(values(schedule, beyond=20), torch_values(build, T + 20))


@pytest.mark.parametrize(
    ("schedule", "peer"),
    [
        (Linear(0.2, 0.7, 33), optax.linear_schedule(0.2, 0.7, 33)),
        (Polynomial(3, 0.9, 0.1, 80), optax.polynomial_schedule(0.9, 0.1, 3, 80)),
        (Exponential(0.5, 20, 0.1), optax.exponential_decay(1.0, 20, 0.5, end_value=0.1)),
        (Step(20, 0.5), optax.exponential_decay(1.0, 20, 0.5, staircase=True)),
    ],
)
def test_as_optax_has_them(schedule: Any, peer: Any) -> None:
    counted = schedule if isinstance(schedule, Step) else schedule.from_zero()
    close(values(counted, beyond=20), _optax_values(peer, T + 20))


def test_a_polynomial_of_power_one_is_linear() -> None:
    close(values(Polynomial(1, 0.8, 0.1, 50)), values(Linear(0.8, 0.1, 50)))


@pytest.mark.parametrize("schedule", [Linear(), Linear(0.5, 0.2), Polynomial(2, final=0.3)])
def test_ends_are_met_and_held(schedule: Any) -> None:
    assert float(schedule(0, T)) == schedule.start
    assert [float(schedule(t, T)) for t in (T, T + 1, 5 * T)] == pytest.approx([schedule.final] * 3, abs=1e-15)


def test_numbers_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="factor must be at least 0; got -1"):
        Exponential(-1)
    with pytest.raises(UsageError, match="every must be at least 1; got 0"):
        Step(0)
    with pytest.raises(UsageError, match="power is a number or a sweep; got 'two'"):
        Polynomial("two")
    with pytest.raises(UsageError, match="over must be at least 0; got inf"):
        Linear(over=float("inf"))
