"""A study keeps its store and page where the tour does; the page is that of the whole store, and can be made again."""

import dataclasses
import os
import re
import sys
from types import SimpleNamespace

import pytest

from thalweg.claims import Claim, Finding, greater
from thalweg.cli.main import main
from thalweg.statistics import Interval
from thalweg.storage import Store
from thalweg.studies import Experiment, Study, catalog


def sections(page):
    """The studies on a page, in order."""
    return re.findall(r'id="study-([a-z]+-[a-z]+-\d+)"', page.read_text())


@pytest.fixture
def two(monkeypatch):
    """A catalog of two studies of two claims; by a claim's name, what happens in the place of its experiment."""
    happens = {}

    def study(name):
        claims = [Claim(f"{name.upper()}{i}", "It is more.", "It is.", greater(0), "units") for i in (1, 2)]

        def experiment(claim):
            def body(lab):
                happens.get(claim.id, lambda: None)()
                happens.setdefault("ran", []).append(claim.id)
                yield Finding(claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up")))

            return Experiment((claim,), body)

        return Study(name, f"The study {name}", tuple(map(experiment, claims)))

    for name in ("one", "two"):
        monkeypatch.setitem(sys.modules, f"study_{name}", SimpleNamespace(STUDY=study(name)))
    monkeypatch.setattr(catalog, "MODULES", {"one": "study_one", "two": "study_two"})
    return happens


def interrupt():
    raise KeyboardInterrupt


def test_a_study_keeps_its_results_and_its_page_and_says_where(two, capsys, place):
    assert main(["study", "two"]) == 0
    out = capsys.readouterr().out
    page = place / "thalweg-report" / "report.html"
    assert str(page) in out
    assert page.as_uri() in out
    assert sections(page) == ["two-quick-0"]
    assert ("study", "two/quick/0") in Store(place / "thalweg-report" / "store")
    assert main(["show"]) == 0
    assert "study/two/quick/0" in capsys.readouterr().out


def test_a_further_study_leaves_the_others_on_the_page(two, place):
    page = place / "thalweg-report" / "report.html"
    assert main(["tour"]) == 0
    assert main(["study", "one", "--seed", "3"]) == 0
    assert main(["study", "one", "--scale", "full"]) == 0
    assert sections(page) == ["one-full-0", "one-quick-0", "one-quick-3", "two-quick-0"]


def test_nothing_is_kept_when_told_so(two, capsys, place):
    assert main(["study", "one", "--no-save"]) == 0
    assert "report" not in capsys.readouterr().out
    assert not list(place.iterdir())


def test_with_json_on_stdout_the_path_goes_to_stderr(two, capsys, place):
    assert main(["study", "one", "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("{")
    assert captured.out.rstrip().endswith("}")
    assert str(place / "thalweg-report" / "report.html") in captured.err


def test_report_makes_the_same_page_again_and_computes_nothing(two, capsys, place):
    assert main(["tour"]) == 0
    page = place / "thalweg-report" / "report.html"
    before, ran = page.read_bytes(), list(two["ran"])
    page.unlink()
    capsys.readouterr()
    for arguments in ([], ["thalweg-report/store"], ["thalweg-report"]):
        assert main(["report", *arguments]) == 0
        assert str(page) in capsys.readouterr().out
        assert page.read_bytes() == before
    assert main(["report", "--out", "deeper/page.html"]) == 0
    assert (place / "deeper" / "page.html").read_bytes() == before
    assert two["ran"] == ran


def test_report_shows_what_it_can_read(two, capsys, place):
    assert main(["study", "one"]) == 0
    store = Store(place / "thalweg-report" / "store")
    document = store.get("study", "one/quick/0").document
    document["claims"][0]["claim"]["rule"] = {"kind": "of another Thalweg"}
    store.put("study", "two/quick/0", document)
    capsys.readouterr()
    assert main(["report"]) == 0
    assert "Not on the page, the study two/quick/0: " in capsys.readouterr().err
    assert sections(place / "thalweg-report" / "report.html") == ["one-quick-0"]
    assert main(["study", "two"]) == 0  # what cannot be read is in nobody's way
    assert sections(place / "thalweg-report" / "report.html") == ["one-quick-0", "two-quick-0"]


def test_a_store_without_a_study_makes_no_page(capsys, place):
    Store(place / "store")
    assert main(["report", "store"]) == 2
    assert "has no result of a study" in capsys.readouterr().err
    assert not (place / "report.html").exists()


def test_an_interrupted_study_says_how_to_go_on_and_then_what_it_took(two, capsys, place):
    two["TWO2"] = interrupt
    assert main(["study", "two", "--out", "a folder"]) == 130
    captured = capsys.readouterr()
    go_on = "Go on with: thalweg study two --scale quick --seed 0 --out 'a folder'."
    assert "Stopped after 1 of 2 claims, kept in a folder/store. " + go_on in captured.err
    page = place / "a folder" / "report.html"
    assert str(page) in captured.out
    assert "without a verdict: TWO2" in page.read_text()
    del two["TWO2"]
    assert main(["study", "two", "--out", "a folder"]) == 0
    err = capsys.readouterr().err
    assert re.search(r"^From the store: TWO1, of a run begun \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC.$", err, re.MULTILINE)
    assert "To be computed: TWO2.\n" in err
    assert "TWO1 holds, from the store: It is more." in err
    assert "TWO2 holds: It is more." in err
    assert "1 claim from the store, 1 claim computed now." in err
    assert two["ran"] == ["TWO1", "TWO2"]
    assert "without a verdict" not in page.read_text()


def test_an_interruption_before_the_first_claim_leaves_the_page_alone(two, capsys, place):
    two["TWO1"] = interrupt
    assert main(["study", "two"]) == 130
    assert "Stopped before the first claim was decided" in capsys.readouterr().err
    assert not (place / "thalweg-report" / "report.html").exists()


def test_an_interrupted_run_does_not_hide_a_finished_one(two, place):
    assert main(["study", "two"]) == 0
    two["TWO2"] = interrupt
    assert main(["study", "two"]) == 130
    page = place / "thalweg-report" / "report.html"
    assert sections(page) == ["two-quick-0"]
    assert "without a verdict" not in page.read_text()


def test_what_was_made_otherwise_is_computed_anew_and_says_why(two, capsys, place):
    two["TWO2"] = interrupt
    assert main(["study", "two"]) == 130
    store = Store(place / "thalweg-report" / "store")
    document = store.get("study", "two/quick/0/unfinished").document
    now = document["provenance"]["versions"]["torch"]
    document["provenance"]["versions"]["torch"] = "0.1"
    store.put("study", "two/quick/0/unfinished", document)
    del two["TWO2"]
    capsys.readouterr()
    assert main(["study", "two"]) == 0
    err = capsys.readouterr().err
    assert f"an unfinished run of this study, but it was made with torch 0.1, now {now}; everything is computed" in err
    assert "from the store" not in err
    assert main(["study", "two"]) == 0
    assert "The store has a finished result of this study; when this run is finished" in capsys.readouterr().err


def test_a_tour_goes_on_after_its_last_finished_study(two, capsys, place):
    two["TWO2"] = interrupt
    assert main(["tour"]) == 130
    assert "What was finished is kept. Go on with: thalweg tour --scale quick --seed 0." in capsys.readouterr().err
    del two["TWO2"]
    assert main(["tour"]) == 0
    err = capsys.readouterr().err
    assert "From the store, as a tour that did not end left it: ONE1, ONE2." in err
    assert "From the store: TWO1, of a run begun" in err
    assert two["ran"] == ["ONE1", "ONE2", "TWO1", "TWO2"]
    assert main(["tour"]) == 0  # the one before ended: all is computed anew
    assert two["ran"] == ["ONE1", "ONE2", "TWO1", "TWO2"] * 2
    two["TWO2"] = interrupt
    assert main(["tour"]) == 130
    del two["TWO2"]
    assert main(["tour", "--seed", "1"]) == 0  # another tour takes nothing of it
    assert two["ran"][11:] == ["ONE1", "ONE2", "TWO1", "TWO2"]


def test_a_tour_takes_no_study_whose_claims_have_changed(two, monkeypatch):
    two["TWO2"] = interrupt
    assert main(["tour"]) == 130
    del two["TWO2"]
    module = sys.modules["study_one"]
    (first, _), claim = module.STUDY.experiments, Claim("ONE3", "It is new.", "It is.", greater(0), "units")
    third = Experiment((claim,), lambda lab: iter([Finding(claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up")))]))
    monkeypatch.setattr(module, "STUDY", dataclasses.replace(module.STUDY, experiments=(first, third)))
    assert main(["tour"]) == 0
    assert two["ran"] == ["ONE1", "ONE2", "TWO1", "ONE1", "TWO2"]


def test_a_store_that_cannot_be_written_is_found_before_the_work(two, capsys, place, monkeypatch):
    assert main(["study", "one"]) == 0
    capsys.readouterr()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write everywhere
    for verb in (["study", "one"], ["tour"]):
        assert main(verb) == 1
        assert "thalweg-report cannot be written; change its permissions" in capsys.readouterr().err
    assert two["ran"] == ["ONE1", "ONE2"]
    assert main(["study", "one", "--no-save"]) == 0
    assert main(["report", "--out", "page.html"]) == 0


def test_a_folder_in_the_place_of_the_page_is_said_before_the_work(two, tmp_path, capsys):
    (tmp_path / "report.html").mkdir()
    assert main(["study", "one", "--out", str(tmp_path)]) == 1
    assert "report.html is a directory, and a file was expected" in " ".join(capsys.readouterr().err.split())
    assert "ran" not in two
