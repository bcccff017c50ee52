"""Planted nulls of IMP3: another penalty is not the path of early stopping, and clean labels gain nothing."""

from dataclasses import replace

import numpy as np
import pytest

from thalweg import data
from thalweg.studies import Lab
from thalweg.studies.implicit import stopping
from thalweg.studies.implicit.stopping import (
    CLEAN,
    DESIGNS,
    FALLS,
    LITTLE,
    MUCH,
    RANDOM,
    WRONG_FACTORS,
    Watched,
)

LAB = Lab("quick", 500, progress=None)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("factor", WRONG_FACTORS)
def test_another_penalty_breaks_one_of_the_inequalities(design: str, factor: float) -> None:
    risk, apart = stopping.worst(stopping.paths(design, range(500_000, 500_003), factor))
    assert risk > stopping.RISK_RATIO or apart > stopping.DISTANCE
    risk, apart = stopping.worst(stopping.paths(design, range(500_000, 500_003)))
    assert risk <= stopping.RISK_RATIO
    assert apart <= stopping.DISTANCE


def test_without_noise_stopping_gains_nothing() -> None:
    for one in stopping.paths("50 features", range(500_000, 500_003), noise=0.0):
        np.testing.assert_allclose(one["final over stopped"], 1)


def planted(gain: float) -> Watched:
    """Four networks of which the validation loss is lowest at the second of four evaluations."""
    loss = np.tile([3.0, 1.0, 2.0, 4.0], (4, 1))
    error = np.tile([50.0, 10.0, 10.0, 10.0 + gain], (4, 1)) + 0.1 * np.arange(4)[:, None] * [0, 0, 0, 1]
    return Watched(np.array([1, 2, 3, 4]), loss, np.asarray(error, dtype=np.float64), loss)


def test_stopping_is_scored_where_validation_says_and_not_where_the_test_would() -> None:
    found = planted(6.0)
    np.testing.assert_allclose(found.gain, [6, 6.1, 6.2, 6.3])
    np.testing.assert_allclose(found.gain_at_random, found.gain / 2)
    worse = replace(found, validation_loss=found.validation_loss[:, [1, 0, 2, 3]])
    np.testing.assert_allclose(worse.gain, found.gain - 40)


def test_networks_that_gain_nothing_do_not_make_it_hold() -> None:
    linear = {"50 features": stopping.paths("50 features", [500_000])}
    found = stopping.judged(linear, dict.fromkeys((CLEAN, LITTLE, MUCH), planted(0.0)))
    rules = {part.id: part.rule for part in stopping.CLAIM.parts}
    outcomes = {name: rules[name].judge(one.low, one.high) for name, one in found.items()}
    assert outcomes[LITTLE] == outcomes[MUCH] == "fails"
    assert outcomes[CLEAN] == "holds"
    found = stopping.judged(linear, dict.fromkeys((CLEAN, LITTLE, MUCH), planted(6.0)))
    outcomes = {name: rules[name].judge(one.low, one.high) for name, one in found.items()}
    assert outcomes[LITTLE] == outcomes[MUCH] == outcomes[RANDOM] == "holds"
    assert outcomes[CLEAN] == outcomes[FALLS] == "fails"
    found = stopping.judged(linear, dict.fromkeys((CLEAN, LITTLE, MUCH), planted(-0.5)))
    assert rules[FALLS].judge(found[FALLS].low, found[FALLS].high) == "holds"


def test_clean_labels_gain_less_than_noisy_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (5, 20, 60, 150, 300)
    monkeypatch.setattr(stopping, "RECIPE_STEPS", steps)
    monkeypatch.setattr(stopping, "RECIPE", replace(stopping.RECIPE, steps=300, evaluate=steps, snapshot=steps))
    both = {CLEAN: 0.0, MUCH: 0.4}
    found = stopping.watched(LAB, data.digits(), [500_000, 500_001], both, n=200, validation=100)
    clean, noisy = found[CLEAN], found[MUCH]
    assert clean.error.shape == clean.validation_loss.shape == (2, 5)
    assert abs(clean.gain.mean()) < 2
    assert noisy.gain.mean() > 5
