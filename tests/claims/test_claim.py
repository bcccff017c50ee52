import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.claims import Claim, Part, greater, less, weakest, within
from thalweg.claims.documents import summary, verdict_from, whole
from thalweg.claims.rule import rule_from_json, rule_to_json
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


def test_without_a_smallest_effect_every_effect_is_worth_having():
    assert greater(1) == greater(1, worth=1)
    assert less(1).landmarks == less(1, worth=1).landmarks == (1,)
    assert less(1, worth=0.5).landmarks == (1, 0.5)


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


def _claim(**changes: object) -> Claim:
    return Claim("X1", "It is more.", "It is much more.", greater(0), "numbers", **changes)


def test_the_weakest_part_that_decides_decides() -> None:
    parts = (Part("early", "Early.", greater(0), "a"), Part("late", "Late.", less(0), "b"))
    claim = _claim(parts=parts)
    above, below, both = Interval(1, 0.5, 1.5, 5, "m"), Interval(-1, -1.5, -0.5, 5, "m"), Interval(0, -1, 1, 5, "m")
    for early, late, wanted in ((above, below, "holds"), (above, both, "undecided"), (both, above, "fails")):
        assert claim.judge(above, parts={"early": early, "late": late}).outcome == wanted
    assert claim.judge(both, parts={"early": above, "late": below}).outcome == "undecided"
    beside = _claim(parts=(parts[0], Part("late", "Late.", less(0), "b", decides=False)))
    verdict = beside.judge(above, parts={"early": above, "late": above})
    assert (verdict.outcome, verdict.parts[1].outcome) == ("holds", "fails")


def test_the_weakest_of_outcomes() -> None:
    assert weakest(["holds", "holds"]) == "holds"
    assert weakest(["holds", "undecided"]) == "undecided"
    assert weakest(["undecided", "fails", "holds"]) == "fails"


def test_the_lectures_wording_is_judged_apart() -> None:
    above = Interval(1, 0.5, 1.5, 5, "m")
    verdict = _claim(lecture_rule=greater(2)).judge(above, lecture=above)
    assert verdict.outcome == "holds"
    assert verdict.lecture is not None
    assert verdict.lecture.outcome == "fails"
    assert summary(verdict)["lecture"]["verdict"] == "fails"


def test_below_its_budget_a_claim_is_undecided() -> None:
    claim, above = _claim(budget={"steps": 1000, "seeds": 5}), Interval(1, 0.5, 1.5, 5, "m")
    short = claim.judge(above, ran={"steps": 100, "seeds": 5})
    assert (short.outcome, short.shortfall) == ("undecided", "100 of 1,000 steps")
    assert summary(short)["shortfall"] == "100 of 1,000 steps"
    enough = claim.judge(above, ran={"steps": 1000, "seeds": 7})
    assert (enough.outcome, enough.shortfall) == ("holds", "")


@pytest.mark.parametrize(
    ("claim", "arguments", "message"),
    [
        (_claim(), {"parts": {"early": Interval(1, 0, 2, 5, "m")}}, r"X1 has the parts \[\]; got intervals of"),
        (_claim(parts=(Part("a", "A.", less(0), "u"),)), {}, r"X1 has the parts \['a'\]; got intervals of \[\]"),
        (_claim(lecture_rule=less(0)), {}, "has a lecture_rule for the lecture's own wording, .* and got none"),
        (_claim(), {"lecture": Interval(1, 0, 2, 5, "m")}, "has no lecture_rule"),
        (_claim(budget={"steps": 9}), {}, r"about a budget of \{'steps': 9\}; say what ran"),
    ],
)
def test_what_does_not_fit_the_claim_is_refused(claim: Claim, arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        claim.judge(Interval(1, 0.5, 1.5, 5, "m"), **arguments)


def test_a_verdict_is_made_again_from_its_document() -> None:
    claim = _claim(
        parts=(Part("early", "Early.", within(0, 2), "a", decides=False),), lecture_rule=less(0), budget={"steps": 9}
    )
    interval = Interval(1, 0.5, math.inf, 5, "m")
    verdict = claim.judge(
        interval, numbers={"a": [1.5]}, parts={"early": interval}, lecture=interval, ran={"steps": 8.0}
    )
    document = json.loads(json.dumps(summary(verdict) | whole(verdict), allow_nan=False))
    assert verdict_from(document) == verdict
