"""WSD against the formula of transformers, and cooldowns that leave one run."""

import math
from typing import Any

import numpy as np
import pytest
from schedules.values import T, close, values

from thalweg.errors import UsageError
from thalweg.schedules import WSD, Constant, Linear

COOLDOWNS = ("linear", "one_minus_sqrt", "cosine", "exponential")


def _transformers(step: int, warmup: int, stable: int, decay: int, low: float, kind: str) -> float:
    """The multiplier of get_wsd_schedule, whose linear warmup starts at its lowest ratio."""
    if step < warmup:
        return low + (1 - low) * step / warmup
    if step < warmup + stable:
        return 1.0
    if step >= warmup + stable + decay:
        return low
    p = (step - warmup - stable) / decay
    left = {"linear": 1 - p, "one_minus_sqrt": 1 - math.sqrt(p), "cosine": 0.5 * (1 + math.cos(math.pi * p))}
    return left[kind] * (1 - low) + low


@pytest.mark.parametrize("kind", COOLDOWNS[:3])
@pytest.mark.parametrize("low", [0.0, 0.1])
def test_as_transformers_has_it(kind: str, low: float) -> None:
    wanted = [_transformers(t, 10, 60, 20, low, kind) for t in range(1, T + 11)]
    close(values(WSD(20, 10, 60, low, kind, start=low), beyond=10), wanted)


def test_the_exponential_cooldown_loses_one_factor_a_step() -> None:
    got = values(WSD(20, final=0.01, cooldown="exponential"))
    close(got[-20:] / got[-21:-1], 0.01 ** (1 / 20))


@pytest.mark.parametrize("kind", COOLDOWNS)
def test_it_is_continuous_and_ends_and_stays_at_the_final_rate(kind: str) -> None:
    schedule: Any = WSD(20, 10, final=0.05, cooldown=kind)
    got = values(schedule)
    assert (got[9:80] == 1).all()
    assert [float(schedule(t, T)) for t in (T, T + 1, 3 * T)] == pytest.approx([0.05] * 3)
    fine = np.array([float(schedule(t, T)) for t in np.linspace(1, T, 20_001)])
    assert np.abs(np.diff(fine)).max() < 0.02
    close(values(WSD(20, 10, 70, 0.05, kind)), got)


def test_it_is_a_join_of_its_parts() -> None:
    close(values(WSD(30, 10)), values(Constant().then(Linear(), 60).warmed_up(10)))


def test_cooldowns_branch_from_one_run() -> None:
    long = values(WSD(20, 10), 500)
    for steps in (100, 200, 400):
        close(values(WSD(20, 10), steps)[: steps - 20], long[: steps - 20])
    branches = WSD(20, 10, np.array([30, 70, 200]))
    assert np.asarray(branches(40, T)).tolist() == [1, 1, 1]
    close(branches(50, T), [0.5, 1, 1])


def test_one_value_a_member_is_each_value_alone() -> None:
    decay, warmup, final = np.array([0, 10, 100]), np.array([0, 5, 50]), np.array([0.5, 0.1, 1.0])
    cells = list(zip(decay, warmup, final, strict=True))
    for kind in COOLDOWNS:
        for step in (1, 5, 50, 91, 100, 120):
            alone = [float(WSD(d, w, final=f, cooldown=kind)(step, T)) for d, w, f in cells]
            close(WSD(decay, warmup, final=final, cooldown=kind)(step, T), alone)


def test_what_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="WSD cooldown is one of linear, one_minus_sqrt, cosine, exponential"):
        WSD(10, cooldown="sqrt")
    with pytest.raises(UsageError, match="final must be at least 1e-09; got 0"):
        WSD(10, cooldown="exponential")
