"""Who waits for processes: one that is forked, a process of another, a thread, a worker, one that can start none."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import pytest
from working import quiet, results, until

import thalweg as tw
from thalweg.progress import Progress
from thalweg.workers import Processes
from thalweg.workers.packing import packed
from thalweg.workers.team import dismiss

DOUBLED = {0: 0, 1: 2, 2: 4}


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    dismiss()


def doubling():
    """No name of this file, which workers could not import."""
    return lambda item, tell: 2 * item


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_that_ends_stops_nothing():
    children = []

    def spoken(item, tell):
        for step in range(20):
            tell(Progress("working", step, 20, 0.0))
            time.sleep(0.05)
        return 2 * item

    def heard(number, progress):
        if not children:  # as a DataLoader with workers makes
            children.append(multiprocessing.get_context("fork").Process(target=int))
            children[0].start()
            children[0].join(20)

    assert results(Processes(2), spoken, [0, 1, 2], heard) == DOUBLED
    assert children[0].exitcode == 0


def test_a_fork_that_leaves_the_call_stops_nothing():
    text = """
    import os, sys, time
    from thalweg.progress import Progress
    from thalweg.workers import Processes
    def work(item, tell):
        for step in range(20):
            tell(Progress("working", step, 20, 0.0))
            time.sleep(0.05)
        return 2 * item
    forked = []
    def heard(number, progress):
        if not forked:
            forked.append(os.fork())
            if not forked[0]:
                sys.exit()
            os.waitpid(forked[0], 0)
    try:
        print(sorted(done.found for done in Processes(2).map(work, [0, 1, 2], heard)))
    except SystemExit:
        os._exit(0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[0, 2, 4]\n", "")


METHODS = """
import multiprocessing, sys, time
from thalweg.workers import Processes
def work(item, tell): return 2 * item
def child(queue):
    try:
        queue.put(sorted(done.found for done in Processes(2).map(work, [0, 1, 2], lambda *told: None)))
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")
if __name__ == "__main__":
    child(multiprocessing.get_context("spawn").SimpleQueue())
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,), daemon=sys.argv[2] == "daemonic")
    process.start()
    print(queue.get())
    process.join(20)
    print(process.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("how", ["daemonic", "not"])
def test_processes_of_multiprocessing(tmp_path, method, how):
    """One that may have processes of its own ends when its work does; one that may not says so."""
    (tmp_path / "script.py").write_text(METHODS)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", tmp_path / "script.py", method, how],
        capture_output=True,
        text=True,
        timeout=60,
    )
    refused = (
        "WorkerError: This process is daemonic, as those of multiprocessing.Pool are, and may have no processes of its "
        "own; begin it with daemon=False, or leave out workers."
    )
    assert (done.stdout.splitlines(), done.stderr) == ([refused if how == "daemonic" else "[0, 2, 4]", "0"], "")


def test_in_threads():
    found = [None] * 3

    def run(number):
        found[number] = results(Processes(2), doubling(), range(3))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [DOUBLED] * 3


def test_in_workers():
    def nested(item, tell):
        return results(Processes(2), lambda inner, tell: inner + item, [0, 1])

    begun = time.monotonic()
    assert results(Processes(2), nested, [10, 20]) == {0: {0: 10, 1: 11}, 1: {0: 20, 1: 21}}
    dismiss()
    assert time.monotonic() - begun < 40  # processes of processes do not keep them from ending until they are idle


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_work_begins_processes_of_its_own():
    """As a DataLoader with workers does, and a pool of multiprocessing."""

    class Numbers:
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return float(index)

    def loaded(item, tell):
        from torch.utils.data import DataLoader

        return sum(batch.sum().item() for batch in DataLoader(Numbers(), batch_size=2, num_workers=1))

    def pooled(item, tell):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(abs, [-1, -2])

    assert results(Processes(1), loaded, [0]) == {0: 15.0}
    assert results(Processes(1), pooled, [0]) == {0: [1, 2]}


def pids():
    return results(Processes(2), lambda item, tell: os.getpid(), range(8)).values()


@pytest.mark.parametrize("noticed", [False, True])
def test_a_process_that_is_killed_while_it_waits_for_work(noticed):
    from thalweg.workers import team

    first = set(pids())
    os.kill(next(iter(first)), signal.SIGKILL)
    if noticed:
        until(lambda: team._waiting[-1].broken)
    assert not set(pids()) & first


def test_no_more_files_may_be_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 3, hard))
    try:
        with pytest.raises(tw.WorkerError, match=r"^No process can be started .*Too many open files"):
            results(Processes(2), doubling(), [0, 1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert results(Processes(2), doubling(), range(3)) == DOUBLED


def test_no_room_for_the_work(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(tw.WorkerError, match=r"bytes, cannot be written for workers to read it .*TMPDIR\.$"):
        list(Processes(2).map(doubling(), [0, 1], quiet))


def test_what_is_nested_too_deeply():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(tw.WorkerError) as caught:
        packed(deep, "The work", "cannot be sent to a worker")
    while deep:  # as Python itself would do, one call inside the other
        deep = deep[0]
    assert str(caught.value) == (
        "The work cannot be sent to a worker because it is nested too deeply; flatten it, or leave it out."
    )
