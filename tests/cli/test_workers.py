"""`--workers`: who carries out the experiments of a study and of the tour, and what is shown meanwhile."""

import importlib.util
import io
import json
import sys
from types import SimpleNamespace

import pytest
from planted import Shuffled

from thalweg.claims import Claim, Finding, greater
from thalweg.cli import crew, progress
from thalweg.cli.board import Board, Total
from thalweg.cli.main import main
from thalweg.cli.progress import Bars, Lines
from thalweg.errors import UsageError, WorkerError
from thalweg.progress import Progress
from thalweg.statistics import Interval
from thalweg.storage import Store
from thalweg.studies import Experiment, Study, catalog
from thalweg.workers import Processes


@pytest.fixture
def two(monkeypatch):
    """A catalog of two studies of two experiments, which planted workers carry out, whatever is written."""
    happens = {"ran": []}

    def study(name):
        def experiment(claim):
            def body(lab):
                lab.labelled("at work")(Progress("", 1, 2, 0.5))
                happens.get(claim.id, lambda: None)()
                happens["ran"].append(claim.id)
                yield Finding(claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up")))

            return Experiment((claim,), body)

        claims = [Claim(f"{name.upper()}{i}", "It is more.", "It is.", greater(0), "units") for i in (1, 2)]
        return Study(name, f"The study {name}", tuple(map(experiment, claims)))

    for name in ("one", "two"):
        monkeypatch.setitem(sys.modules, f"study_{name}", SimpleNamespace(STUDY=study(name)))
    monkeypatch.setattr(catalog, "MODULES", {"one": "study_one", "two": "study_two"})
    monkeypatch.setattr("thalweg.workers.Processes", lambda count: Shuffled(count))
    return happens


def interrupt():
    raise KeyboardInterrupt


def verdicts(place, name):
    return [claim["id"] for claim in Store(place / "thalweg-report" / "store").get("study", name).document["claims"]]


def test_a_tour_side_by_side_decides_all_and_says_which_study_is_done(two, capsys, place):
    assert main(["tour", "--workers", "3"]) == 0
    captured = capsys.readouterr()
    assert two["ran"] != sorted(two["ran"])  # another order than that of the tour
    assert captured.out.index("ONE1") < captured.out.index("ONE2") < captured.out.index("TWO1")
    assert "Study one is done: 2 holds." in captured.err
    assert "TWO2 holds: It is more." in captured.err
    assert verdicts(place, "two/quick/0") == ["TWO1", "TWO2"]
    assert ("tour", "quick/0") not in Store(place / "thalweg-report" / "store")


@pytest.mark.parametrize("order", ["2", "3", "4", "5"])
@pytest.mark.parametrize("later", ["1", "2"])
def test_an_interrupted_tour_goes_on_with_the_experiments_that_are_missing(order, later, two, capsys):
    two["TWO1"] = interrupt
    assert main(["tour", "--workers", order]) == 130
    assert f"Go on with: thalweg tour --scale quick --seed 0 --workers {order}." in capsys.readouterr().err
    del two["TWO1"]
    assert main(["tour", "--workers", later]) == 0
    assert sorted(two["ran"]) == ["ONE1", "ONE2", "TWO1", "TWO2"]


def test_a_tour_goes_on_after_an_experiment_that_fails(two, capsys, place):
    two["ONE1"] = lambda: 1 / 0
    assert main(["tour", "--workers", "2"]) == 1
    err = capsys.readouterr().err
    assert "The experiment of ONE1 failed; the tour goes on." in err
    assert "The study one (ONE1) failed: division by zero" in err
    assert sorted(two["ran"]) == ["ONE2", "TWO1", "TWO2"]
    del two["ONE1"]
    assert main(["tour", "--workers", "2"]) == 0
    assert sorted(two["ran"]) == ["ONE1", "ONE2", "TWO1", "TWO2"]


def test_a_tour_whose_workers_die_keeps_what_was_finished(two, monkeypatch, capsys, place):
    class Dying(Shuffled):
        def map(self, work, items, heard):
            yield next(super().map(work, items, heard))
            raise WorkerError("The process died.")

    monkeypatch.setattr("thalweg.workers.Processes", lambda count: Dying(count))
    assert main(["tour", "--workers", "2"]) == 1
    assert "The process died." in capsys.readouterr().err
    assert (place / "thalweg-report" / "report.html").is_file()


def test_a_study_side_by_side_is_that_of_one_process(two, capsys):
    found = []
    for word in ("none", "1", "2", "3", "4"):
        assert main(["study", "two", "--no-save", "--json", "-", "--workers", word]) == 0
        document = json.loads(capsys.readouterr().out)
        del document["seconds"]
        found.append(document)
    assert all(one == found[0] for one in found)


def test_an_experiment_that_fails_is_named(two, capsys):
    two["TWO2"] = lambda: 1 / 0
    assert main(["study", "two", "--workers", "2"]) == 1
    err = capsys.readouterr().err
    assert "The experiment of TWO2 failed." in err
    assert "division by zero" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("word", ["0", "two", "-1", "1.5", "ray:", "ray://host", "rya"])
@pytest.mark.parametrize("verb", [["tour"], ["study", "schedules"]])
def test_what_are_no_workers_is_one_sentence(verb, word, capsys):
    assert main([*verb, f"--workers={word}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "thalweg: --workers must be a number of processes of at least 1, none, ray, or ray://HOST:PORT; "
        f"got {word!r}. Write --workers 2."
    )


@pytest.mark.parametrize("word", ["ray", "ray://10.0.0.1:10001"])
def test_ray_that_is_not_installed_is_one_sentence(word, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    assert main(["tour", "--workers", word]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"thalweg: --workers {word} needs Ray, which is not installed.")


def test_a_tour_has_a_process_a_core_unless_there_is_one_or_a_gpu(monkeypatch, capsys):
    assert crew.of_tour(None, "cpu") is None
    monkeypatch.setattr(crew, "cores", lambda: 5)
    assert crew.of_tour(None, "cpu") == Processes(5)
    assert crew.of_tour("1", "cpu") is None
    assert crew.of_tour(None, "cuda") is None
    assert "On cuda experiments run one after the other" in capsys.readouterr().err
    assert crew.of_tour("2", "cuda") == Processes(2)
    assert "All workers share cuda" in capsys.readouterr().err
    with pytest.raises(UsageError, match="Tasks on Ray have processors and no GPU"):
        crew.of_tour("ray", "cuda")
    assert crew.of_study("ray://head:10001", "cpu").address == "ray://head:10001"


def test_the_board_tells_how_long_the_rest_takes():
    shown, now = [], [0.0]
    screen = SimpleNamespace(show=lambda total, running: shown.append((str(total), sorted(running))))
    board = Board(screen, [20.0, 10.0, 10.0], lambda: now[0])
    board.heard(0, Progress("a", 1, 2, 1.0))
    board.heard(1, Progress("b", 1, 2, 1.0))
    now[0] = 10.0
    board.ended(1)  # 10, and half of 20: half of all
    board.heard(1, Progress("b", 2, 2, 1.0))  # too late
    assert shown == [
        ("0 of 3 experiments", [0]),
        ("0 of 3 experiments", [0, 1]),
        ("1 of 3 experiments, about 10 s left", [0]),
    ]


def test_lines_say_all_that_is_under_way_now_and_then(capsys):
    now = [0.0]
    lines = Lines(lambda: now[0])
    for now[0] in (1.0, 6.0, 7.0):
        lines.show(Total(1, 3, 12.0), {0: Progress("A, slow", 1, 4, 1.0), 2: Progress("B", 0, 4, 1.0)})
    assert capsys.readouterr().err.splitlines() == [
        "  1 of 3 experiments, about 12 s left",
        "    A, slow: 1 of 4, 3 s left",
        "    B: 0 of 4",
    ]


def test_bars_are_those_under_way_and_one_for_all(monkeypatch):
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Bars() as bars:
        bars.show(Total(0, 3), {0: Progress("A", 1, 4, 1.0), 1: Progress("B", 0, 4, 1.0)})
        bars.show(Total(1, 3, 75.0), {1: Progress("B, again", 1, 4, 1.0)})
        rows = [(task.description, task.completed) for task in bars._rich.tasks]
        assert rows == [("Experiments", 1), ("B, again", 1)]
        assert bars._rich.tasks[0].fields["left"] == "about 1 min 15 s"


def test_train_by_workers(tmp_path, capsys):
    words = ["train", "--steps", "6", "--seeds", "2", "--json"]
    found = {}
    for workers in ("none", "2"):
        assert main([*words, str(tmp_path / workers), "--workers", workers]) == 0
        found[workers] = json.loads((tmp_path / workers).read_text())["history"]
    for one, other in zip(found["none"], found["2"], strict=True):
        assert one == {**other, "value": pytest.approx(other["value"], rel=1e-4)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workers", "0"], "--workers must be a number of processes of at least 1"),
        (["--workers", "2", "--device", "cuda"], "Workers train on processors; got --workers 2 --device cuda."),
    ],
)
def test_workers_that_cannot_train(words, sentence, capsys):
    assert main(["train", *words]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
