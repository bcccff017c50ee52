"""What the page says in and below the table of verdicts, and of claims whose every part is to hold."""

import dataclasses
import html
import re

from thalweg import report
from thalweg.claims import Claim, Finding, Part, StudyResult, every_part, greater
from thalweg.statistics import Interval, mean
from thalweg.studies import Study, decides, run

PARTS = (Part("early", "It is more early.", greater(0), "nats"), Part("late", "It is more late.", greater(0), "nats"))
BOTH = Claim("BO1", "It is more, early and late.", "More.", every_part(), "nats", parts=PARTS)
ENDS = {"early": Interval(1.0, 0.9, 1.1, 5, "made up"), "late": Interval(1.0, 0.1, 1.9, 5, "made up")}


@decides(BOTH)
def experiment(lab):
    return lab.finding(parts=ENDS)


def _page() -> str:
    return report.page([run(Study("both", "Both", (experiment,)))])


def test_a_conjunction_is_said_by_its_parts_alone() -> None:
    page = _page()
    assert "every part that decides does" in page
    assert "The statement itself" not in page
    row = re.search(r'<table class="verdicts">.*?</table>', page, flags=re.DOTALL)
    assert row is not None
    assert "BO1" in row[0]
    assert "It is more, early and late." in row[0]


def test_chance_and_close_calls_are_said() -> None:
    page = _page()
    assert "wrong" in re.sub(r"<[^>]*>", "", page)
    assert "Close calls, which other seeds or another machine may flip: BO1." in page
    ENDS["late"] = ENDS["early"]
    try:
        assert "Close calls" not in _page()
    finally:
        ENDS["late"] = Interval(1.0, 0.1, 1.9, 5, "made up")


def _words(page: str) -> str:
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page[page.index("<body>") :]).split()))


def _result(*intervals: Interval, scale: str = "quick", seed: int = 0, rule=None, **changes) -> StudyResult:
    claims = [Claim(f"X{n}", "It is.", "It is.", rule or greater(0), "tons", **changes) for n in range(len(intervals))]
    findings = tuple(Finding(claim.judge(one)) for claim, one in zip(claims, intervals, strict=True))
    return StudyResult("one", scale, seed, 1.0, "0", findings)


def _row(page: str) -> str:
    row = re.search(r"<tbody>(.*?)</tbody>", page, flags=re.DOTALL)
    assert row is not None
    return _words(f"<body>{row[1]}")


def test_the_number_of_the_weakest_part_has_its_unit_and_its_name() -> None:
    parts = Part("early", "Early.", greater(0), "meters"), Part("late", "Late.", greater(0), "hours")
    claim = Claim("X1", "Both.", "Both.", every_part(), "tons", parts=parts)
    weak, strong = Interval(1.0, -0.5, 2.5, 5, ""), Interval(1.0, 0.5, 1.5, 5, "")
    for intervals, own in (((strong, weak), "hours (part late)"), ((weak, strong), "meters (part early)")):
        verdict = claim.judge(parts=dict(zip(("early", "late"), intervals, strict=True)))
        row = _row(report.page([StudyResult("one", "quick", 0, 1.0, "0", (Finding(verdict),))]))
        assert f"1 [-0.5, 2.5] {own}" in row
        assert "tons" not in row
    assert "1 [0.5, 1.5] tons 5" in _row(report.page([_result(strong)]))


def test_of_one_value_there_is_no_interval_and_nothing_was_tested() -> None:
    for few in (mean([0.7]), mean([0.7, 0.7])):
        words = _words(report.page([_result(few)]))
        assert "0.7 (no interval)" in words
        assert "not a number" not in words
        assert "by chance" not in words
    assert "one seed has no interval" in _row(report.page([_result(mean([0.7]))]))
    assert "by chance" in _words(report.page([_result(mean([0.7, 0.8]))]))


def test_what_fails_says_how() -> None:
    small = report.page([_result(Interval(0.3, 0.1, 0.5, 5, ""), rule=greater(0, worth=1))])
    assert "fails too small to matter" in _row(small)
    assert _words(small).count("too small to matter") > _words(small).count("else too small to matter") + 1
    assert "fails opposite" in _row(report.page([_result(Interval(-3, -4, -2, 5, ""))]))


def test_scales_and_seeds_are_counted_apart_full_first() -> None:
    sure, unsure = Interval(1.0, 0.5, 1.5, 5, ""), Interval(1.0, -0.5, 2.5, 5, "")
    quick, full = _result(unsure, sure), _result(sure, sure, scale="full")
    words = _words(report.page([quick, full, dataclasses.replace(quick, seed=1)]))
    counted = [
        "Full scale, seed 0: 2 claims tested: 2 holds.",
        "Quick scale, seed 0: 2 claims tested: 1 holds, 1 undecided.",
        "Quick scale, seed 1: 2 claims tested: 1 holds, 1 undecided.",
    ]
    places = [words.index(one) for one in counted]
    assert places == sorted(places)
    assert words.count("at most 0.14 of 2 claims would be called wrongly") == 3
    assert "Full scale, seed 0: Were every truth" in words
    alone = _words(report.page([quick]))
    assert "2 claims tested: 1 holds, 1 undecided." in alone
    assert "seed 0: 2 claims" not in alone
