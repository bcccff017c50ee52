import contextlib
import dataclasses
import io
import json
import os
import re
import sys
import textwrap

import pytest
from processes import Ended, Prepared

from thalweg.cli.main import VERBS, main
from thalweg.cli.progress import Lines
from thalweg.errors import StorageError, UsageError
from thalweg.progress import Progress, duration
from thalweg.storage import Store
from thalweg.studies import Experiment

# A catalog with one study of one claim, for processes of their own.
PREPARE = textwrap.dedent(
    """
    import signal, sys
    from types import SimpleNamespace
    from thalweg.cli import crew
    from thalweg.cli.main import main
    from thalweg.claims import Claim, Finding, greater
    from thalweg.statistics import Interval
    from thalweg.studies import Experiment, Study, catalog

    claims = tuple(Claim(name, f"Statement {name}.", "It is.", greater(0), "units") for name in ("FK1", "FK2"))

    def run(context):
        for claim in claims:
            yield Finding(claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up")))
            if claim.id == INTERRUPT:
                signal.raise_signal(signal.SIGINT)

    sys.modules["fake"] = SimpleNamespace(STUDY=Study("fake", "A study", (Experiment(claims, run),)))
    catalog.MODULES = {"fake": "fake"}
    crew.cores = lambda: 1  # the made-up study is known in this process alone
    """
)


@pytest.fixture(scope="module")
def fake():
    """A process of the command line with that catalog."""
    with contextlib.closing(Prepared(PREPARE)) as prepared:

        def process(*arguments, interrupt=None, **streams) -> Ended:
            code = f"INTERRUPT = {interrupt!r}\nsys.exit(main(sys.argv[1:]))"
            return prepared.run(code, *arguments, **streams)

        yield process


@pytest.fixture(scope="module")
def light():
    """Code in a process that has imported the command line, and no more than that imports."""
    with contextlib.closing(Prepared("import sys; from thalweg.cli.main import main")) as prepared:
        yield prepared.run


@pytest.mark.parametrize(
    "arguments",
    [["--help"], [], ["tuor"], ["examine"], ["two-views"], ["landscape"], *([verb, "--help"] for verb in VERBS)],
)
def test_help_and_mistakes_do_not_load_torch(arguments, light):
    assert light(f"main({arguments!r}); sys.exit('torch' in sys.modules)").returncode == 0


def test_the_first_line_of_the_tour_comes_before_torch(light):
    code = textwrap.dedent(
        """
        import os, sys
        from thalweg.cli import main, output
        output.note = lambda text: os._exit(3 if "torch" in sys.modules or "numpy" in sys.modules else 0)
        main.main(["tour"])
        """
    )
    assert light(code).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["tuor"], "'tour'"),
        (["study", "fke"], "'fake'"),
        (["study", "fake", "--sede", "1"], "--seed"),
        (["study", "fake", "--scale", "fast"], "quick"),
        (["tour", "--outt", "x"], "--out"),
        (["show", "studdy/x"], "study"),
        (["show", "study/x", "--csv"], "reading/KEY"),
        (["train", "--data", "digit"], "digits"),
    ],
)
def test_wrong_use_is_2_and_names_the_nearest(arguments, nearest, catalog_of_one, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "thalweg-report" / "store")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert nearest in captured.err


def test_no_verb_is_wrong_use_and_help_is_not(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)
    assert main(["--version"]) == 0


def test_a_study_prints_its_table_and_writes_its_json(catalog_of_one, capsys, tmp_path):
    target = tmp_path / "result.json"
    assert main(["study", "fake", "--json", str(target), "--seed", "4"]) == 0
    captured = capsys.readouterr()
    for part in ("FK1", "Momentum is faster.", "✓ holds", "✗ fails", "? undecided", "2 [1.5, inf]", "ratio of steps"):
        assert part in captured.out
    assert "FK1 holds: Momentum is faster." in captured.err
    assert json.loads(target.read_text())["seed"] == 4


