"""LTH10: the number, a wrong one, and the best of random masks."""

import itertools

import numpy as np
import pytest

from thalweg.studies import Lab
from thalweg.studies.tickets import counting
from thalweg.tickets import log10_subnetworks

LAB = Lab("quick", 500, progress=None).on((counting.CLAIM,))
SEEN = counting.Luck(np.random.default_rng(0).normal(0.1, 0.02, (2, 50)).clip(0.01, 0.2), np.array([0.6, 0.7]))


def test_the_number_holds_and_that_of_the_lecture_fails() -> None:
    verdict = counting.found(LAB, log10_subnetworks(10**6, 10**5), SEEN).verdict
    assert verdict.lecture is not None
    assert (verdict.outcome, verdict.lecture.outcome) == ("holds", "fails")
    assert f"{verdict.interval.estimate:,.1f}" in counting.CLAIM.statement
    wrong = counting.found(LAB, 250_000.0, SEEN).verdict
    assert wrong.lecture is not None
    assert (wrong.outcome, wrong.lecture.outcome) == ("fails", "holds")


def test_approximations_are_those_that_the_corrections_name() -> None:
    assert f"{counting.log10_power(10**6, 10**5):,.0f}" in (counting.CLAIM.corrected or "")
    assert counting.log10_entropy(10**6, 10**5) == pytest.approx(141_181.7, abs=0.05)
    assert counting.log10_power(1_000, 2) == pytest.approx(log10_subnetworks(1_000, 2), abs=1e-3)


def test_the_best_of_some_is_the_mean_over_all_choices_of_them() -> None:
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    for draws in range(1, 6):
        brute = np.mean([max(one) for one in itertools.combinations(values, draws)])
        assert counting.best_of(values, draws) == pytest.approx(brute)


def test_the_largest_of_normal_draws_is_as_in_tables() -> None:
    """1 / sqrt(pi) of two, 1.5 / sqrt(pi) of three, and of ten and a thousand by quadrature elsewhere."""
    found = counting.largest_of_normal(np.array([1, 2, 3, 10, 1_000]))
    assert found == pytest.approx([0, np.pi**-0.5, 1.5 * np.pi**-0.5, 1.53875, 3.24144], abs=2e-3)


def test_luck_on_a_small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "STEPS", 20)
    seen = counting.luck(LAB, [500_000], 40)
    assert seen.random.shape == (1, 40)
    assert len(np.unique(seen.random)) > 3
    figure, sentence = counting.figure_of(seen)
    assert figure.panels[0].y.label
    assert "The best of 40 random masks" in sentence
