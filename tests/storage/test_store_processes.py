"""The store among processes that are killed, crowd it, or cannot write. See store_processes.py for the jobs."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    # Not tmp_path: pytest keeps that from other users, and one job becomes another user.
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    for inside in (directory, *directory.rglob("*")):
        inside.chmod(0o755)
    shutil.rmtree(directory)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the jobs fork")
@pytest.mark.parametrize(
    "job",
    [
        "die_in_put",
        "die_in_first_use",
        "die_in_delete",
        "die_in_collect",
        "die_in_migration",
        "crowd",
        "migrate_at_once",
        "full",
        "forbidden",
    ],
)
def test_the_store_holds(place: Path, job: str) -> None:
    script = Path(__file__).with_name("store_processes.py")
    done = subprocess.run([sys.executable, str(script), job, str(place)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
