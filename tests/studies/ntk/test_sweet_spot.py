"""NTK10: what it says of numbers put in by hand, and of settings in which it must not hold."""

import numpy as np
import pytest

from thalweg import sweep
from thalweg.studies import Lab
from thalweg.studies.ntk import sweet_spot
from thalweg.studies.ntk.best_width import Widths, with_adam
from thalweg.studies.ntk.centered import classes
from thalweg.studies.ntk.sweet_spot import RATES, judged, rule

LAB = Lab("quick", 900, progress=None)


def planted(peak=0.0, slow=200.0, fixed=0.03, scaled=0.0, never=np.inf, wide=0.9, **lab):
    """Numbers of 8 seeds with a little noise."""
    seeds = Lab("quick", 900, progress=None).seeds(quick=8, full=16, tuning=1)
    rng = np.random.default_rng(1)
    noise = lambda *shape: 0.003 * rng.normal(size=shape)  # noqa: E731
    common = noise(16)
    accuracy = np.array([0.6, 0.83, 0.9 + peak, wide])[:, None] + common + noise(4, 16) / 3
    steps = np.array([never, slow, 50.0, 40.0])[:, None] * np.exp(0.1 * rng.normal(size=(4, 16)))
    steps = np.where(steps > 300, np.inf, steps)
    constant = Widths((8, 32, 256, 1_024), accuracy, steps)
    adam = {
        name: Widths((32, 256, 2_048), np.array([0.85, 0.88, 0.88 - less])[:, None] + noise(3, 8), np.ones((3, 8)))
        for name, less in (("fixed", fixed), ("scaled", scaled))
    }
    parity = {
        name: Widths((8, 32), np.array([[0.9], [at]]) + noise(2, 8), np.ones((2, 8)))
        for name, at in (("NTK", 0.95), ("muP", 0.99))
    }
    kernel = 0.9 + common + noise(16) / 3
    lab = LAB.on((sweet_spot.CLAIM,))
    return judged(lab, seeds, constant, kernel, adam, (parity, np.full(8, 0.8)), 1e-2)


def outcomes(finding):
    return {part.part.id: part.outcome for part in finding.verdict.parts}


def test_it_holds_of_what_it_states_and_the_lecture_does_not():
    finding = planted()
    assert finding.verdict.outcome == "holds"
    assert set(outcomes(finding).values()) == {"holds"}
    assert finding.verdict.lecture is not None
    assert finding.verdict.lecture.outcome == "fails"
    for figure in finding.figures:
        figure.to_matplotlib()


@pytest.mark.parametrize(
    ("part", "put_in"),
    [
        ("narrow", {"slow": 45.0}),
        ("no peak", {"peak": 0.04}),
        ("fixed rate", {"fixed": 0.0}),
        ("scaled rate", {"scaled": 0.04}),
    ],
)
def test_each_part_fails_where_it_is_not_so(part, put_in):
    finding = planted(**put_in)
    assert outcomes(finding)[part] == "fails"
    assert finding.verdict.outcome == "fails"


def test_a_peak_at_a_thousand_is_what_the_lecture_says():
    finding = planted(wide=0.94)
    assert finding.verdict.lecture is not None
    assert finding.verdict.lecture.outcome == "holds"
    assert outcomes(finding)["no peak"] == "fails"


def test_nets_that_never_arrive_count_for_the_lower_end_only():
    finding = planted(slow=1e9)
    part = {one.part.id: one for one in finding.verdict.parts}["narrow"]
    assert part.outcome == "holds"
    assert part.interval.high == np.inf


def test_the_width_is_chosen_on_other_seeds():
    seeds = LAB.seeds(quick=8, full=16, tuning=1)
    assert not set(seeds.own[:8]) & set(seeds.scored)
    accuracy = np.full((4, 16), 0.9) + 1e-3 * np.random.default_rng(0).normal(size=(4, 16))
    accuracy[2, 8:] = 1.0  # luck of the scored seeds alone, which nobody could choose
    accuracy[3, :8] = 0.95
    constant = Widths((8, 32, 256, 1_024), accuracy, np.full((4, 16), 50.0) + np.arange(16.0))
    adam = {
        name: Widths((32, 256, 2_048), 0.9 + 1e-3 * np.random.default_rng(2).normal(size=(3, 8)), np.ones((3, 8)))
        for name in ("fixed", "scaled")
    }
    parity = {name: Widths((8, 32), np.full((2, 8), 0.9), np.ones((2, 8))) for name in ("NTK", "muP")}
    kernel = accuracy[3].copy()
    finding = judged(LAB.on((sweet_spot.CLAIM,)), seeds, constant, kernel, adam, (parity, np.full(8, 0.8)), 1e-2)
    found = {one.part.id: one.interval for one in finding.verdict.parts}["no peak"]
    assert found.estimate == pytest.approx(0, abs=1e-9)  # of the width that was best on tuning seeds, not of 256


def test_the_rule_takes_the_fastest_rate_that_is_as_good_as_the_best():
    steps = np.repeat([[100.0], [50.0], [20.0], [10.0]], 4, axis=1)
    accuracy = np.array([[0.90, 0.91, 0.89, 0.90], [0.90] * 4, [0.899] * 4, [0.8] * 4])
    assert rule(Widths((32,), accuracy.reshape(1, -1), steps.reshape(1, -1))) == RATES[2]


def test_rates_of_a_run_are_in_the_order_that_the_rule_reads(monkeypatch):
    task = classes([900_000, 900_001], 20, 30)
    monkeypatch.setattr("thalweg.studies.ntk.best_width.ADAM_STEPS", 3)
    run = with_adam(LAB, task, 8, sweep.values(RATES)).run
    np.testing.assert_allclose(run.axes["lr"], np.repeat(RATES, 2))
