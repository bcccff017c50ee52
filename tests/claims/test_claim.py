import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thalweg.claims import Claim, Judgment, Part, every_part, greater, less, weakest, within
from thalweg.claims.documents import summary, verdict_from, whole
from thalweg.claims.rule import rule_from_json, rule_to_json
from thalweg.errors import UsageError
from thalweg.statistics import Interval, mean
from thalweg.statistics.means import mean_ends

finite = st.floats(-100, 100)


@pytest.mark.parametrize(
    ("rule", "low", "high", "expected"),
    [
        (greater(1), 1.1, 2, "holds"),
        (greater(1), 1.0, 2, "undecided"),
        (greater(1), 0.5, 2, "undecided"),
        (greater(1), 0.5, 0.9, "fails"),
        (greater(1), 0.5, 1.0, "undecided"),
        (greater(0, worth=1), 1.2, 3, "holds"),
        (greater(0, worth=1), 0.2, 3, "undecided"),  # real, and it may be smaller than is worth having
        (greater(0, worth=1), 0.2, 0.9, "fails"),  # real, but smaller than is worth having
        (greater(0, worth=1), -3, -2, "fails"),
        (greater(0, worth=1), -0.1, 1.5, "undecided"),
        (greater(0, worth=1), -0.1, 0.5, "fails"),
        (less(0, worth=-1), -3, -1.2, "holds"),
        (less(0, worth=-1), -3, -0.2, "undecided"),
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


@pytest.mark.parametrize(
    ("rule", "low", "high", "failure"),
    [
        (greater(0, worth=1), 0.2, 0.9, "too small to matter"),
        (greater(0, worth=1), -3, 0.9, "too small to matter"),  # or opposite: small at any rate
        (greater(0, worth=1), -3, -2, "opposite"),
        (greater(0), -3, -2, "opposite"),
        (greater(0, worth=1), 0.2, 3, ""),
        (greater(0, worth=1), 2, 3, ""),
        (less(1, worth=0.9), 0.95, 0.99, "too small to matter"),
        (less(1, worth=0.9), 1.01, 1.2, "opposite"),
        (less(1, worth=0.9), 0.2, 0.3, ""),
        (within(0, 1), -3, -2, "below the band"),
        (within(0, 1), 2, 3, "above the band"),
        (within(0, 1), 0.2, 0.3, ""),
        (greater(0), math.nan, math.nan, ""),
    ],
)
def test_what_fails_says_how(rule, low, high, failure):
    assert rule.failure(low, high) == failure
    claim = Claim("X1", "It is.", "It is.", rule, "units")
    verdict = claim.judge(Interval((low + high) / 2, low, high, 5, ""))
    if not math.isnan(low):
        assert verdict.reason == failure
        assert verdict.words == (f"fails: {failure}" if failure else verdict.outcome)


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
        "holds if wholly above 0.5, the smallest effect worth having; fails if wholly below it (opposite if also below "
        "0, else too small to matter)"
    )
    assert less(0, worth=-1).text == (
        "holds if wholly below -1, the smallest effect worth having; fails if wholly above it (opposite if also above "
        "0, else too small to matter)"
    )
    assert every_part().text == "holds if every part does; fails if one fails"
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


def judged(low: float, high: float, name: str = "x", rule=None) -> Judgment:
    return Judgment(Part(name, "", rule or greater(0), ""), Interval((low + high) / 2, low, high, 5, "made up"))


def test_the_weakest_is_the_worst_outcome_and_of_these_the_farthest_from_holding() -> None:
    # from the weakest to the strongest
    order = [
        judged(-3, -2.9),
        judged(-3, -0.1),
        Judgment(Part("x", "", greater(0), ""), Interval(1.0, math.nan, math.nan, 1, "")),
        judged(-3, 0.1),
        judged(-3, 2.5),
        judged(-2.5, 3),
        judged(-0.1, 3),
        judged(0.1, 3),
        judged(2.9, 3),
    ]
    for strength, one in enumerate(order):
        for stronger in order[strength + 1 :]:
            assert weakest([one, stronger]) is weakest([stronger, one]) is one


def _both(**changes: object) -> Claim:
    parts = (Part("early", "Early.", greater(0), "a"), Part("late", "Late.", within(0, 2), "b"))
    return Claim("X1", "Both.", "Both.", every_part(), "numbers", **{"parts": parts} | changes)


def test_a_conjunction_is_judged_by_its_parts_alone_and_shows_the_weakest() -> None:
    above, wide, below = Interval(1, 0.5, 1.5, 5, "m"), Interval(0.2, -1, 1.4, 7, "m"), Interval(-1, -1.5, -0.5, 9, "m")
    for early, late, outcome, own in (
        (above, above, "holds", "early"),  # alike: the first
        (above, wide, "undecided", "late"),
        (wide, above, "undecided", "early"),
        (wide, below, "fails", "late"),
        (below, wide, "fails", "early"),
    ):
        verdict = _both().judge(parts={"early": early, "late": late})
        assert (verdict.outcome, verdict.own.part.id) == (outcome, own)
        assert verdict.interval == verdict.own.interval == {"early": early, "late": late}[own]
        document = json.loads(json.dumps(summary(verdict) | whole(verdict), allow_nan=False))
        assert (document["weakest part"], document["unit"], document["n"]) == (
            own,
            verdict.own.part.unit,
            verdict.interval.n,
        )
        assert verdict_from(document) == verdict
    assert verdict.words == "fails: early, opposite"


def test_a_part_that_decides_nothing_is_no_part_of_the_conjunction() -> None:
    beside = Part("beside", "Beside.", less(0), "c", decides=False)
    claim, above = _both(parts=(*_both().parts, beside)), Interval(1, 0.5, 1.5, 5, "m")
    verdict = claim.judge(parts={"early": above, "late": above, "beside": above})
    assert (verdict.outcome, verdict.parts[2].outcome) == ("holds", "fails")
    with pytest.raises(UsageError, match=r"at least two parts that decide; got \['early'\]"):
        _both(parts=(_both().parts[0], beside))


@pytest.mark.parametrize("parts", [2, 4])
def test_a_conjunction_holds_by_chance_as_rarely_as_its_false_part_alone(parts: int) -> None:
    """Judged by its best part, or by the part with the smallest estimate, it would hold far more often."""
    stream, sets, n = np.random.default_rng(5), 4_000, 6
    claim = _both(parts=tuple(Part(f"{number}", "", greater(0), "") for number in range(parts)))
    samples = stream.normal(0, 1, (parts, sets, n)) + np.r_[0.0, np.full(parts - 1, 1.5)][:, None, None]
    ends = np.stack([mean_ends(each, 199) for each in samples])
    held, by_estimate = 0, 0
    for number in range(sets):
        found = {
            f"{part}": Interval(samples[part, number].mean(), *ends[part, :, number], n, "") for part in range(parts)
        }
        held += claim.judge(parts=found).outcome == "holds"
        by_estimate += min(found.values(), key=lambda one: one.estimate).low > 0
    assert stats.binomtest(held, sets, 0.025, alternative="greater").pvalue > 1e-3
    assert by_estimate >= held


def test_intervals_stay_within_the_bounds_of_the_quantity() -> None:
    claim = _claim(bounds=(0, 1), parts=(Part("late", "Late.", less(0), "b", bounds=(-1, 1)),), lecture_rule=greater(0))
    inside = Interval(0.5, 0.0, 1.0, 5, "m")
    assert claim.judge(inside, parts={"late": inside}, lecture=inside).interval == inside
    unknown = Interval(0.5, math.nan, math.nan, 1, "m")
    assert (
        claim.judge(unknown, parts={"late": unknown}, lecture=inside).words == "undecided: X1, one seed has no interval"
    )
    outside = Interval(0.5, -0.1, 1.06, 5, "m")
    for changed in ({"interval": outside}, {"parts": {"late": outside}}, {"lecture": outside}):
        with pytest.raises(UsageError, match=r"has the bounds .* to 1; got the interval 0.5 \[-0.1, 1.06\]: write"):
            claim.judge(**{"interval": inside, "parts": {"late": inside}, "lecture": inside} | changed)


def test_one_seed_and_missing_numbers_are_said() -> None:
    claim = _claim()
    assert claim.judge(Interval(2.0, math.nan, math.nan, 1, "m")).words == "undecided: one seed has no interval"
    assert claim.judge(Interval(math.nan, math.nan, math.nan, 5, "m")).words == "undecided: a number is missing"
    assert claim.judge(Interval(math.nan, math.nan, math.nan, 0, "not run at quick scale")).words == (
        "undecided: not run at quick scale"
    )
    agreed = claim.judge(mean([2.0, 2.0, 2.0]))
    assert (agreed.words, agreed.close) == ("undecided: all values agree, which gives no interval", False)
    assert claim.judge(Interval(2.0, -1.0, 5.0, 5, "m")).words == "undecided"


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
    assert short.words == "undecided: 100 of 1,000 steps"
    assert (short.own.outcome, short.interval, short.close) == ("holds", above, False)
    assert summary(short)["shortfall"] == "100 of 1,000 steps"
    large = _claim(budget={"steps": 1_500_000}).judge(above, ran={"steps": 1.2e6})
    assert large.claim.needs == "at least 1,500,000 steps"
    assert large.shortfall == "1,200,000 of 1,500,000 steps"
    assert _claim(budget={"epochs": 2.5}).needs == "at least 2.5 epochs"
    enough = claim.judge(above, ran={"steps": 1000, "seeds": 7})
    assert (enough.outcome, enough.shortfall) == ("holds", "")


@pytest.mark.parametrize(
    ("claim", "arguments", "message"),
    [
        (_claim(), {"parts": {"early": Interval(1, 0, 2, 5, "m")}}, r"X1 has the parts \[\]; got intervals of"),
        (_claim(parts=(Part("a", "A.", less(0), "u"),)), {}, r"X1 has the parts \['a'\]; got intervals of \[\]"),
        (_claim(lecture_rule=less(0)), {}, "has a lecture_rule for the lecture's own wording, .* and got none"),
        (_claim(), {"lecture": Interval(1, 0, 2, 5, "m")}, "has no lecture_rule"),
        (_both(), {"parts": dict.fromkeys(("early", "late"), Interval(1, 0, 2, 5, "m"))}, "leave its own interval out"),
        (_claim(budget={"steps": 9}), {}, r"about a budget of \{'steps': 9\}; say what ran"),
    ],
)
def test_what_does_not_fit_the_claim_is_refused(claim: Claim, arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        claim.judge(Interval(1, 0.5, 1.5, 5, "m"), **arguments)


def test_the_lectures_wording_has_a_unit_of_its_own() -> None:
    ends, wide = Interval(0.5, 0.2, 0.8, 5, "m"), Interval(3, 2, 4, 5, "m")
    plain = _claim(bounds=(0, 1), lecture_rule=greater(1), repeats="nets").judge(ends, lecture=ends).lecture
    assert plain is not None
    assert (plain.part.unit, plain.part.repeats, plain.part.bounds) == (_claim().unit, "nets", (0, 1))
    claim = _claim(bounds=(0, 1), lecture_rule=greater(1), lecture_unit="decades", lecture_repeats="coins")
    verdict = claim.judge(ends, lecture=wide)
    assert verdict.lecture is not None
    assert (verdict.lecture.part.unit, verdict.lecture.part.repeats) == ("decades", "coins")
    assert verdict_from(json.loads(json.dumps(summary(verdict) | whole(verdict)))) == verdict


def test_a_verdict_is_made_again_from_its_document() -> None:
    claim = _claim(
        parts=(Part("early", "Early.", within(0, 2), "a", decides=False, bounds=(-1, math.inf)),),
        lecture_rule=less(0),
        budget={"steps": 9},
        bounds=(0, math.inf),
    )
    interval = Interval(1, 0.5, math.inf, 5, "m")
    verdict = claim.judge(
        interval, numbers={"a": [1.5]}, parts={"early": interval}, lecture=interval, ran={"steps": 8.0}
    )
    document = json.loads(json.dumps(summary(verdict) | whole(verdict), allow_nan=False))
    assert verdict_from(document) == verdict
