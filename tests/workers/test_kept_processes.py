"""Processes that stay for the next call, and deaths that are no end."""

import importlib
import os
import signal
import tempfile
from pathlib import Path

import pytest
from working import results, until

from thalweg.progress import Progress
from thalweg.workers import Processes
from thalweg.workers.team import dismiss


@pytest.fixture(autouse=True)
def nothing_stays():
    yield
    dismiss()


def pids():
    """Of both processes: one waits for the other."""
    with tempfile.TemporaryDirectory() as folder:

        def work(item, tell):
            (Path(folder) / str(os.getpid())).touch()
            until(lambda: len(os.listdir(folder)) == 2)
            return os.getpid()

        return set(results(Processes(2), work, range(2)).values())


def test_processes_stay_for_the_next_call(tmp_path, monkeypatch):
    first = pids()
    assert len(first) == 2
    assert pids() == first
    monkeypatch.setenv("THALWEG_TEST", "another")
    assert not pids() & first
    monkeypatch.delenv("THALWEG_TEST")
    assert pids() == first
    monkeypatch.chdir(tmp_path)
    assert not pids() & first


def test_processes_that_were_stopped_do_not_stay(tmp_path):
    def work(item, tell):
        if item == 0:
            raise LookupError
        return os.getpid()

    first = pids()
    with pytest.raises(LookupError):
        results(Processes(2), work, [0, 1])
    assert not pids() & first


def test_deaths_that_come_further_each_time_are_no_end(tmp_path):
    def work(item, tell):
        tries = tmp_path / f"tries {item}"
        count = len(tries.read_text()) if tries.exists() else 0
        tell(Progress("counting", count + 1, 100, 0.0))
        if count < 6:
            tries.write_text("." * (count + 1))
            heard = tmp_path / f"heard {item} {count + 1}"
            until(heard.exists, 30)
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    def heard(number, progress):
        (tmp_path / f"heard {number} {progress.done}").touch()

    assert results(Processes(1), work, [0], heard) == {0: 0}


def test_code_that_was_edited_is_the_code_that_runs(tmp_path, monkeypatch):
    """As in a notebook that loads edited modules anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "edited_meanwhile.py"
    file.write_text("def work(item, tell):\n    return 'old'\n")
    module = importlib.import_module("edited_meanwhile")
    assert set(results(Processes(2), module.work, [0, 1]).values()) == {"old"}
    file.write_text("def work(item, tell):\n    return 'edited'\n")
    importlib.reload(module)
    assert set(results(Processes(2), module.work, [0, 1]).values()) == {"edited"}
