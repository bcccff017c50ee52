"""What the tests of the store do in processes of their own: die, crowd, and run out of space.

Each is a function of a directory, to be called in a process of its own; it raises unless everything held.
"""

import functools
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from thalweg.errors import StorageError
from thalweg.storage import Store, atomic, checksums, records, schema, statefile, store

WATCHED = {module.__file__ for module in (atomic, checksums, schema, statefile, store)}


def forked(work: Callable[[], object]) -> int:
    """Run in a child process; the signal that killed it, or 0."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the child failed"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def killed_at(line: int, work: Callable[[], object]) -> bool:
    """Run in a child that is sent SIGKILL before it runs the line-th line of the store's code; whether it was.

    Lines in a loop count twice at most: further rounds leave the disk in no other state.
    """
    rounds: Counter[tuple[str, int]] = Counter()

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal line
        if frame.f_code.co_filename not in WATCHED:
            return None
        place = (frame.f_code.co_filename, frame.f_lineno)
        rounds[place] += event == "line"
        if event == "line" and rounds[place] <= 2:
            if line == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            line -= 1
        return watch

    def traced() -> None:
        sys.settrace(watch)
        work()
        sys.settrace(None)

    return forked(traced) == signal.SIGKILL


def content(values: Store) -> int | None:
    """What the store holds under ("run", "a"), having checked that record and arrays are of one write."""
    assert not values.check(), values.check()
    if ("run", "a") not in values:
        return None
    record = values.get("run", "a")
    number = record.document["number"]
    state = values.arrays(record.objects["state"])
    assert state["theta"].tolist() == [number] * 3
    assert values.arrays(record.objects["same"])["x"].tolist() == [7.0]
    return number


def put(values: Store, number: int, key: str = "a") -> None:
    state = {"theta": torch.full((3,), float(number)), "tied": torch.ones(2)}
    values.put("run", key, {"number": number}, {"state": state, "same": {"x": torch.tensor([7.0])}})


def garbage(path: Path) -> int:
    """How many files lie there that nothing refers to, after which there are none."""
    for file in (path / "unfinished").iterdir():
        os.utime(file, (0, 0))
    removed = Store(path).collect()
    held = {sha for record in Store(path).list("run") for sha in record.objects.values()}
    assert {file.stem for file in (path / "objects").iterdir()} == held
    assert not list((path / "unfinished").iterdir())
    return removed


def die_in_put(path: Path) -> None:
    values = Store(path)
    put(values, 0)
    before, line, seen = 0, 0, set()
    while killed_at(line, functools.partial(put, values, line + 1)):
        after = content(values)
        assert after in (before, line + 1)
        seen.add(after == before)
        before, line = after, line + 1
    assert content(values) == line + 1
    assert line > 50, line
    assert seen == {True, False}  # some kills came before the commit, some after
    assert garbage(path) > 0
    assert content(values) == line + 1


def die_in_first_use(path: Path) -> None:
    line = 0
    while killed_at(line, functools.partial(Store, path / str(line))):
        assert content(Store(path / str(line))) is None
        line += 1
    put(Store(path / "0"), 2)
    assert content(Store(path / "0")) == 2
    assert line > 20, line


def die_in_delete(path: Path) -> None:
    values = Store(path)
    line = 0
    while True:
        put(values, line)
        put(values, line, "b")  # shares the objects, which must not go with "a"
        if not killed_at(line, lambda: values.delete("run", "a")):
            break
        assert content(values) in (None, line)
        line += 1
    assert content(values) is None
    assert line > 10, line
    garbage(path)


def die_in_collect(path: Path) -> None:
    values = Store(path)
    put(values, 1)
    line = 0
    while True:
        (path / "objects" / f"{'0' * 64}.safetensors").write_bytes(b"left by a killed process")
        if not killed_at(line, lambda: assert_none(values.collect())):
            break
        assert content(values) == 1
        line += 1
    assert content(values) == 1
    assert line > 10, line


def assert_none(removed: int) -> None:
    assert removed == 1


def at_once(work: Callable[[int], None], begin: Callable[[], object] = lambda: None) -> list[int]:
    """The exit codes of four processes."""
    children = []
    for name in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(name)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    begin()
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def crowd(path: Path) -> None:
    """Four processes make one store, and write, read, delete and collect in it at once."""

    def work(name: int) -> None:
        values = Store(path)
        for number in range(12):
            put(values, number, "shared")
            put(values, number, f"own {name}")
            values.put("reading", f"{name} {number}", {"number": number})
            values.collect()
            assert values.get("run", f"own {name}").document == {"number": number}
            record = values.get("run", f"own {name}")
            assert values.arrays(record.objects["state"])["theta"].tolist() == [number] * 3
            values.get("run", "shared")
        values.delete("reading", f"{name} 0")

    assert at_once(work) == [0] * 4
    values = Store(path)
    assert not values.check()
    assert len(values.list("reading")) == 4 * 11
    assert len(values.list("run")) == 5
    assert garbage(path) == 0


def older(path: Path) -> bytes:
    """The database of a store of version 1 with one record."""
    current, seal = schema.MIGRATIONS, records.seal
    schema.MIGRATIONS, records.seal = current[:1], lambda *_: None
    put(Store(path), 5)
    schema.MIGRATIONS, records.seal = current, seal
    return (path / "thalweg.db").read_bytes()


def die_in_migration(path: Path) -> None:
    """Whenever a kill comes, the store is as it was or up to date, and nobody sees anything between."""
    before, line, versions = older(path), 0, set()
    while True:
        (path / "thalweg.db").write_bytes(before)
        if not killed_at(line, functools.partial(Store, path)):
            break
        reader = Store(path, create=False)
        assert content(reader) == 5
        with reader._database.connection() as database:
            versions.add(schema.version_of(database))
        line += 2
        if line % 6 == 0:
            assert content(Store(path)) == 5
    assert 1 in versions <= {1, len(schema.MIGRATIONS)}
    assert line > 20, line
    assert content(Store(path)) == 5


def migrate_at_once(path: Path) -> None:
    """Four processes open an older store at once, and each writes to it."""
    older(path)
    begin = os.pipe()

    def work(name: int) -> None:
        os.read(begin[0], 1)
        values = Store(path, create=name % 2 == 0)
        assert content(values) == 5
        put(values, name, f"own {name}")

    assert at_once(work, lambda: os.write(begin[1], b"....")) == [0] * 4
    values = Store(path)
    assert not values.check()
    assert len(values.list("run")) == 5


def full(path: Path) -> None:
    """No file may grow past 40 kB: arrays, then the database, do not fit."""
    values = Store(path)
    put(values, 1)

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        for document, arrays in (
            ({"number": 2}, {"state": {"theta": torch.zeros(100_000)}}),
            ({"number": 2, "text": "x" * 100_000}, {"state": {"theta": torch.full((3,), 2.0)}}),
        ):
            with pytest.raises(StorageError, match=r"is full.* nothing was changed"):
                values.put("run", "a", document, arrays)
        target = path / "weights.safetensors"
        with pytest.raises(StorageError, match="is full"):
            statefile.save_state_file(target, {"x": torch.zeros(100_000)})
        assert not target.exists()

    assert forked(work) == 0
    assert content(values) == 1
    assert garbage(path) == 0
    assert sorted(file.name for file in path.iterdir()) == ["objects", "thalweg.db", "unfinished"]


def forbidden(path: Path) -> None:
    """A directory of another user: a new store is refused; an old one can be read and not written."""
    values = Store(path / "mine")
    put(values, 1)
    older(path / "old")
    for name in ("mine", "old"):
        for part in ("", "objects", "unfinished"):
            (path / name / part).chmod(0o555)
        (path / name / "thalweg.db").chmod(0o444)
    path.chmod(0o555)

    def work() -> None:
        if os.geteuid() == 0:
            os.setegid(65534)
            os.seteuid(65534)  # nobody
        for attempt in (lambda: Store(path / "new"), lambda: put(values, 2), lambda: values.delete("run", "a")):
            with pytest.raises(StorageError, match="permissions"):
                attempt()
        assert content(Store(path / "mine")) == 1
        assert content(Store(path / "old")) == content(Store(path / "old", create=False)) == 5
        with pytest.raises(StorageError, match="permissions"):
            put(Store(path / "old"), 2)

    assert forked(work) == 0
    assert content(values) == 1
