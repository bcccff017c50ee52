"""The store among processes that are killed, crowd it, or cannot write. See store_processes.py for the jobs."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Prepared


@pytest.fixture
def place() -> Iterator[Path]:
    # Not tmp_path: pytest keeps that from other users, and one job becomes another user.
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    for inside in (directory, *directory.rglob("*")):
        inside.chmod(0o755)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def jobs() -> Iterator[Prepared]:
    """A process that knows the jobs."""
    folder = str(Path(__file__).parent)
    prepare = f"import sys; sys.path.insert(0, {folder!r}); from pathlib import Path; import store_processes"
    with contextlib.closing(Prepared(prepare)) as prepared:
        yield prepared


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
def test_the_store_holds(place: Path, job: str, jobs: Prepared) -> None:
    done = jobs.run(f"store_processes.{job}(Path(sys.argv[1]))", str(place))
    assert done.returncode == 0, done.err
