import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.claims.claim import Claim, greater, less, rule_from_json, rule_to_json, within
from thalweg.errors import UsageError
from thalweg.statistics.interval import Interval

finite = st.floats(-100, 100)


@pytest.mark.parametrize(
    ("rule", "low", "high", "expected"),
    [
        (greater(1), 1.1, 2, "holds"),
        (greater(1), 1.0, 2, "undecided"),
        (greater(1), 0.5, 2, "undecided"),
        (greater(1), 0.5, 0.9, "fails"),
        (greater(1), 0.5, 1.0, "undecided"),
        (greater(0, worth=1), 0.2, 3, "holds"),
        (greater(0, worth=1), 0.2, 0.9, "fails"),  # real, but smaller than is worth having
        (greater(0, worth=1), -3, -2, "fails"),
        (greater(0, worth=1), -0.1, 1.5, "undecided"),
        (greater(0, worth=1), -0.1, 0.5, "fails"),
        (less(0, worth=-1), -3, -0.2, "holds"),
        (less(0, worth=-1), -0.9, -0.2, "fails"),
        (less(0, worth=-1), 2, 3, "fails"),
        (less(0, worth=-1), -1.5, 0.1, "undecided"),
        (within(0.5, 1), 0.51, 0.99, "holds"),
        (within(0.5, 1), 0.5, 0.9, "undecided"),  # an end is not between
        (within(0.5, 1), 0.5, 0.5, "undecided"),
        (within(0.5, 1), 0.6, 1.0, "undecided"),
        (within(0.5, 1), 0.4, 0.8, "undecided"),
        (within(0.5, 1), 0.1, 0.4, "fails"),
        (within(0.5, 1), 1.1, 1.4, "fails"),
        (within(0.5, 1), 0.1, 1.4, "undecided"),
        (greater(1), 1.1, math.inf, "holds"),
        (greater(1), -math.inf, math.inf, "undecided"),
        (greater(1), math.nan, 2, "undecided"),
        (less(1), -2, math.nan, "undecided"),
        (within(0, 1), math.nan, math.nan, "undecided"),
    ],
)
def test_a_verdict_follows_from_rule_and_interval(rule, low, high, expected):
    assert rule.judge(low, high) == expected


@given(finite, finite, finite, finite)
def test_less_is_the_mirror_image_of_greater(threshold, extra, one, other):
    low, high = sorted((one, other))
    worth = threshold + abs(extra)
    above = greater(threshold, worth=worth).judge(low, high)
    below = less(-threshold, worth=-worth).judge(-high, -low)
    assert above == below


@given(finite, finite, finite, finite)
def test_more_doubt_never_turns_one_decision_into_the_other(threshold, one, other, doubt):
    low, high = sorted((one, other))
    narrow = greater(threshold).judge(low, high)
    wide = greater(threshold).judge(low - abs(doubt), high + abs(doubt))
    assert wide in (narrow, "undecided")


def test_an_estimate_that_is_not_a_number_decides_nothing():
    claim = Claim("X1", "It is.", "It is.", greater(0), "units")
    assert claim.judge(Interval(math.nan, 1, 2, 5, "")).outcome == "undecided"
    assert claim.judge(Interval(1.5, 1, 2, 5, "")).outcome == "holds"


def test_the_outcome_cannot_be_set():
    verdict = Claim("X1", "It is.", "It is.", greater(0), "units").judge(Interval(1, 0.5, 2, 5, ""))
    with pytest.raises(AttributeError):
        verdict.outcome = "fails"


@pytest.mark.parametrize("rule", [greater(1), greater(0, worth=0.5), less(2), less(2, worth=1.5), within(-0.1, 0.1)])
def test_rules_survive_json(rule):
    assert rule_from_json(rule_to_json(rule)) == rule


def test_rules_read_as_sentences():
    assert greater(0, worth=0.5).text == (
        "fails if wholly below 0.5, the smallest effect worth having; otherwise holds if wholly above 0"
    )
    assert less(0, worth=-1).text == (
        "fails if wholly above -1, the smallest effect worth having; otherwise holds if wholly below 0"
    )
    assert less(1).text == "holds if wholly below 1; fails if wholly above it"
    assert within(0.5, 1).text == "holds if wholly between 0.5 and 1; fails if wholly outside"


@pytest.mark.parametrize(
    "build",
    [
        lambda: greater(1, worth=0),
        lambda: less(1, worth=2),
        lambda: within(2, 1),
        lambda: within(1, 1),
        lambda: greater(0, worth=math.nan),
    ],
)
def test_impossible_rules_are_refused(build):
    with pytest.raises(UsageError, match="got"):
        build()
