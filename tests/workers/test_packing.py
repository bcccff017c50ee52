"""What is sent to workers: what cannot be is named, what has no state of its own goes anew, and the rest goes once."""

import pickle
import socket
import threading
from collections import defaultdict, deque
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from thalweg.errors import WorkerError
from thalweg.workers.packing import pack, packed


class Holder:
    def __init__(self, held):
        self.held = held


class Log:
    def __init__(self, file):
        self.file = file


@pytest.fixture
def log(tmp_path):
    with open(tmp_path / "log", "w") as file:
        yield Log(file)


def refused(work, items=()):
    with pytest.raises(WorkerError) as caught:
        pack(work, items)
    return str(caught.value)


def test_an_attribute_of_an_object_in_a_list_in_a_closure(log):
    logs = [1, log]

    def work(item, tell):
        return logs

    assert refused(work) == (
        "The work cannot be sent to a worker because of a TextIOWrapper (in 'file' of a Log of entry 1 of 'logs' of "
        "the function work); open it in the worker, or leave it out."
    )


def test_a_socket_in_a_dict_behind_a_lambda():
    with socket.socket() as line:
        lines = {"first": 1, "second": (line,)}
        assert "because of a socket (in entry 0 of 'second' of 'lines' of a lambda)" in refused(lambda *_: lines)


def test_a_generator_object_and_a_default():
    def work(item, tell, endless=(number for number in range(3))):
        return endless

    assert "because of a generator (in 'endless' of the function work)" in refused(work)


def test_an_attribute_of_the_object_whose_method_is_the_work(log):
    class Task:
        def __init__(self):
            self.parts = SimpleNamespace(log=log)

        def carry_out(self, item, tell):
            return item

    assert "a TextIOWrapper (in 'file' of a Log of 'log' of a SimpleNamespace of 'parts' of a Task)" in refused(
        Task().carry_out
    )


class Slotted:
    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held

    def __str__(self):
        return "Members 3 to 5."


@pytest.mark.parametrize(
    ("within", "path"),
    [
        (lambda log: Slotted(log), "'held' of a Slotted"),
        (lambda log: deque([1, log]), "entry 1"),
        (lambda log: {log: 1}, "a key"),
        (lambda log: defaultdict(lambda: log), "'log' of a lambda of 'default_factory'"),
        (lambda log: partial(print, 1, end=log), "'end'"),
        (lambda log: type("Kind", (), {"log": log}), "'log' of the class Kind"),
    ],
)
def test_other_places(log, within, path):
    sentence = refused(within(log.file))
    assert sentence.startswith(f"The work cannot be sent to a worker because of a TextIOWrapper (in {path});")


def test_an_item_is_named(log):
    assert refused(print, [1, Slotted(log.file)]).startswith("Members 3 to 5 cannot be sent to a worker because of a")


@pytest.mark.parametrize(
    ("mode", "buffering"), [("r", -1), ("w", -1), ("rb", -1), ("rb", 0), ("wb", -1), ("wb", 0), ("r+b", -1)]
)
def test_an_open_file_is_always_refused(tmp_path, mode, buffering):
    """Also one to read, which cloudpickle would send as what is left of it."""
    (tmp_path / "file").write_text("text")
    with open(tmp_path / "file", mode, buffering=buffering) as file:
        assert f"because of a {type(file).__name__} (in 'held' of a Holder)" in held(file)


def held(value):
    with pytest.raises(WorkerError) as caught:
        packed(Holder(value), "It", "cannot be sent")
    return str(caught.value)


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock])
def test_a_lock_goes_as_a_fresh_one(make):
    lock = make()
    with lock:
        there = pickle.loads(packed(Holder(lock), "It", "cannot be sent")).held
    assert type(there) is type(lock)
    assert there.acquire(blocking=False)


def test_a_generator_of_torch_keeps_its_state():
    generator = torch.Generator().manual_seed(3)
    torch.rand(5, generator=generator)
    there = pickle.loads(packed([generator, generator], "It", "cannot be sent"))
    assert there[0] is there[1]
    assert torch.equal(torch.rand(4, generator=there[0]), torch.rand(4, generator=generator))


class Counted:
    """Counts how often it is pickled."""

    times = 0

    def __reduce__(self):
        type(self).times += 1
        return Counted, ()


def test_the_shared_work_is_pickled_once(monkeypatch):
    monkeypatch.setattr(Counted, "times", 0)
    shared = Counted()
    sent = pack(lambda item, tell: (shared, item), list(range(20)))
    assert Counted.times == 1
    assert [pickle.loads(item) for item in sent.items] == list(range(20))
    assert pickle.loads(sent.work)(3, None)[1] == 3
