"""Planted nulls of SIM1: kernels and targets that put no frequency first, and a net that cannot learn odd ones."""

import numpy as np
import pytest
import torch

from thalweg.generalization import simplicity
from thalweg.statistics import exponents, interval
from thalweg.studies import Lab
from thalweg.studies.simplicity import circle
from thalweg.studies.simplicity.circle import Arm

LAB = Lab("quick", 500, progress=None).on((circle.CLAIM,))
SEEDS = [500_000, 500_001, 500_002]
ANGLES = 2 * np.pi * np.arange(64) / 64
NAMES = circle.LAZY.frequencies


def modes() -> np.ndarray:
    return circle.circles(circle.LAZY, SEEDS)[2]


def outcome(powers: np.ndarray, lecture: bool = False) -> str:
    found = interval.mean(powers)
    rule = circle.CLAIM.lecture_rule if lecture else circle.CLAIM.rule
    return rule.judge(found.low, found.high)


def test_the_analytic_kernel_has_the_power() -> None:
    times = circle.predicted(simplicity.circle_kernel(ANGLES), modes()[0])
    power = exponents(NAMES, times[:, None])[0]
    assert power == pytest.approx(1.96, abs=0.02)
    assert outcome(power + np.array([-0.05, 0.0, 0.05])) == "holds"


def test_a_narrow_kernel_and_permuted_targets_have_no_order() -> None:
    power = exponents(NAMES, circle.predicted(circle.narrow_kernel(ANGLES), modes()[0])[:, None])[0]
    assert abs(power) < 1e-4
    noise = np.array([-0.01, 0.0, 0.01])
    assert outcome(power + noise) == "fails"
    assert outcome(power + noise, lecture=True) != "holds"
    times = circle.of_permuted(simplicity.circle_kernel(ANGLES), SEEDS, modes())
    assert times.shape == (3, circle.PERMUTATIONS, 4)
    found = circle.power_of_permuted(times, NAMES)
    assert circle.CLAIM.rule.judge(found.low, found.high) == "fails"
    assert abs(found.estimate) < 0.1


def test_times_in_proportion_to_the_prediction_are_not_the_prediction() -> None:
    rule = next(part.rule for part in circle.CLAIM.parts if part.id == circle.KERNEL)
    theory = circle.predicted(simplicity.circle_kernel(ANGLES), modes()[0])
    spread = 1 + 0.01 * np.random.default_rng(0).normal(size=(4, len(theory)))
    for factor, outcome in ((1, "holds"), (3, "fails"), (0.1, "fails"), (np.array([1, 1, 1, 1.5]), "fails")):
        found = circle.times_over(factor * theory * spread, theory)
        assert rule.judge(found.low, found.high) == outcome
    assert not circle.times_over(np.full((4, 4), np.inf), theory).known


def test_odd_frequencies_are_never_learned_without_biases() -> None:
    times = circle.predicted(simplicity.circle_kernel(ANGLES, bias=False), modes()[0])
    assert np.isinf(times).all()
    powers = exponents(NAMES, times[:, None])
    assert np.isnan(powers).all()
    assert outcome(np.repeat(powers, 3)) == "undecided"


def test_networks_learn_their_own_targets_at_the_times_of_their_own_kernels() -> None:
    found = circle.learned(LAB, Arm("short", frequencies=(3, 5), steps=300), SEEDS[:2])
    assert not np.allclose(found.modes[0], found.modes[1])
    assert np.allclose(found.found["share"][..., 0], 0)
    assert np.abs(np.log(found.found["time"] / found.expected)).max() < 0.1
    assert (found.found["time"][:, 1] > 1.7 * found.found["time"][:, 0]).all()
    assert (found.movement < 0.02).all()
    assert (found.times(0.5) < found.found["time"]).all()


def test_seeds_differ_in_phases_alone() -> None:
    problem, rows, own = circle.circles(circle.LAZY, SEEDS)
    points = [problem.data.train.take(row) for row in rows]
    assert torch.equal(points[0][0], points[2][0])
    for (_, targets), mode in zip(points, own, strict=True):
        assert np.allclose(targets[:, 0], 0.02 * mode.sum(0), atol=1e-6)
