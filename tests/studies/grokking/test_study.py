"""The study of grokking: its parts against planted numbers, its nulls, and its verdicts at quick scale."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from studies.quick import claims_of

from thalweg.generalization import grokking
from thalweg.statistics import Interval
from thalweg.studies import Lab
from thalweg.studies.grokking import algorithm, decay, late, phases, rules, solvable
from thalweg.studies.grokking.setting import (
    Setting,
    Shared,
    evaluations,
    share_in_each,
    snapshots,
    trained,
    weakest,
    why_as_many,
)

TINY = Setting(11, 0.6, 1e-2, 0.8, 160)
VERDICTS = {"GRK1": "holds", "GRK2": "holds", "GRK4": "holds", "GRK3": "undecided"}


@pytest.fixture(scope="module")
def nothing() -> tuple[Lab, Shared]:
    """Random answers in the place of the sums as well."""
    lab = Lab("quick", 500, progress=None)
    random = trained(lab, TINY, [500, 501, 502], "random")
    without = trained(lab, replace(TINY, decay=0.0), [500, 501, 502], "random")
    return lab, Shared((random,), random, without)


@pytest.mark.parametrize("study", [late, phases, algorithm])
def test_nothing_holds_of_random_answers(nothing: tuple[Lab, Shared], study: object) -> None:
    lab, runs = nothing
    finding = study.found(lab.on((study.CLAIM,)), runs)
    assert finding.verdict.outcome != "holds"
    planned = "4 networks a setting were planned, and at least 3 are trained"
    assert any(sentence.startswith(planned) for sentence in finding.sentences)
    weak = {part.part.id: part.outcome for part in finding.verdict.parts}
    if study is algorithm:
        assert weak.pop(algorithm.EXACT) == "holds"  # of no training
        assert weak.pop(algorithm.REDUCED) != "holds"  # three networks do not decide of most
        assert set(weak.values()) == {"fails"}
    if study is phases:
        assert weak[phases.THERE] != "holds"


def test_a_ratio_is_unknown_where_most_seeds_never_come(nothing: tuple[Lab, Shared]) -> None:
    _, runs = nothing
    assert runs.random.times.ratio.low > 2  # of the last step and T_mem alone
    assert not late.later(runs.random).known


def test_what_is_evaluated_and_kept() -> None:
    assert evaluations(130) == (*range(100), 100, 110, 120, 130)
    assert evaluations(130, 45) == (*range(45, 100), 100, 110, 120, 130)
    kept = snapshots(1_200)
    assert set(range(100)) <= set(kept)
    assert set(range(100, 1_201, 40)) <= set(kept)
    assert set(kept) <= set(evaluations(1_200))


def test_the_weakest_of_several_settings_is_judged() -> None:
    low, high, unknown = (Interval(3, 1, 4, 4, ""), Interval(3, 2, 9, 4, ""), Interval(3, math.nan, math.nan, 1, ""))
    assert weakest([low, high]) is low
    assert weakest([low, high], above=False) is high
    assert weakest([low, unknown, high]) is unknown


def test_a_share_is_of_each_setting_and_not_of_all_networks_together() -> None:
    eight, six = np.ones(8, bool), np.ones(6, bool)
    assert share_in_each([eight, six]).low == pytest.approx(
        0.025 ** (1 / 6), abs=0.01
    )  # Clopper and Pearson's of 6 of 6
    half = np.array([True, True, True, False, False, False])
    one = share_in_each([eight, half])
    assert (one.estimate, one.n) == (0.5, 6)
    assert one.low < 0.5 < one.high  # of all networks together it is 11 of 14, and of eight alone all
    assert share_in_each([eight, np.ones(4, bool)]).low < 0.5  # which is why there are six


def test_the_reader_is_told_why_there_are_more_networks_than_planned() -> None:
    runs = SimpleNamespace(tables=[SimpleNamespace(problems=(None,) * count) for count in (8, 6)])
    said = why_as_many(runs)
    assert "4 of 4 is, by its exact 95 % interval, true of 40% or more" in said  # 0.025 ** (1 / 4)
    assert "6 of 6 are 54% or more" in said


def test_steps_that_are_taken_lie_on_the_exact_curve() -> None:
    found = solvable.curves(600)
    np.testing.assert_allclose(solvable.stepped(600, solvable.DECAYS[0], 500), found[0.002]["test"][:501], rtol=1e-9)
    assert 3.9 < found[0.002]["generalized"] / found[0.008]["generalized"] < 4.1
    labels = [mark.label for mark in solvable.figure(600).panels[0].marks]
    assert labels.count("steps that are taken") == 1


def test_arms_are_compared_at_a_rate_chosen_on_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "SMALL", replace(TINY, p=7))
    monkeypatch.setattr(rules, "STEPS", 30)
    found = rules.tuned(Lab("quick", 500, progress=None))
    assert list(found) == list(grokking.arms(0.01, 0.4))
    assert found["no decay"].never == "2 of 2 never"
    assert rules.best(np.array([np.inf, 300.0, 200.0]), np.array([0.9, 1.0, 1.0])) == 2
    assert rules.best(np.array([np.inf, np.inf, np.inf]), np.array([0.1, 0.5, 0.2])) == 1
    panels = rules.figure(Lab("quick", 500, progress=None)).panels
    assert len(panels) == 2
    bars = panels[1].marks[0]
    heights = dict(zip(bars.labels, bars.values.tolist(), strict=True))
    assert heights["no decay > 30: 2 of 2 never"] == 30  # the last step, and not 0
    assert min(heights.values()) > 0


def test_planted_delays_are_equal_and_inverse_and_others_are_not() -> None:
    products = np.array([decay.product(cell) for cell in decay.CELLS])
    noise = np.exp(0.02 * np.random.default_rng(0).normal(size=(len(products), 8)))
    table = 3 / products[:, None] * noise
    ratios = dict(decay.equal(decay.CELLS, table))
    assert len(ratios) == 4  # one pair at 0.002 and three at 0.004; those at 0.008 are beyond
    assert all(1 / 1.15 < one.low < one.high < 1.15 for one in ratios.values())
    slope = decay.power(decay.CELLS, table)
    assert 0.8 < slope.low < slope.high < 1.2
    slow = np.array([cell[0] == 5e-3 for cell in decay.CELLS])
    other = dict(decay.equal(decay.CELLS, np.where(slow[:, None], 1.5 * table, table)))
    assert max(one.low for one in other.values()) > 1.15
    assert decay.power(decay.CELLS, np.full_like(table, 500.0) * noise).high < 0.8
    assert [decay.product(decay.CELLS[row]) for row in decay.smallest(decay.CELLS)] == [0.001, 0.002]
    assert [decay.product(decay.QUICK[row]) for row in decay.smallest(decay.QUICK)] == [0.002, 0.004]


def test_shuffled_delays_are_predicted_worse_and_equal_ones_as_well() -> None:
    products = [decay.product(cell) for cell in decay.CELLS]
    table = 100 + 3 / np.array(products)[:, None] * np.ones(4)
    null = decay.shuffled(products, table, [0, 3], seed=0)
    assert np.mean(null < 0.15) < 0.05
    assert np.allclose(decay.shuffled(products, np.full_like(table, 500.0), [0, 3], seed=0), 0)


def test_a_delay_with_frozen_norms_is_set_against_that_with_decay() -> None:
    found = decay.against(np.array([250.0, 240.0, 260.0]), np.array([500.0, 500.0, 520.0]), 900)
    assert found.high < 1
    assert decay.against(np.array([250.0, np.inf, 950.0]), np.full(3, 500.0), 900).high == np.inf


def test_a_network_that_does_not_memorize_counts_as_one_that_does_not_grok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decay, "MAIN", replace(TINY, lr=1e-6))
    found = decay.without_decay(Lab("quick", 500, progress=None), [500], 100)
    assert np.isinf(found.frozen).all()
    assert np.isinf(found.delay).all()


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("grokking")
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
