"""Schedules against loops, torch's schedulers and the published formulas."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest
import torch
from schedules.values import T, close, torch_values, values
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from thalweg.errors import UsageError
from thalweg.schedules import Constant, Cosine, InverseSquareRoot, Noam, Warmup


def test_constant() -> None:
    assert (values(Constant(), beyond=5) == 1).all()


@pytest.mark.parametrize("warmup", [1, 2, 7, 30, 100, 250])
@pytest.mark.parametrize("start", [0.0, 0.25])
def test_warmup_rises_by_equal_steps(warmup: int, start: float) -> None:
    wanted, value = [], start
    for _ in range(T + 5):
        value = min(1.0, value + (1 - start) / warmup)
        wanted.append(value)
    close(values(Warmup(warmup, start), beyond=5), wanted)


def test_warmup_is_torchs_linear_one_counted_from_one() -> None:
    torchs = torch_values(lambda o: LinearLR(o, start_factor=1 / 8, total_iters=7), 20)
    close(values(Warmup(8), 20), torchs)  # torch's first step has 1/8, ours is t = 1


def test_no_warmup_is_no_warmup() -> None:
    assert (values(Warmup(0)) == 1).all()
    close(values(Cosine()), [0.5 * (1 + math.cos(math.pi * t / T)) for t in range(1, T + 1)])


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_torchs_one_step_on(final: float) -> None:
    torchs = torch_values(lambda o: CosineAnnealingLR(o, T_max=T, eta_min=final), T + 1)
    close(values(Cosine(final=final)), torchs[1:])


def test_cosine_after_warmup_is_torchs_sequence() -> None:
    def build(optimizer: torch.optim.Optimizer) -> SequentialLR:
        ramp = LinearLR(optimizer, start_factor=1 / 10, total_iters=9)
        return SequentialLR(optimizer, [ramp, CosineAnnealingLR(optimizer, T_max=T - 10)], milestones=[9])

    close(values(Cosine(warmup=10)), torch_values(build, T))


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
    close(values(Cosine(warmup=warmup)), [_transformers_cosine(t, warmup, T) for t in range(1, T + 1)])
    if warmup:
        wanted = [_transformers_inverse_sqrt(t, warmup) for t in range(1, T + 6)]
        close(values(InverseSquareRoot(warmup), beyond=5), wanted)


@pytest.mark.parametrize("warmup", [1, 400, 4000])
def test_inverse_square_root_is_the_transformers_papers_by_its_peak(warmup: int) -> None:
    noam = lambda t: 512**-0.5 * min(t**-0.5, t * warmup**-1.5)  # noqa: E731
    peak = (512 * warmup) ** -0.5
    steps = [1, warmup // 2 + 1, warmup, warmup + 1, 4 * warmup, 10_000]
    got = np.array([float(InverseSquareRoot(warmup)(t, 10_000)) for t in steps])
    close(got, [noam(t) / peak for t in steps])
    assert got[2] == 1
    close([float(Noam(512, warmup)(t, 10_000)) for t in steps], [noam(t) for t in steps])


def test_global_progress_hands_over_below_the_peak() -> None:
    for warmup, drop in ((10, 0.0245), (30, 0.2061)):
        got = values(Cosine(warmup=warmup, progress="global"))
        wanted = [min(1, t / warmup) * 0.5 * (1 + math.cos(math.pi * t / T)) for t in range(1, T + 1)]
        close(got, wanted)
        assert 1 - got[warmup - 1] == pytest.approx(drop, abs=1e-4)


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_a_periodic_cosine_rises_again_as_torchs_does(final: float) -> None:
    torchs = torch_values(lambda o: CosineAnnealingLR(o, T_max=T, eta_min=final), 2 * T + 1)
    got = values(Cosine(final=final, after_end="periodic").from_zero(), beyond=T + 1)
    np.testing.assert_allclose(got, torchs, rtol=0, atol=1e-12)
    assert got[T] == pytest.approx(final, abs=1e-15)
    assert got[2 * T] == pytest.approx(1)


def _timm_cosine(step: int, warmup: int, start: float, low: float, prefix: bool) -> float:
    """The rate of timm's CosineLRScheduler for a base of 1 and one cycle, as published."""
    if step < warmup:
        return start + step * (1 - start) / warmup
    span = T - warmup if prefix else T
    now = step - warmup if prefix else step
    return low + 0.5 * (1 - low) * (1 + math.cos(math.pi * now / span))


@pytest.mark.parametrize("warmup", [1, 10, 30])
def test_as_timm_has_them(warmup: int) -> None:
    for progress, prefix in (("after_warmup", True), ("global_jump", False)):
        schedule = Cosine(warmup, 0.1, progress, start=0.2).from_zero()
        close(values(schedule), [_timm_cosine(t, warmup, 0.2, 0.1, prefix) for t in range(T)])


@pytest.mark.parametrize(("warmup", "start"), [(0, 0.0), (10, 0.0), (25, 0.3)])
def test_as_optax_has_them(warmup: int, start: float) -> None:
    with jax.enable_x64(True):
        peer = optax.warmup_cosine_decay_schedule(start, 1.0, warmup, T, end_value=0.1)
        wanted = [float(peer(np.float64(step))) for step in range(T + 20)]
    close(values(Cosine(warmup, 0.1, start=start).from_zero(), beyond=20), wanted)


def test_the_jump_at_the_hand_over() -> None:
    for warmup, drop in ((10, 0.0245), (30, 0.2061)):
        got = Cosine(warmup, progress="global_jump")
        assert 1 - float(got(warmup, T)) == pytest.approx(drop, abs=1e-4)
        assert float(got(warmup - 1, T)) == pytest.approx(1 - 1 / warmup)


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
        assert np.isfinite(values(schedule, 1)).all()
    close(values(Cosine(warmup=400)), np.arange(1, T + 1) / 400)


@pytest.mark.parametrize(
    "build",
    [
        lambda w, f: Warmup(w, f),
        lambda w, f: Cosine(w, f),
        lambda w, f: Cosine(w, f, progress="global"),
        lambda w, f: Cosine(w, f, progress="global_jump", after_end="periodic", start=f),
        lambda w, f: InverseSquareRoot(w + 1),
        lambda w, f: Noam(16, w + 1),
    ],
)
def test_one_value_a_member_is_each_value_alone(build: Callable[[Any, Any], Any]) -> None:
    warmups, finals = np.array([0.0, 1.0, 10.0, 300.0]), np.array([0.0, 0.1, 0.5, 1.0])
    together = build(warmups, finals)
    for t in (1, 5, 10, 11, 99, 100, 130):
        alone = [float(build(w, f)(t, T)) for w, f in zip(warmups, finals, strict=True)]
        close(np.asarray(together(t, T)), alone)


def test_an_unknown_progress() -> None:
    with pytest.raises(UsageError, match="Cosine progress is one of after_warmup, global, global_jump; got 'later'"):
        Cosine(progress="later")
