"""Restarts against torch, optax, timm's formula and a loop over cycles."""

import math
from typing import Any

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedules.values import close, torch_values, values
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from thalweg.errors import UsageError
from thalweg.schedules import Cosine, Linear, Restarts

COUNT = 200


@pytest.mark.parametrize(("period", "growth", "low"), [(10, 1, 0.0), (7, 2, 0.0), (5, 3, 0.1), (1, 2, 0.0)])
def test_as_torch_has_them(period: int, growth: int, low: float) -> None:
    wanted = torch_values(lambda o: CosineAnnealingWarmRestarts(o, period, growth, eta_min=low), COUNT)
    close(values(Restarts(period, growth, final=low, shape=Cosine().from_zero()), COUNT), wanted)


def test_as_optax_has_them_with_a_warmup_in_every_cycle() -> None:
    cycles = [
        {"init_value": 0.0, "peak_value": 0.5**i, "warmup_steps": 4, "decay_steps": 20 * 2**i, "end_value": 0.0}
        for i in range(4)
    ]
    with jax.enable_x64(True):
        peer = optax.sgdr_schedule(cycles)
        wanted = [float(peer(np.float64(step))) for step in range(COUNT)]
    close(values(Restarts(20, 2, 0.5, shape=Cosine(warmup=4).from_zero()), COUNT), wanted)


def _timm(step: int, period: int, growth: float, peak: float, low: float) -> float:
    """The rate of timm's CosineLRScheduler for a base of 1: cycle_mul is growth, cycle_decay is peak."""
    cycle, begin = 0, 0.0
    while step >= begin + period * growth**cycle:
        begin += period * growth**cycle
        cycle += 1
    share = (step - begin) / (period * growth**cycle)
    return low + (peak**cycle - low) * math.cos(math.pi * share / 2) ** 2


@pytest.mark.parametrize(("growth", "peak", "low"), [(1, 0.5, 0.01), (2, 0.7, 0.0), (2, 0.5, 0.02)])
def test_as_timm_has_them(growth: int, peak: float, low: float) -> None:
    got = values(Restarts(12, growth, peak, low, Cosine().from_zero()), 150)
    close(got, [_timm(t, 12, growth, peak, low) for t in range(150)])


@given(st.integers(1, 20), st.sampled_from([1, 1.5, 2, 3, 1.1]), st.floats(0.3, 1), st.floats(0, 0.1))
def test_a_loop_over_cycles(period: int, growth: float, peak: float, low: float) -> None:
    wanted, start, length, top = [], 0.0, float(period), 1.0
    for t in range(1, COUNT + 1):
        while t > start + length + 1e-9:
            start, length, top = start + length, length * growth, top * peak
        wanted.append(low + 0.5 * (top - low) * (1 + math.cos(math.pi * (t - start) / length)))
    np.testing.assert_allclose(values(Restarts(period, growth, peak, low), COUNT), wanted, rtol=1e-9, atol=1e-9)


def test_cycles_of_one_length_are_a_repetition() -> None:
    for shape in (Cosine(), Linear(0.2, 0.9), Cosine(warmup=3, final=0.2).from_zero()):
        close(values(Restarts(15, shape=shape), COUNT), values(shape.repeated(15), COUNT))


def test_fractional_cycles_end_on_the_last_step() -> None:
    for growth in (1, 2, 1.5):
        for steps in range(1, 301):
            for count in range(1, 7):
                parts = sum(growth**i for i in range(count))
                if steps >= parts:
                    assert abs(float(Restarts(steps / parts, growth, shape=Linear())(steps, steps))) < 1e-9


def test_a_cycle_ends_on_its_lowest_rate_and_the_next_starts_high() -> None:
    schedule: Any = Restarts(10, 2, 0.5, 0.05)
    assert [float(schedule(t, 70)) for t in (10, 30, 70)] == pytest.approx([0.05] * 3, abs=1e-15)
    assert float(schedule(11, 70)) == pytest.approx(0.05 + 0.45 * 0.5 * (1 + math.cos(math.pi / 20)))


def test_one_value_a_member_is_each_value_alone() -> None:
    period, growth, peak = np.array([5, 8, 20]), np.array([1, 2, 1.5]), np.array([1.0, 0.5, 0.9])
    for step in (1, 5, 6, 24, 25, 57, 200):
        alone = [float(Restarts(*one)(step, 100)) for one in zip(period, growth, peak, strict=True)]
        close(Restarts(period, growth, peak)(step, 100), alone)


def test_numbers_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match=r"growth must be at least 1; got 0.5"):
        Restarts(10, 0.5)
    with pytest.raises(UsageError, match="shape must be a schedule"):
        Restarts(10, shape="cosine")  # type: ignore[arg-type]
