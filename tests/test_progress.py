"""Who is told of a long computation, and when it shows itself."""

import importlib
import inspect
import io
import sys
from types import ModuleType, SimpleNamespace

import pytest

import thalweg as tw
from thalweg import progress
from thalweg.errors import UsageError
from thalweg.progress import Progress, automatic, check_watcher, ignore, watched

ROOMS = ("connectivity", "curvature", "evaluation", "landscape", "spectra", "studies", "training", "tuning")


class Terminal(io.StringIO):
    """A terminal that keeps all it was sent."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def a_terminal(monkeypatch) -> Terminal:
    """The terminal that stderr is from now on; not a fixture, since the test's own capture begins after those."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    return sys.stderr


@pytest.fixture
def outputs(monkeypatch):
    """What a notebook shows, each output with all it was in turn."""
    shown: list[list[dict[str, str]]] = []

    def display(bundle, **_):
        output = [bundle]
        shown.append(output)
        return SimpleNamespace(update=lambda bundle, raw: output.append(bundle))

    module = ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(progress, "shell", lambda: SimpleNamespace(kernel=True))
    return shown


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_function_that_tells_tells_automatically(room: str) -> None:
    module = importlib.import_module(f"thalweg.{room}")
    public = [getattr(module, name) for name in module.__all__]
    defaults = [
        parameters["progress"].default
        for value in public
        if callable(value)
        for parameters in [inspect.signature(value).parameters]
        if "progress" in parameters
    ]
    assert defaults
    assert set(defaults) == {automatic}


