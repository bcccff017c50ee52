"""What the command line says of claims with parts, with the lecture's own wording, and below their budget."""

import json
from dataclasses import replace

import pytest

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.cli.main import main
from thalweg.statistics import Interval
from thalweg.studies import Lab, Study, decides

PARTS = (Part("early", "It is more early.", greater(0), "nats"), Part("late", "Late.", less(0), "bits", decides=False))
CLAIM = Claim("MP1", "It is more.", "Twice.", greater(0), "tons", None, PARTS, greater(2), {"steps": 1_000})


@pytest.fixture
def ran(catalog_of_one):
    """A study of one claim with two parts; how many steps it ran may be changed."""
    steps = [100]

    @decides(CLAIM)
    def experiment(lab: Lab) -> Finding:
        above, below = Interval(1.0, 0.5, 1.5, 5, "made up"), Interval(-1.0, -1.5, -0.5, 7, "made up")
        return lab.finding(above, parts={"early": below, "late": above}, lecture=above, ran={"steps": steps[0]})

    catalog_of_one(Study("fake", "Many parts", (experiment,)))
    return steps


def rows(out: str) -> list[list[str]]:
    """First cell, verdict and interval of every row of the table of verdicts."""
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]
    return [[row[0], row[2][2:], row[3]] for row in cells if row and (row[0] == "MP1" or row[0].startswith("-"))]


def test_study_and_show_have_a_row_for_every_part(ran, tmp_path, capsys):
    ran[0] = 1_000
    assert main(["study", "fake", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    wanted = [["MP1", "fails: early, opposite", "1 [0.5, 1.5]"], ["- early", "fails: opposite", "-1 [-1.5, -0.5]"]]
    wanted += [["- late", "fails: opposite", "1 [0.5, 1.5]"], ["- lecture", "fails: opposite", "1 [0.5, 1.5]"]]
    assert rows(printed.out) == wanted
    assert "budget" not in printed.out
    assert main(["show", "study/fake/quick/0", "--store", str(tmp_path)]) == 0
    assert rows(capsys.readouterr().out) == wanted


def test_below_the_budget_it_says_what_was_missing(ran, tmp_path, capsys):
    target = tmp_path / "result.json"
    assert main(["study", "fake", "--json", str(target), "--no-save"]) == 0
    printed = capsys.readouterr()
    assert rows(printed.out)[0] == ["MP1", "undecided: 100 of 1,000 steps", "1 [0.5, 1.5]"]
    assert "MP1 undecided (100 of 1,000 steps)" in printed.err
    (claim,) = json.loads(target.read_text())["claims"]
    assert (claim["verdict"], claim["shortfall"]) == ("undecided", "100 of 1,000 steps")
    assert [part["verdict"] for part in claim["parts"]] == ["fails", "fails"]
    assert claim["lecture"]["verdict"] == "fails"


def test_the_list_of_studies_has_parts_and_budgets(ran, capsys):
    assert main(["studies"]) == 0
    out = capsys.readouterr().out
    assert "- early" in out
    assert "It is more early." in out
    assert main(["studies", "--json", "-"]) == 0
    (claim,) = json.loads(capsys.readouterr().out)[0]["claims"]
    assert [part["id"] for part in claim["parts"]] == ["early", "late"]
    assert claim["budget"] == {"steps": 1_000}


def test_the_list_of_studies_says_what_budget_a_claim_needs(ran, capsys):
    assert main(["studies"]) == 0
    assert "needs at least 1,000 steps" in " ".join(capsys.readouterr().out.split())


def test_a_conjunction_has_a_row_of_its_own_name(catalog_of_one, tmp_path, capsys):
    claim = Claim(
        "MP1", "Both are more.", "Twice.", every_part(), "tons", parts=(PARTS[0], replace(PARTS[0], id="end"))
    )

    @decides(claim)
    def experiment(lab: Lab) -> Finding:
        above, below = Interval(1.0, 0.5, 1.5, 5, "made up"), Interval(-1.0, -1.5, -0.5, 7, "made up")
        return lab.finding(parts={"early": above, "end": below})

    catalog_of_one(Study("fake", "Both parts", (experiment,)))
    assert main(["study", "fake", "--out", str(tmp_path)]) == 0
    found = rows(capsys.readouterr().out)
    assert [row[:2] for row in found] == [
        ["MP1", "fails: end, opposite"],
        ["- early", "holds"],
        ["- end", "fails: opposite"],
    ]


def test_close_calls_are_named_below_the_table(catalog_of_one, capsys):
    ends = {"NE1": 0.1, "FA1": 2.0, "UN1": -0.2}
    claims = [Claim(name, "It is more.", "More.", greater(0), "tons") for name in ends]

    @decides(*claims)
    def experiment(lab: Lab):
        for claim in claims:
            low = ends[claim.id]
            yield lab.finding(Interval(low + 0.5, low, low + 1, 5, "made up"), claim=claim)

    catalog_of_one(Study("fake", "Close", (experiment,)))
    assert main(["study", "fake", "--no-save"]) == 0
    out = capsys.readouterr().out
    assert "Close calls, which other seeds or another machine may flip: NE1, UN1." in " ".join(out.split())
