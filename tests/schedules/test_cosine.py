"""Schedules against loops, torch's schedulers and the published formulas."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from thalweg.errors import UsageError
from thalweg.schedules import Constant, Cosine, InverseSquareRoot, Warmup

T = 100


def _values(schedule: Any, steps: int = T, beyond: int = 0) -> np.ndarray:
    """s(1), s(2), ..., s(steps + beyond)."""
    return np.array([float(schedule(t, steps)) for t in range(1, steps + beyond + 1)])


def _torch_values(build: Callable[[torch.optim.Optimizer], Any], count: int) -> np.ndarray:
    """The rates torch uses at its steps 0, 1, ..., count - 1, for a base rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = build(optimizer), []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def _close(got: np.ndarray, wanted: Any) -> None:
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)


def test_constant() -> None:
    assert (_values(Constant(), beyond=5) == 1).all()


@pytest.mark.parametrize("warmup", [1, 2, 7, 30, 100, 250])
@pytest.mark.parametrize("start", [0.0, 0.25])
def test_warmup_climbs_by_equal_steps(warmup: int, start: float) -> None:
    wanted, value = [], start
    for _ in range(T + 5):
        value = min(1.0, value + (1 - start) / warmup)
        wanted.append(value)
    _close(_values(Warmup(warmup, start), beyond=5), wanted)


def test_warmup_is_torchs_linear_one_counted_from_one() -> None:
    torchs = _torch_values(lambda o: LinearLR(o, start_factor=1 / 8, total_iters=7), 20)
    _close(_values(Warmup(8), 20), torchs)  # torch's first step has 1/8, ours is t = 1


def test_no_warmup_is_no_warmup() -> None:
    assert (_values(Warmup(0)) == 1).all()
    _close(_values(Cosine()), [0.5 * (1 + math.cos(math.pi * t / T)) for t in range(1, T + 1)])


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_torchs_one_step_on(final: float) -> None:
    torchs = _torch_values(lambda o: CosineAnnealingLR(o, T_max=T, eta_min=final), T + 1)
    _close(_values(Cosine(final=final)), torchs[1:])


def test_cosine_after_warmup_is_torchs_sequence() -> None:
    def build(optimizer: torch.optim.Optimizer) -> SequentialLR:
        ramp = LinearLR(optimizer, start_factor=1 / 10, total_iters=9)
        return SequentialLR(optimizer, [ramp, CosineAnnealingLR(optimizer, T_max=T - 10)], milestones=[9])

    _close(_values(Cosine(warmup=10)), _torch_values(build, T))


def _transformers_cosine(step: int, warmup: int, steps: int) -> float:
    """The multiplier of get_cosine_schedule_with_warmup at its step, as published there."""
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, steps - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * 0.5 * 2.0 * progress)))


def _transformers_inverse_sqrt(step: int, warmup: int) -> float:
    """The multiplier of get_inverse_sqrt_schedule with its default timescale, which is the warmup."""
    return step / max(1, warmup) if step < warmup else 1.0 / math.sqrt(step / warmup)


@pytest.mark.parametrize("warmup", [0, 1, 13, 60])
def test_as_transformers_has_them(warmup: int) -> None:
    _close(_values(Cosine(warmup=warmup)), [_transformers_cosine(t, warmup, T) for t in range(1, T + 1)])
    if warmup:
        wanted = [_transformers_inverse_sqrt(t, warmup) for t in range(1, T + 6)]
        _close(_values(InverseSquareRoot(warmup), beyond=5), wanted)


@pytest.mark.parametrize("warmup", [1, 400, 4000])
def test_inverse_square_root_is_the_transformers_papers_by_its_peak(warmup: int) -> None:
    noam = lambda t: 512**-0.5 * min(t**-0.5, t * warmup**-1.5)  # noqa: E731
    peak = (512 * warmup) ** -0.5
    steps = [1, warmup // 2 + 1, warmup, warmup + 1, 4 * warmup, 10_000]
    got = np.array([float(InverseSquareRoot(warmup)(t, 10_000)) for t in steps])
    _close(got, [noam(t) / peak for t in steps])
    assert got[2] == 1


def test_global_progress_hands_over_below_the_peak() -> None:
    for warmup, drop in ((10, 0.0245), (30, 0.2061)):
        got = _values(Cosine(warmup=warmup, progress="global"))
        wanted = [min(1, t / warmup) * 0.5 * (1 + math.cos(math.pi * t / T)) for t in range(1, T + 1)]
        _close(got, wanted)
        assert 1 - got[warmup - 1] == pytest.approx(drop, abs=1e-4)


def test_boundaries() -> None:
    cosine = Cosine(warmup=10, final=0.2)
    assert float(cosine(1, T)) == pytest.approx(0.1)
    assert float(cosine(10, T)) == 1
    assert float(cosine(T, T)) == pytest.approx(0.2, abs=1e-15)
    assert [float(cosine(t, T)) for t in (T + 1, 2 * T, 10 * T)] == pytest.approx([0.2] * 3, abs=1e-15)
    assert float(Cosine()(T, T)) == 0
    assert float(Warmup(10)(1, T)) == pytest.approx(0.1)
    assert float(Warmup(10)(10, T)) == float(Warmup(10)(11, T)) == 1
    assert float(InverseSquareRoot(10)(40, T)) == 0.5


def test_a_single_step_and_a_warmup_longer_than_the_run_are_finite() -> None:
    for schedule in (Cosine(), Cosine(warmup=1), Cosine(warmup=5), Cosine(warmup=5, progress="global"), Warmup(5)):
        assert np.isfinite(_values(schedule, 1)).all()
    _close(_values(Cosine(warmup=400)), np.arange(1, T + 1) / 400)


@pytest.mark.parametrize(
    "build",
    [
        lambda w, f: Warmup(w, f),
        lambda w, f: Cosine(w, f),
        lambda w, f: Cosine(w, f, progress="global"),
        lambda w, f: InverseSquareRoot(w + 1),
    ],
)
def test_one_value_a_member_is_each_value_alone(build: Callable[[Any, Any], Any]) -> None:
    warmups, finals = np.array([0.0, 1.0, 10.0, 300.0]), np.array([0.0, 0.1, 0.5, 1.0])
    together = build(warmups, finals)
    for t in (1, 5, 10, 11, 99, 100, 130):
        alone = [float(build(w, f)(t, T)) for w, f in zip(warmups, finals, strict=True)]
        _close(np.asarray(together(t, T)), alone)


def test_an_unknown_progress() -> None:
    with pytest.raises(UsageError, match="Cosine progress is one of after_warmup, global, global_jump; got 'later'"):
        Cosine(progress="later")
