"""What the page says below the table of verdicts, and of claims whose every part is to hold."""

import re

from thalweg import report
from thalweg.claims import Claim, Part, every_part, greater
from thalweg.statistics import Interval
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
