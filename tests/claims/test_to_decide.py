"""What an undecided verdict says that it lacks."""

import json
import math

import pytest

from thalweg.claims import Claim, Part, StudyResult, Verdict, every_part, greater, less, within
from thalweg.claims.documents import summary, verdict_from, whole
from thalweg.statistics import POSITIVE, SHARE, Interval, interval
from thalweg.storage import Store
from thalweg.studies import Lab

MORE = Claim("X1", "It is more.", "It is more.", greater(0, worth=1), "nats")
WIDE = Interval(2.0, 0.0, 4.0, 1_000, "twice too wide")


def one(claim: Claim, found: Interval) -> Verdict:
    return claim.judge(found)


def test_an_undecided_verdict_says_how_many_seeds_would_decide() -> None:
    verdict = one(MORE, WIDE)
    (lacking,) = verdict.to_decide
    assert (lacking.id, lacking.n, lacking.repeats) == ("X1", 1_000, "seeds")
    assert lacking.about == pytest.approx(4_000, rel=0.01)
    assert verdict.lacking == (
        "1,000 seeds do not decide X1: about 4,000 would in half of all repeats, were the truth at the estimate.",
    )
    assert verdict.numbers["to decide"] == {"X1": {"there are": 1_000, "would decide": lacking.about, "of": "seeds"}}


@pytest.mark.parametrize("found", [Interval(2.0, 1.5, 2.5, 5, "holds"), Interval(0.0, -0.5, 0.5, 5, "fails")])
def test_what_is_decided_lacks_nothing(found: Interval) -> None:
    verdict = one(MORE, found)
    assert (verdict.to_decide, verdict.lacking, verdict.numbers) == ((), (), {})
    assert "lacking" not in summary(verdict)


@pytest.mark.parametrize(
    ("claim", "found", "words"),
    [
        (MORE, Interval(1.0, -1.0, 3.0, 8, ""), "No number of seeds decides X1: the estimate lies on the bound."),
        (MORE, Interval(1.0, 1.0, 1.0, 8, ""), "No number of seeds decides X1: the estimate lies on the bound."),
        (MORE, Interval(2.0, -math.inf, math.inf, 8, ""), "is not known: the interval is open to one side."),
        (MORE, interval.mean([2.0]), "is not known: one seed has no interval."),
        (MORE, interval.mean([2.0, 2.0]), "is not known: all values agree, which gives no interval."),
        (MORE, interval.mean([2.0, math.nan]), "is not known: a number is missing."),
        (MORE, Interval.missing("no seed came so far"), "is not known: no seed came so far."),
        (MORE, Interval(0.0, -9.0, 9.0, 0, ""), "is not known: nothing was measured."),
        (
            Claim("X2", "It is more.", "", greater(1), "times", bounds=POSITIVE),
            Interval(2.0, 0.0, 3.0, 8, "never arrived"),
            "is not known: the interval is open to one side.",
        ),
    ],
)
def test_where_no_number_is_known_it_is_said_why(claim: Claim, found: Interval, words: str) -> None:
    verdict = one(claim, found)
    (sentence,) = verdict.lacking
    assert sentence.endswith(words)
    assert verdict.outcome == "undecided"
    assert isinstance(verdict.numbers["to decide"][claim.id]["would decide"], str)


def test_of_a_band_the_farther_end_counts() -> None:
    band = Claim("X3", "It is about 1.", "", within(0.5, 2), "times")
    (lacking,) = one(band, Interval(1.0, 0.0, 3.0, 10_000, "")).to_decide
    assert lacking.about == pytest.approx(40_000, rel=0.01)  # 1 to the lower end, half as far; 2 to the upper one, 1
    (lacking,) = one(band, Interval(1.8, 0.8, 2.8, 10_000, "")).to_decide
    assert lacking.about == pytest.approx(250_000, rel=0.01)


def test_below_the_budget_no_seeds_help() -> None:
    claim = Claim("X4", "It is more.", "", greater(0), "nats", budget={"steps": 1_000})
    below = claim.judge(WIDE, ran={"steps": 100})
    assert below.lacking == ("X4 lacks budget, not seeds: 100 of 1,000 steps.",)
    assert below.to_decide == ()
    assert "to decide" not in below.numbers
    assert summary(below)["lacking"] == list(below.lacking)
    assert "about" in claim.judge(Interval(2.0, -1.0, 4.0, 5, ""), ran={"steps": 1_000}).lacking[0]


def test_of_a_conjunction_the_undecided_parts_are_named() -> None:
    parts = (
        Part("early", "More.", greater(0), "nats", repeats="sources of data"),
        Part("late", "Less.", less(0), "nats"),
        Part("shown", "More.", greater(0), "nats", decides=False),
    )
    claim = Claim("X5", "Both.", "", every_part(), "nats", parts=parts)
    clear, wide = Interval(1.0, 0.5, 1.5, 8, ""), Interval(1.0, -1.0, 3.0, 8, "")
    early = claim.judge(parts={"early": wide, "late": replace_sign(clear), "shown": wide})
    (sentence,) = early.lacking
    assert sentence.startswith("8 sources of data do not decide early: about ")
    both = claim.judge(parts={"early": wide, "late": replace_sign(wide), "shown": clear})
    assert [lacking.id for lacking in both.to_decide] == ["early", "late"]
    assert list(both.numbers["to decide"]) == ["early", "late"]
    failed = claim.judge(parts={"early": wide, "late": clear, "shown": clear})
    assert failed.outcome == "fails"
    assert failed.lacking == ()


def replace_sign(found: Interval) -> Interval:
    return Interval(-found.estimate, -found.high, -found.low, found.n, found.method)


def test_every_finding_of_a_lab_says_so_and_a_store_keeps_it(tmp_path) -> None:
    share = Claim("X6", "Most.", "Most.", greater(0.5), "share", bounds=SHARE, repeats="problems")
    lab = Lab(progress=None).on((share,))
    finding = lab.finding(interval.fraction([1.0, 1.0, 1.0, 0.0]), sentences=["Three of four."], numbers={"of": 4})
    first, second = finding.sentences
    assert first == "Three of four."
    assert second.startswith("4 problems do not decide X6: about 19 would in half of all repeats")
    assert (second,) == finding.verdict.lacking
    store = Store(tmp_path)
    result = StudyResult("six", "quick", 0, 0.0, "0", (finding,), planned=("X6",))
    result.save(store)
    (again,) = StudyResult.load(store, result.key).findings
    assert again.sentences == finding.sentences
    assert again.verdict == finding.verdict
    assert lab.finding(interval.fraction([1.0] * 9)).sentences == ()


def test_the_record_is_strict_json_and_makes_the_verdict_anew() -> None:
    verdict = one(MORE, WIDE)
    document = json.loads(json.dumps(summary(verdict) | whole(verdict), allow_nan=False))
    assert document["numbers"]["to decide"]["X1"]["there are"] == 1_000
    assert verdict_from(document) == verdict
