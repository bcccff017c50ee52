"""Processes of this machine: results, progress, and what happens when something ends that should not."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from working import WAITS, alive, interruptible, quiet, results, script, until, workers_of

import thalweg as tw
from thalweg.progress import Progress
from thalweg.workers import Here, Processes, Workers
from thalweg.workers.team import dismiss


def children():
    """Processes of this one, but for those that watch over names of shared memory until Python ends."""
    listed = subprocess.run(
        ["ps", "-ww", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True
    )
    return [line for line in listed.stdout.splitlines() if "tracker" not in line and " ps " not in f"{line} "]


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = set(children())
    yield
    dismiss()
    assert set(children()) <= before


@pytest.mark.parametrize("workers", [Here(), Processes(2)])
def test_each_item_gives_its_result(workers):
    assert isinstance(workers, Workers)
    assert results(workers, lambda item, tell: item**2, [3, 1, 2]) == {0: 9, 1: 1, 2: 4}
    assert results(workers, lambda item, tell: item, []) == {}


def test_results_come_as_they_are_there(tmp_path):
    """The first item waits for the second's result to have been taken."""

    def work(item, tell):
        while item == 0 and not (tmp_path / "taken").exists():
            time.sleep(0.01)
        return item

    order = []
    for done in Processes(2).map(work, [0, 1], quiet):
        order.append(done.found)
        (tmp_path / "taken").touch()
    assert order == [1, 0]


def test_progress_is_heard_and_its_end_always_is():
    def work(item, tell):
        for step in range(1, 1001):
            tell(Progress(f"piece {item}", step, 1000, step / 1000))

    heard = []
    results(Processes(2), work, ["a", "b", "c"], lambda number, progress: heard.append((number, progress)))
    assert {(number, f"piece {'abc'[number]}", 1000) for number in range(3)} == {
        (number, progress.label, progress.done) for number, progress in heard if progress.done == 1000
    }
    assert len(heard) < 100


def test_nobody_listening_holds_nothing_up():
    """Messages are more than a pipe takes while the first result is looked at."""

    def work(item, tell):
        for _ in range(5_000 * item):
            tell(Progress("long " * 100, 1, 1, 0.0))
        return item

    found = Processes(2).map(work, [0, 1, 1], quiet)
    assert next(found).found == 0
    assert sorted(done.found for done in found) == [1, 1]


def test_each_has_one_thread_and_says_where_it_ran():
    def work(item, tell):
        import torch

        return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.getpid(), os.getpgrp()

    for done in Processes(2).map(work, [0, 1, 2], quiet):
        threads, environment, process, group = done.found
        assert (threads, environment) == (1, "1")
        assert process == group != os.getpgrp()
        assert (done.place.threads, done.place.torch, done.place.node) == (1, sys.modules["torch"].__version__, "")


def test_work_is_sent_once_to_each(tmp_path):
    class Common:
        def __setstate__(self, state):
            (tmp_path / f"{os.getpid()}-{time.monotonic_ns()}").touch()

        def __getstate__(self):
            return {"a": 1}

    common = Common()
    results(Processes(2), lambda item, tell: common and item, range(10))
    assert len(list(tmp_path.iterdir())) <= 2


def test_a_killed_process_is_replaced(tmp_path):
    def work(item, tell):
        if item == 1 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    assert results(Processes(2), work, [0, 1, 2, 3]) == {0: 0, 1: 1, 2: 2, 3: 3}


def test_what_kills_its_process_each_time_is_named_and_others_are_not(tmp_path):
    def work(item, tell):
        if item == "piece 1":
            with open(tmp_path / "tries", "a") as file:
                file.write(".")
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return item

    items, found = [f"piece {number}" for number in range(3)], []
    with pytest.raises(
        tw.WorkerError, match=r"^The process of piece 1 died 3 times in a row and came no further, .* memory ran out"
    ):
        found.extend(done.found for done in Processes(2).map(work, items, quiet))
    assert (tmp_path / "tries").read_text() == "..."


def test_an_error_names_its_item_and_interrupts_the_others(tmp_path):
    wait = interruptible(tmp_path)

    def work(item, tell):
        if item == "bad":
            while not (tmp_path / "begun 1").exists():
                time.sleep(0.01)
            raise LookupError("nothing there")
        return wait(item, tell)

    with pytest.raises(LookupError, match="nothing there") as caught:
        results(Processes(2), work, ["bad", 1, 2])
    notes = "\n".join(caught.value.__notes__)
    assert "In bad." in notes
    assert "In the worker:\nTraceback" in notes
    assert (tmp_path / "kept 1").exists()
    assert not (tmp_path / "begun 2").exists()


def test_an_error_comes_after_what_came_to_its_end_meanwhile(tmp_path):
    def work(item, tell):
        if item == 0:
            raise LookupError
        try:
            (tmp_path / "begun").touch()
            while True:
                tell(Progress("waiting", 0, 1, 0.0))
                time.sleep(0.01)
        except KeyboardInterrupt:
            return "kept"

    found = []

    def waits(item, tell):
        while item == 0 and not (tmp_path / "begun").exists():
            time.sleep(0.01)
        return work(item, tell)

    with pytest.raises(LookupError):
        found.extend(done.found for done in Processes(2).map(waits, [0, 1], quiet))
    assert found == ["kept"]


