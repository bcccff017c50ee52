"""Planted nulls of CON4: units in random order, networks that only differ by that, and a share that does not fall."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from thalweg.claims import Finding
from thalweg.studies import Lab
from thalweg.studies.connectivity import relabeling
from thalweg.studies.connectivity.lines import relabeled
from thalweg.studies.connectivity.relabeling import ACTIVATIONS, CENTER, METHODS, SIGNALS, WEIGHTS, WIDTH
from thalweg.studies.connectivity.setting import DIGITS, Ends, Shared, trained

LAB = Lab("quick", 500, progress=None).on((relabeling.CLAIM,))
SMALL = replace(DIGITS.with_hidden(48, 48), steps=300)
THREE = SimpleNamespace(
    center={WEIGHTS: np.full(4, 0.1) + np.arange(4) / 100, relabeling.PLAIN: np.ones(4)},
    to_first=np.full(4, 0.1) + np.arange(4) / 100,
    between=np.full(4, 0.09),
)


@pytest.fixture(scope="module")
def ends() -> Ends:
    return trained(LAB, SMALL, range(500_000, 500_018))


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relabeling, "WIDTHS", {"quick": (24, 48)})


def outcomes(finding: Finding) -> dict[str, str]:
    """Of every part, whatever the budget: networks are narrow here."""
    return {part.part.id: part.outcome for part in finding.verdict.parts}


@pytest.mark.usefixtures("widths")
def test_matched_units_leave_little_of_the_barrier(ends: Ends) -> None:
    finding = relabeling.found(LAB, Shared(ends))
    found = outcomes(finding)
    assert found[WEIGHTS] == found[ACTIVATIONS] == "holds"
    assert found[SIGNALS] == "undecided"  # which is looked at at full scale
    assert finding.verdict.outcome == "undecided"
    assert "300 of 600 steps" in finding.verdict.words
    for figure in finding.figures:
        figure.to_matplotlib()
    shares = finding.verdict.numbers["share of the barrier that is left, by width"]["48"]
    assert 0.7 < np.mean(shares[relabeling.RANDOM]) < 1.5


@pytest.mark.usefixtures("widths")
def test_units_in_random_order_leave_all_of_it(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_random(problem: object, reference: object, population: object, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(population=relabeled(problem, population, seed=7))

    monkeypatch.setattr(relabeling.connectivity, "align", at_random)
    found = outcomes(relabeling.found(LAB, Shared(ends)))
    assert found[WEIGHTS] == found[ACTIVATIONS] == found[CENTER] == "fails"
    assert found[WIDTH] != "holds"


def test_of_networks_that_differ_by_the_order_of_their_units_nothing_is_left(ends: Ends) -> None:
    same = replace(ends, second=relabeled(ends.problem, ends.first, 1), third=relabeled(ends.problem, ends.first, 2))
    one = relabeling.measured(LAB, same)
    assert one.values(relabeling.LOSS, relabeling.PLAIN).min() > 0.1
    for method in METHODS:
        assert one.left(method).max() < 2e-3
    three = relabeling.triples(LAB, one)
    assert three.between.max() < 1e-3
    own = three.center[WEIGHTS]
    assert own == pytest.approx(three.halfway["aligned"], abs=1e-5)
    assert own.max() < 0.2 * three.center[relabeling.PLAIN].min()


def shares(*by_width: list[float]) -> dict[int, SimpleNamespace]:
    """What is left at widths 16, 32, ..., the same by both methods."""
    return {
        16 * 2**place: SimpleNamespace(left=lambda _, left=left: np.array(left)) for place, left in enumerate(by_width)
    }


@pytest.mark.parametrize(
    ("by_width", "outcome"),
    [
        (([0.2, 0.21, 0.19, 0.2], [0.1, 0.11, 0.1, 0.09], [0.05, 0.05, 0.06, 0.05]), "holds"),
        (([0.1, 0.12, 0.09, 0.1], [0.11, 0.1, 0.1, 0.11], [0.1, 0.11, 0.11, 0.09]), "undecided"),
        (([0.05, 0.05, 0.06, 0.05], [0.1, 0.11, 0.1, 0.09], [0.2, 0.21, 0.19, 0.2]), "fails"),
    ],
)
def test_the_share_must_fall_with_the_width(by_width: tuple[list[float], ...], outcome: str) -> None:
    found = shares(*by_width)
    judged = relabeling.judged([found[16]], found, THREE)
    part = next(one for one in relabeling.CLAIM.parts if one.id == WIDTH)
    assert part.rule.judge(judged[WIDTH].low, judged[WIDTH].high) == outcome
    side = next(one for one in relabeling.CLAIM.parts if one.id == relabeling.SIDE)
    assert side.rule.judge(judged[side.id].low, judged[side.id].high) == "fails"  # no higher than that to the first


def test_the_harder_setting_is_judged_by_the_worse_method() -> None:
    values = {WEIGHTS: np.array([0.1, 0.11, 0.12, 0.1]), ACTIVATIONS: np.array([0.3, 0.31, 0.32, 0.3])}
    hard = SimpleNamespace(left=values.__getitem__)
    found = shares([0.2, 0.21, 0.19, 0.2], [0.1, 0.11, 0.1, 0.09])
    assert relabeling.judged([found[16], hard], found, THREE)[SIGNALS].estimate > 0.29