def test_nothing_is_written_where_nobody_looks(clock, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with watched(automatic) as told:
        clock.seconds += 60
        told(Progress("train", 1, 2, 60.0))
    assert told is ignore
    assert sys.stderr.getvalue() == ""


def test_a_terminal_shows_a_bar_after_a_second_and_is_left_clean(clock, monkeypatch) -> None:
    terminal = a_terminal(monkeypatch)
    with watched(automatic) as told:
        clock.seconds += 0.9
        told(Progress("train", 1, 100, 0.9))
        assert terminal.getvalue() == ""
        clock.seconds += 0.2
        told(Progress("train", 10, 100, 1.0))
        assert "train" in terminal.getvalue()
        assert "10 of 100, 9 s left" in terminal.getvalue()
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")  # the cursor is back


def test_control_c_leaves_the_terminal_clean_and_the_next_call_its_bar(clock, monkeypatch) -> None:
    terminal = a_terminal(monkeypatch)

    def interrupted() -> None:
        with watched(automatic) as told:
            clock.seconds += 2
            told(Progress("train", 1, 100, 2.0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")
    with watched(automatic) as told:
        assert told is not ignore


def test_a_dumb_terminal_is_left_alone(clock, monkeypatch) -> None:
    terminal = a_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with watched(automatic) as told:
        clock.seconds += 2
        told(Progress("train", 1, 100, 2.0))
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("outer", [automatic, None, ignore])
def test_what_a_computation_calls_shows_nothing_of_its_own(outer, monkeypatch) -> None:
    a_terminal(monkeypatch)
    with watched(outer), watched(automatic) as told:
        assert told is ignore


def test_a_watcher_that_is_given_is_told_wherever_it_is_given() -> None:
    reports: list[Progress] = []
    with watched(automatic), watched(reports.append) as told:
        told(Progress("train", 1, 2, 1.0))
    assert [report.done for report in reports] == [1]


def test_a_generator_that_is_left_does_not_silence_what_follows(monkeypatch) -> None:
    a_terminal(monkeypatch)

    def steps():
        with watched(None):
            yield 1
            yield 2

    next(steps())
    with watched(automatic) as told:
        assert told is not ignore


def test_between_the_results_of_a_study_the_screen_is_free(monkeypatch) -> None:
    a_terminal(monkeypatch)
    claims = [tw.claims.Claim(name, "", "", tw.claims.greater(0), "numbers") for name in ("X1", "X2", "X3")]
    inside = []

    def own() -> bool:
        with watched(automatic) as told:
            return told is not ignore

    @tw.studies.decides(*claims[:2])
    def both(lab):
        for claim in claims[:2]:
            inside.append(own())
            yield lab.finding(tw.statistics.mean([0.9, 1.0, 1.1]), claim=claim)

    @tw.studies.decides(claims[2])
    def third(lab):
        inside.append(own())
        return lab.finding(tw.statistics.mean([0.9, 1.0, 1.1]))

    study = tw.studies.Study("three", "Three", (both, third))
    for _ in (results := tw.studies.iterate(study)):
        assert own()
    suspended = tw.studies.iterate(study)
    next(suspended)
    assert own()
    assert inside == [False] * 4
    del results
    reports: list[Progress] = []
    tw.studies.run(study, progress=reports.append)
    assert [report.done for report in reports if report.label == "three"] == sorted(
        report.done for report in reports if report.label == "three"
    )
    assert {report.done for report in reports} == {0, 1, 2, 3}


def test_a_notebook_shows_one_line_for_a_whole_study(clock, outputs) -> None:
    claims = [tw.claims.Claim(name, "", "", tw.claims.greater(0), "numbers") for name in ("X1", "X2")]

    @tw.studies.decides(*claims)
    def both(lab):
        for claim in claims:
            clock.seconds += 5
            yield lab.finding(tw.statistics.mean([0.9, 1.0, 1.1]), claim=claim)

    tw.studies.run(tw.studies.Study("both", "Both", (both,)))
    assert [output[-1]["text/plain"] for output in outputs] == ["both: 2 of 2 in 10 s"]


def test_a_notebook_shows_a_line_and_in_the_end_how_long_it_took(clock, outputs, nasty) -> None:
    with watched(automatic) as told:
        told(Progress(nasty, 1, 100, 0.5))
        assert outputs == []
        clock.seconds += 2
        told(Progress(nasty, 50, 100, 2.0))
        clock.seconds += 0.1
        told(Progress(nasty, 51, 100, 2.1))  # too soon after the last
        clock.seconds += 2
        told(Progress(nasty, 100, 100, 4.0))
    ((begun, half, whole, ended),) = outputs
    assert begun["text/plain"] == ""
    assert '<progress max="100" value="50">' in half["text/html"]
    assert half["text/plain"].endswith("50 of 100, 2 s left")
    assert whole["text/plain"].endswith("100 of 100")
    assert ended["text/plain"].endswith("100 of 100 in 4 s")
    assert "<script>" not in half["text/html"] + ended["text/html"]


def test_training_tells_whom_it_is_given_and_nobody_else(clock, monkeypatch) -> None:
    terminal = a_terminal(monkeypatch)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    recipe = tw.Recipe(tw.optim.SGD(0.1), steps=3, batch_size=64)
    reports: list[Progress] = []

    def told(report: Progress) -> None:
        clock.seconds += 5
        reports.append(report)

    tw.train(problem, recipe, progress=told)
    tw.train(problem, recipe, progress=None, observe=lambda *_: told(Progress("step", 1, 1, 0.0)))
    assert [report.done for report in reports if report.label == "training"] == [1, 2, 3]
    assert terminal.getvalue() == ""
    tw.train(problem, recipe, observe=lambda *_: told(Progress("step", 1, 1, 0.0)))
    assert "training" in terminal.getvalue()


def test_a_lab_that_tells_automatically_lets_its_runs_do_so() -> None:
    assert tw.studies.Lab().labelled("runs") is automatic
    assert tw.studies.Lab(progress=None).labelled("runs") is None


def test_a_watcher_is_a_function_or_none() -> None:
    check_watcher("train", None)
    with pytest.raises(UsageError, match="train progress must be a function of the progress"):
        check_watcher("train", True)
