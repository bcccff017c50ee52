"""Planted nulls of IMP2 and IMP5: noise that changes nothing, and errors that do not go with the scale."""

import numpy as np
import pytest

from thalweg.studies import Lab
from thalweg.studies.implicit import noise, scale
from thalweg.studies.implicit.noise import RATE, SETTINGS, SIGNALS, Arm
from thalweg.studies.implicit.scale import DIGITS, LARGE, SMALL, SOFTMAX, Scaled

LAB = Lab("quick", 500, progress=None)
SEEDS = [500_000, 500_001, 500_002]
OF_NOISE, OF_SCALE = ({part.id: part.rule for part in claim.parts} for claim in (noise.CLAIM, scale.CLAIM))


def test_a_larger_step_is_not_noise() -> None:
    arms = {"full": Arm(RATE, noise.EXAMPLES), "twice": Arm(2 * RATE, noise.EXAMPLES)}
    risks = noise.of_diagonal(LAB, arms, SEEDS)
    found = noise.of_ratio(risks["twice"], risks["full"])
    assert OF_NOISE[noise.DIAGONAL].judge(found.low, found.high) == "fails"
    assert found.estimate == pytest.approx(1, abs=0.1)


def test_noise_changes_nothing_of_a_linear_model() -> None:
    assert noise.of_linear(SEEDS) == pytest.approx(1, abs=1e-9)


def test_a_run_that_does_not_come_to_the_loss_is_not_dropped() -> None:
    risks = noise.of_diagonal(LAB, {"short": Arm(RATE, noise.EXAMPLES, 60)}, SEEDS)
    assert np.isnan(risks["short"]).all()
    assert not noise.of_ratio(np.array([1.0, np.nan]), np.array([1.0, 1.0])).known


@pytest.mark.parametrize(("per_decade", "outcome"), [(-1.5, "holds"), (0.0, "fails"), (1.5, "fails")])
def test_a_planted_slope_is_found(per_decade: float, outcome: str) -> None:
    setting, draw = SETTINGS[0], np.random.default_rng(0)
    assert setting.name == SIGNALS
    found = {
        name: 40 + per_decade * np.log10(arm.rate / arm.batch) + 0.1 * draw.normal(size=12)
        for name, arm in setting.arms.items()
    }
    slope = noise.of_slope(setting, found)
    assert OF_NOISE[SIGNALS].judge(slope.low, slope.high) == outcome
    found[next(iter(found))][3] = np.nan
    assert not noise.of_slope(setting, found).known


def test_twice_the_rate_and_the_batch_is_compared_with_the_smallest_batch() -> None:
    setting, level = SETTINGS[0], 40 + np.random.default_rng(0).normal(size=12)
    found = {name: level + (3 if name == noise.BOTH else 0) for name in setting.arms}
    assert noise.of_both(setting, found).estimate == pytest.approx(3)
    found[noise.BOTH][0] = np.nan
    assert not noise.of_both(setting, found).known


def planted(below: float, above: float) -> Scaled:
    """Errors with one slope per decade below the scale 1 and another above it."""
    scales = np.array([1 / 8, 1 / 2, 1.0, 2.0, 8.0])
    decades = np.log10(scales)
    error = 20 + below * np.minimum(decades, 0) + above * np.maximum(decades, 0)
    table = error[:, None] + 0.2 * np.random.default_rng(1).normal(size=(5, 6))
    return Scaled(scales, table, table, np.ones_like(table))


def test_both_slopes_are_judged_apart() -> None:
    for below, above, outcomes in (
        (15, 20, ("holds", "holds")),
        (0, 20, ("fails", "holds")),
        (15, 0, ("holds", "fails")),
    ):
        found = planted(below, above)
        slopes = found.slope(found.scales <= 1), found.slope(found.scales >= 1)
        judged = zip((SMALL, LARGE), slopes, strict=True)
        assert tuple(OF_SCALE[name].judge(one.low, one.high) for name, one in judged) == outcomes
    never = planted(15, 20)
    never.error[0, 0] = np.nan
    assert not never.slope(never.scales <= 1).known
    assert never.slope(never.scales >= 1).known


def test_a_linear_model_is_not_hurt_by_a_large_start() -> None:
    found = scale.trained(LAB, scale.OF_SOFTMAX, SEEDS, (1.0, 8.0))
    assert np.isfinite(found.error).all()
    assert abs(found.hurt.estimate) < 1
    assert OF_SCALE[DIGITS].judge(found.hurt.low, found.hurt.high) != "holds"
    assert OF_SCALE[SOFTMAX].judge(found.hurt.estimate, found.hurt.estimate) == "holds"


def test_weights_move_less_from_a_large_start() -> None:
    found = scale.trained(LAB, scale.PARITY, SEEDS[:2], (1 / 8, 8.0))
    assert found.movement.shape == (2, 2)
    assert (found.movement[0] > 1).all()
    assert (found.movement[1] < 0.2).all()
    assert (found.error[1] > found.error[0] + 10).all()