def test_errors_that_cannot_be_sent_are_told_in_words():
    class Odd(Exception):
        def __init__(self, first, second):
            super().__init__("odd")

    def work(item, tell):
        raise Odd(1, 2)

    with pytest.raises(tw.WorkerError, match="Odd: odd"):
        results(Processes(1), work, [0])


def test_results_that_cannot_be_sent_are_named():
    with pytest.raises(tw.WorkerError, match="What the work returned cannot be sent back because of a generator"):
        results(Processes(1), lambda item, tell: {"a": (x for x in [])}, [0])


def test_results_that_cannot_be_made_again_are_named():
    class Odd:
        def __reduce__(self):
            return int, ("odd",)

    with pytest.raises(tw.WorkerError, match=r"^What the work returned cannot be read here \(ValueError: .*") as caught:
        results(Processes(1), lambda item, tell: Odd(), ["piece 0"])
    assert caught.value.__notes__ == ["In piece 0."]


def test_work_that_ends_an_iteration():
    def work(item, tell):
        raise StopIteration(item)

    with pytest.raises(tw.WorkerError, match=r"^The work raised StopIteration: 3"):
        results(Processes(1), work, [3])


def test_an_error_of_who_hears_stops_the_work(tmp_path):
    def heard(number, progress):
        raise LookupError("ears")

    with pytest.raises(LookupError, match="ears"):
        results(Processes(1), interruptible(tmp_path), [1], heard)
    assert (tmp_path / "kept 1").exists()


def test_who_takes_no_more_results_interrupts_the_rest(tmp_path):
    found = Processes(2).map(interruptible(tmp_path), [0, 1], quiet)
    assert next(found).found == 0
    found.close()
    assert (tmp_path / "kept 1").exists()


def test_a_script_on_standard_input_without_a_guard(tmp_path):
    text = """
    scale = 10
    class Own:
        value = 1
    def work(item, tell):
        return item * scale + Own.value
    print(sorted(done.found for done in Processes(2).map(work, [1, 2], quiet)))
    """
    out, err = script(tmp_path, text).communicate(timeout=60)
    assert (out, err) == ("[11, 21]\n", "")


def test_a_script_in_a_file_and_its_neighbor(tmp_path):
    (tmp_path / "neighbor.py").write_text("def work(item, tell):\n    return item + 1\n")
    (tmp_path / "script.py").write_text(
        "from thalweg.workers import Processes\nfrom neighbor import work\n"
        "print(sorted(done.found for done in Processes(2).map(work, [1, 2], lambda *told: None)))\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[2, 3]\n", "")


def test_ctrl_c_gives_what_is_there_and_then_interrupts(tmp_path):
    text = """
    for done in Processes(2).map(work, [0, 1, 2, 3], quiet):
        print(done.found, flush=True)
    """
    process = script(tmp_path, WAITS + textwrap.dedent(text))
    until(lambda: (tmp_path / "begun 1").exists() and (tmp_path / "begun 2").exists())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == "done\n"
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "leaked" not in err
    assert process.returncode == -signal.SIGINT
    assert (tmp_path / "kept 1").exists()
    assert (tmp_path / "kept 2").exists()
    assert not (tmp_path / "begun 3").exists()
    until(lambda: not any(map(alive, workers_of(tmp_path))), 5)


def test_ctrl_c_while_a_result_is_handled(tmp_path):
    text = """
    for done in Processes(2).map(work, [0, 1, 2], quiet):
        (folder / "handling").touch()
        time.sleep(60)
    """
    process = script(tmp_path, WAITS + textwrap.dedent(text))
    until(lambda: (tmp_path / "handling").exists() and (tmp_path / "begun 1").exists())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "leaked" not in err
    assert (tmp_path / "kept 1").exists()
    until(lambda: not any(map(alive, workers_of(tmp_path))), 5)


def test_the_second_ctrl_c_does_not_wait(tmp_path):
    text = """
    def deaf(item, tell):
        (folder / f"pid {os.getpid()}").touch()
        (folder / f"begun {item}").touch()
        time.sleep(120)
    list(Processes(1).map(deaf, [1], quiet))
    """
    process = script(tmp_path, text)
    until(lambda: (tmp_path / "begun 1").exists())
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "leaked" not in err
    until(lambda: not any(map(alive, workers_of(tmp_path))), 5)


def test_workers_end_when_the_driver_is_killed(tmp_path):
    process = script(tmp_path, WAITS + "list(Processes(2).map(work, [1, 2], quiet))", start_new_session=True)
    until(lambda: (tmp_path / "begun 1").exists() and (tmp_path / "begun 2").exists())
    process.kill()
    process.communicate(timeout=30)
    until(lambda: not any(map(alive, workers_of(tmp_path))), 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "Processes count must be a whole number of at least 1; got 0."),
        ({"count": True}, "Processes count must be a whole number of at least 1; got True."),
        ({"count": 1.5}, "Processes count must be a whole number of at least 1; got 1.5."),
        ({"count": "2"}, "Processes count must be a whole number of at least 1; got '2'."),
        ({"count": 2, "slices": 0}, "Processes slices must be a whole number of at least 1; got 0."),
        ({"count": 2, "slices": "all"}, "Processes slices must be a whole number of at least 1; got 'all'."),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(tw.UsageError) as caught:
        Processes(**arguments)
    assert str(caught.value) == message


def test_slices_are_as_many_as_processes_if_not_said():
    assert (Processes(3).slices, Processes(3, slices=5).slices) == (3, 5)
    assert Processes().count == Processes().slices >= 1
