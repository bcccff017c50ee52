"""Whole files or none, and what is no plain file keeps what it is."""

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from thalweg.cli import output
from thalweg.errors import StorageError
from thalweg.figures import Figure, Line
from thalweg.report import write
from thalweg.storage import save_state_file

FIGURE = Figure.of("A line", [Line(np.arange(3.0), np.arange(3.0))])
ONES = {"ones": np.ones(2)}

# What writes a file, by the ending it is given.
WRITERS = {
    ".safetensors": lambda path: save_state_file(path, ONES),
    ".html": lambda path: write([], path),
    ".json": lambda path: output.write_json(str(path), "{}"),
    ".png": FIGURE.save,
    ".svg": FIGURE.save,
}


@pytest.fixture(params=WRITERS)
def case(request: pytest.FixtureRequest, tmp_path: Path):
    """A file's name, and what writes it."""
    return tmp_path / f"written{request.param}", WRITERS[request.param]


def content(case) -> bytes:
    path, writes = case
    writes(path)
    return path.read_bytes()


def test_a_link_stays_one_and_its_file_is_replaced(case) -> None:
    expected, (path, writes) = content(case), case
    path.unlink()
    folder = path.parent / "behind"
    folder.mkdir()
    for target in (folder / "there", folder / "not yet"):
        if target.name == "there":
            target.write_bytes(b"before")
        path.symlink_to(target)
        writes(path)
        assert path.is_symlink()
        assert target.read_bytes() == expected
        path.unlink()
    assert sorted(file.name for file in folder.iterdir()) == ["not yet", "there"]


def test_a_pipe_is_written_into(case) -> None:
    expected, (path, writes) = content(case), case
    path.unlink()
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    writes(path)
    reader.join()
    assert read == [expected]
    assert path.is_fifo()


def test_a_device_is_written_into(case) -> None:
    path, writes = case
    path.symlink_to("/dev/null")
    writes(path)
    assert path.is_char_device()
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(StorageError, match="is full"):
        writes(path)


def test_a_folder_or_a_socket_is_refused_and_left_alone(case, monkeypatch: pytest.MonkeyPatch) -> None:
    path, writes = case
    path.mkdir()
    with pytest.raises(StorageError, match="is a directory, and a file was expected"):
        writes(path)
    path.rmdir()
    monkeypatch.chdir(path.parent)  # a socket's name has at most 100 letters
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
        with pytest.raises(StorageError, match="neither a file nor a pipe"):
            writes(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_permissions_are_kept_and_new_files_follow_the_mask(case) -> None:
    path, writes = case
    before = os.umask(0o027)
    try:
        writes(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        writes(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_refused(case) -> None:
    path, writes = case
    writes(path)
    path.chmod(0o444)
    with pytest.raises(StorageError, match="cannot be written or read"):
        writes(path)


def test_a_writer_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figure.png"
    path.write_bytes(b"before")
    monkeypatch.setattr("thalweg.figures.to_matplotlib.save", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        FIGURE.save(path)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]


SCRIPT = """
import sys
from pathlib import Path
from thalweg.cli import output
print("first")
output.write_json(sys.argv[1], "{}")
print("last")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "a link"])
@pytest.mark.parametrize("to", ["file", "pipe"])
def test_the_stream_of_the_process_is_written_in_turn(tmp_path: Path, name: str, to: str) -> None:
    """Also where it is a file, which opened anew would be written from its start, or replaced."""
    if name == "a link":
        name = str(tmp_path / "link")
        Path(name).symlink_to("/dev/stdout")
    command = [sys.executable, "-c", SCRIPT, name]
    if to == "pipe":
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    else:
        with (tmp_path / "out").open("w") as file:
            subprocess.run(command, stdout=file, check=True)
        said = (tmp_path / "out").read_text()
    assert said == "first\n{}\nlast\n"