def test_json_on_stdout_is_all_there_is_on_stdout(catalog_of_one, capsys):
    assert main(["study", "fake", "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [claim["verdict"] for claim in document["claims"]] == ["holds", "fails", "undecided"]


def test_the_tour_leaves_a_report_and_a_store(catalog_of_one, capsys, tmp_path):
    out = tmp_path / "a tour"
    assert main(["tour", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert str(out / "report.html") in captured.out
    assert (out / "report.html").as_uri() in captured.out
    assert "FK3" in (out / "report.html").read_text()
    assert main(["show", "--store", str(out / "store")]) == 0
    assert "study/fake/quick/0" in capsys.readouterr().out
    assert main(["show", "study/fake/quick/0", "--store", str(out / "store")]) == 0
    assert "Momentum needs half the steps" in capsys.readouterr().out
    assert main(["show", "reading/fake/quick/0/FK1/steps", "--store", str(out / "store"), "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["rule,seed,quantity,value,unit", "sgd,0,steps,3.0,steps"]


def test_a_tour_goes_on_after_a_study_that_fails(catalog_of_one, fake_study, capsys, tmp_path):
    def failing(context):
        yield next(fake_study.experiments[0](context))
        msg = "The disk is full."
        raise StorageError(msg)

    catalog_of_one(dataclasses.replace(fake_study, experiments=(Experiment(fake_study.claims, failing),)))
    assert main(["tour", "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "The study fake failed: The disk is full." in captured.err
    assert "Traceback" not in captured.err
    assert "without a verdict: FK2, FK3" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("debug", ["flag", "variable"])
def test_a_fault_is_one_sentence_unless_asked_for_more(debug, catalog_of_one, fake_study, capsys, monkeypatch):
    catalog_of_one(
        dataclasses.replace(fake_study, experiments=(Experiment(fake_study.claims, lambda context: iter([1 / 0])),))
    )
    assert main(["study", "fake"]) == 1
    captured = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: division by zero" in captured
    assert "Traceback" not in captured
    if debug == "variable":
        monkeypatch.setenv("THALWEG_DEBUG", "1")
    assert main(["study", "fake", *(["--debug"] if debug == "flag" else [])]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["0", "", "false", "No"])
def test_debugging_that_is_off_is_off(word, catalog_of_one, fake_study, capsys, monkeypatch):
    catalog_of_one(
        dataclasses.replace(fake_study, experiments=(Experiment(fake_study.claims, lambda context: iter([1 / 0])),))
    )
    monkeypatch.setenv("THALWEG_DEBUG", word)
    assert main(["study", "fake"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_debugging_a_tour_shows_where_its_study_failed(catalog_of_one, fake_study, capsys, tmp_path):
    def at_this_place(context):
        return iter([1 / 0])

    catalog_of_one(dataclasses.replace(fake_study, experiments=(Experiment(fake_study.claims, at_this_place),)))
    assert main(["tour", "--out", str(tmp_path), "--debug"]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert "in at_this_place" in err


def test_an_interrupted_tour_is_130_with_all_that_was_done(tmp_path, fake):
    ended = fake("tour", "--out", str(tmp_path / "out"), interrupt="FK1")
    assert ended.returncode == 130, ended.err
    assert "Traceback" not in ended.err
    assert "Interrupted" in ended.err
    assert "FK1" in ended.out
    assert "Stopped before it was done; without a verdict: FK2." in (tmp_path / "out" / "report.html").read_text()
    found = Store(tmp_path / "out" / "store").get("study", "fake/quick/0/unfinished").document
    assert [claim["id"] for claim in found["claims"]] == ["FK1"]


def test_a_tour_interrupted_after_its_last_claim_still_leaves_its_report(tmp_path, fake):
    ended = fake("tour", "--out", str(tmp_path / "out"), interrupt="FK2")
    assert ended.returncode == 130, ended.err
    assert "FK2" in ended.out
    assert "Stopped before" not in (tmp_path / "out" / "report.html").read_text()


def test_wrong_use_of_the_tour_is_2(catalog_of_one, fake_study, capsys, tmp_path):
    def failing(context):
        msg = "its own wrong use."
        raise UsageError(msg)
        yield

    catalog_of_one(dataclasses.replace(fake_study, experiments=(Experiment(fake_study.claims, failing),)))
    assert main(["tour", "--out", str(tmp_path)]) == 2
    assert "The study fake failed: its own wrong use." in capsys.readouterr().err


def test_an_interrupted_study_writes_no_half_json(tmp_path, fake):
    target = tmp_path / "result.json"
    ended = fake("study", "fake", "--json", str(target), "--no-save", interrupt="FK1")
    assert ended.returncode == 130
    assert "Stopped after 1 of 2 claims, not kept, as --no-save says." in ended.err
    assert "FK1" in ended.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["studies"], ["errata"], ["--help"], ["study", "fake", "--json", "-"], ["tour"]])
def test_a_reader_that_leaves_does_no_harm(arguments, tmp_path, fake, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    ended = fake(*arguments, stdout=writing)
    os.close(writing)
    assert ended.returncode == 0, ended.err
    assert "Broken pipe" not in ended.err
    assert "Exception" not in ended.err
    if arguments == ["tour"]:
        assert (tmp_path / "thalweg-report" / "report.html").is_file()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("arguments", [["studies"], ["errata", "--json", "-"], ["--help"], ["study", "--help"]])
def test_a_full_disk_under_stdout_is_one_sentence(arguments, fake):
    with open("/dev/full", "w") as full:
        ended = fake(*arguments, stdout=full.fileno())
    assert ended.returncode == 1
    assert ended.err.splitlines() == [
        "thalweg: What should go to stdout cannot be written: No space left on device; send it elsewhere."
    ]


def test_an_unwritable_target_is_one_sentence(catalog_of_one, capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert main(["tour", "--out", str(tmp_path / "file")]) == 1
    assert main(["studies", "--json", str(tmp_path / "file" / "x.json")]) == 1
    assert main(["study", "fake", "--out", str(tmp_path / "file" / "deeper")]) == 1
    err = capsys.readouterr().err
    assert err.count("thalweg: ") == 3
    assert "To keep the results elsewhere: --out DIR; to keep nothing: --no-save." in err
    assert "Traceback" not in err
    assert (tmp_path / "file").read_text() == "mine"


def test_lists_are_strict_json(catalog_of_one, capsys):
    assert main(["studies", "--json", "-"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [claim["id"] for claim in listed[0]["claims"]] == ["FK1", "FK2", "FK3"]
    assert main(["errata", "--json", "-"]) == 0
    assert {"id", "lecture", "right", "why", "source"} <= set(json.loads(capsys.readouterr().out)[0])


def test_tables_are_for_people(catalog_of_one, capsys):
    assert main(["studies"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    rule = "holds if wholly above 1.1, the smallest effect worth having; fails if wholly below it (opposite if also"
    assert f"FK1 Momentum is faster. ratio of steps: {rule} below 1, else too small to matter)" in words
    assert main(["errata"]) == 0
    out = capsys.readouterr().out
    assert "nesterov-look-ahead" in out
    assert not re.search(r"^ *tested ", out, flags=re.MULTILINE)  # the catalog has the made-up study alone
    assert "planned OPT3" in out


def test_lines_come_seldom_and_say_what_is_left(capsys):
    now = [0.0]
    lines = Lines(clock=lambda: now[0])
    for step in range(1, 101):
        now[0] = step / 5
        lines.watch(Progress("training", step, 1000, float(step)))
    assert capsys.readouterr().err.splitlines() == [
        "  training: 25 of 1,000, 16 min 15 s left",
        "  training: 50 of 1,000, 15 min 50 s left",
        "  training: 75 of 1,000, 15 min 25 s left",
        "  training: 100 of 1,000, 15 min 00 s left",
    ]


def test_durations_are_readable():
    assert [duration(seconds) for seconds in (0.4, 59, 60, 3_599, 3_660)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "59 min 59 s",
        "1 h 01 min",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_are_bars_that_leave_nothing_behind(monkeypatch):
    from thalweg.cli import progress

    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.display() as bars:
        assert isinstance(bars, progress.Bars)
        bars.watch(Progress("training", 1, 2, 1.0))
        bars.note("FK1 [holds]")
        bars.watch(Progress("training", 2, 2, 2.0))
        assert bars._task == {}
    assert "training" in screen.getvalue()
    assert "FK1 [holds]" in screen.getvalue()
