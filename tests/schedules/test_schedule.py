"""The algebra of schedules: its laws, joins, torch's sequences, and members."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from schedules.values import T, close, torch_values, values
from torch import nn
from torch.optim import lr_scheduler as torchs

import thalweg as tw
from thalweg import optim, schedules, sweep
from thalweg.errors import UsageError
from thalweg.schedules import Constant, Cosine, Exponential, Linear, Polynomial, Schedule, Step, Warmup

numbers = st.floats(0.05, 1.0)
shapes = st.one_of(
    st.builds(Cosine, final=numbers),
    st.builds(Linear, start=numbers, final=numbers),
    st.builds(Polynomial, power=st.floats(0.5, 3.0), final=numbers),
    st.builds(Exponential, factor=st.floats(0.8, 1.1)),
    st.builds(Step, every=st.integers(1, 9), factor=numbers),
    st.builds(Warmup, warmup=st.integers(0, 9), start=numbers),
)
counts = st.integers(1, 30)


@given(shapes, shapes, shapes, counts, counts)
def test_joining_is_associative(a: Schedule, b: Schedule, c: Schedule, m: int, n: int) -> None:
    close(values(a.then(b, m).then(c, m + n), T, 5), values(a.then(b.then(c, n), m), T, 5))


@given(shapes, shapes, counts)
def test_each_part_of_a_join_runs_as_if_alone(a: Schedule, b: Schedule, m: int) -> None:
    close(values(a.then(b, m)), [*values(a, m), *values(b, T - m)])


@given(shapes, shapes, numbers, numbers, counts)
def test_factors_multiply_and_distribute(a: Schedule, b: Schedule, f: float, g: float, m: int) -> None:
    close(values(a.scaled(f).scaled(g)), f * g * values(a))
    close(values(a.then(b, m).scaled(f)), values(a.scaled(f).then(b.scaled(f), m)))
    close(values(a.scaled(1.0)), values(a))


@given(shapes, counts, st.integers(1, 4))
def test_repetition_is_periodic_and_idempotent(a: Schedule, period: int, times: int) -> None:
    once = a.repeated(period)
    close(values(once, T), np.resize(values(a, period), T))
    close(values(once.repeated(times * period), T), values(once, T))


@given(shapes, counts, numbers)
def test_a_warmup_rises_to_where_the_schedule_starts(a: Schedule, warmup: int, start: float) -> None:
    rise = start + (1 - start) * np.arange(1, warmup + 1) / warmup
    close(values(a.warmed_up(warmup, start)), [*(rise * float(a(0, T - warmup))), *values(a, T - warmup)])
    close(values(a.warmed_up(0)), values(a))


@given(shapes, counts)
def test_counting_from_zero_is_one_step_late(a: Schedule, steps: int) -> None:
    close(values(a.from_zero(), steps), [float(a(t, steps)) for t in range(steps)])


@pytest.mark.parametrize("warmup", [0, 1, 10])
def test_warming_up_is_what_warmed_schedules_do(warmup: int) -> None:
    close(values(Cosine(final=0.1).warmed_up(warmup), beyond=5), values(Cosine(warmup, 0.1), beyond=5))
    close(values(Constant().warmed_up(warmup, 0.5)), values(Warmup(warmup, 0.5)))


def test_torchs_sequence_and_milestones() -> None:
    def sequence(optimizer: Any) -> Any:
        parts = [torchs.LinearLR(optimizer, 0.1, total_iters=10), torchs.ExponentialLR(optimizer, 0.9)]
        return torchs.SequentialLR(optimizer, parts, [10])

    joined = Linear(0.1, 1.0, 10).from_zero().then(Exponential(0.9).from_zero(), 10)
    close(values(joined), torch_values(sequence, T))
    stairs = Constant().then(Constant().scaled(0.1), 30).then(Constant().scaled(0.01), 80)
    close(values(stairs), torch_values(lambda o: torchs.MultiStepLR(o, [30, 80]), T))


def _transformers_hard_restarts(step: int, warmup: int, cycles: int) -> float:
    """The multiplier of get_cosine_with_hard_restarts_schedule_with_warmup, as published."""
    spent = (step - warmup) * cycles / (T - warmup)
    return step / warmup if spent < 0 else np.cos(np.pi * (spent - np.floor(spent)) / 2) ** 2


def test_transformers_hard_restarts() -> None:
    cosines = Cosine().from_zero().repeated(30)
    close(values(Warmup(10).from_zero().then(cosines, 10)), [_transformers_hard_restarts(t, 10, 3) for t in range(T)])


def test_joins_are_continuous_where_their_parts_meet() -> None:
    joined = Linear(0.0, 1.0).then(Cosine(final=0.5), 40).then(Linear(0.5, 0.0), 70)
    assert np.abs(np.diff(values(joined, 100))).max() < 0.03


def test_one_value_a_member_is_each_value_alone() -> None:
    at, warmup, period, factor = np.array([0, 5, 20]), np.array([0, 3, 9]), np.array([4, 10, 50]), np.array([1, 2, 3.0])

    def build(at: Any, warmup: Any, period: Any, factor: Any) -> Schedule:
        return Warmup(4).then(Cosine().repeated(period).warmed_up(warmup, 0.2), at).scaled(factor).from_zero()

    for step in (1, 2, 5, 6, 20, 21, 40, 99, 120):
        alone = [float(build(*one)(step, T)) for one in zip(at, warmup, period, factor, strict=True)]
        close(build(at, warmup, period, factor)(step, T), alone)


def test_what_is_not_a_schedule() -> None:
    with pytest.raises(UsageError, match=r"A schedule's second must be a schedule such as schedules.Cosine"):
        Constant().then(0.1, 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="period must be at least 1; got 0"):
        Constant().repeated(0)
    kinds = set(schedules.__all__) - {"Scheduled"}  # a number that follows one
    assert all(issubclass(getattr(schedules, name), Schedule) for name in kinds)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.OneCycle(),
        schedules.OneCycleMomentum(annihilate=True),
        schedules.Restarts(7, 1.5, 0.8, 0.01),
        schedules.WSD(20, 10, cooldown="one_minus_sqrt"),
        Cosine(after_end="periodic").repeated(30).warmed_up(5).then(Step(4), 60).from_zero(),
    ],
)
def test_a_resumed_run_goes_on_bit_for_bit(schedule: Schedule) -> None:
    """Also where a part of it was trained as if there was no more: the schedule is that of all steps."""
    inputs = torch.linspace(-1, 1, 12, dtype=torch.float64).view(6, 2)
    problem = tw.Problem(lambda: nn.Linear(2, 2), (inputs, torch.arange(6) % 2), dtype=torch.float64)
    recipe = tw.Recipe(optim.Momentum(0.5), T, schedule=schedule)
    whole = tw.train(problem, recipe, plan="looped")
    part = tw.train(problem, recipe, plan="looped", until=33)
    assert torch.equal(tw.train(problem, recipe, plan="looped", resume=part).final.theta, whole.final.theta)
    module = problem.initialize([0]).module(0)  # and both are what torch does at these rates
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.9)
    for step in range(1, T + 1):
        optimizer.param_groups[0]["lr"] = 0.5 * float(schedule(step, T))
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(inputs), torch.arange(6) % 2).backward()
        optimizer.step()
    theta = torch.cat([p.detach().flatten() for p in module.parameters()])
    torch.testing.assert_close(whole.final.theta[0], theta, rtol=1e-9, atol=1e-12)


def test_a_repetition_ends_on_its_last_step_whatever_its_period() -> None:
    """As many cycles as steps allow, of any length: the last step ends one and does not begin another."""
    pairs = [(steps, cycles) for steps in range(1, 501) for cycles in range(1, min(steps, 12) + 1)]
    ends = [float(Linear().repeated(steps / cycles)(steps, steps)) for steps, cycles in pairs]
    np.testing.assert_array_less(np.abs(ends), 1e-9)
    firsts = [float(Linear().repeated(steps / cycles)(1, steps)) for steps, cycles in pairs if cycles < steps]
    expected = [1 - cycles / steps for steps, cycles in pairs if cycles < steps]
    np.testing.assert_allclose(firsts, expected, atol=1e-9)


def test_a_product_with_a_number_is_a_scaled_schedule() -> None:
    assert 0.5 * Cosine() == Cosine() * 0.5 == np.float64(0.5) * Cosine() == Cosine().scaled(0.5)
    with pytest.raises(UsageError, match="factor is a number or a sweep; got Cosine"):
        Cosine() * Cosine()


@pytest.mark.parametrize(
    "build",
    [
        lambda: Cosine(warmup=0.1),
        lambda: Warmup(0.1),
        lambda: Constant().warmed_up(0.1),
        lambda: schedules.WSD(5, 0.1),
        lambda: Warmup(sweep.values([0, 0.1, 3])),
    ],
)
def test_a_warmup_is_no_share_of_the_steps(build: Any) -> None:
    with pytest.raises(UsageError, match="warmup is a number of steps, 0 or at least 1, and no share of them"):
        build()
    assert float(Warmup(1)(1, T)) == float(Warmup(0)(1, T)) == 1.0


def test_a_warmup_to_nothing_is_refused() -> None:
    for rising in (schedules.InverseSquareRoot(3), Warmup(5), Linear(0.0, 1.0), Cosine(4).scaled(0.5)):
        with pytest.raises(UsageError, match=r"rises to where the schedule after it starts, and .* starts at 0"):
            rising.warmed_up(4)
        assert rising.warmed_up(0).of == rising
    swept = Warmup(sweep.values([0, 5])).warmed_up(4)
    problem = tw.Problem(lambda: nn.Linear(2, 2), (torch.zeros(4, 2), torch.zeros(4).long()))
    with pytest.raises(UsageError, match="starts at 0"):
        tw.train(problem, tw.Recipe(optim.SGD(0.1), 8, schedule=swept))
