"""Where the commands of the tests run: in a folder of their own, as wide as no terminal says."""

import pytest

from thalweg.cli import crew


@pytest.fixture(autouse=True)
def place(tmp_path_factory, monkeypatch):
    """The working directory, in which a study keeps its results unless it is told otherwise."""
    folder = tmp_path_factory.mktemp("place")
    monkeypatch.chdir(folder)
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "THALWEG_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """A tour runs in this process, unless a test says who carries it out: made-up studies are known here alone."""
    monkeypatch.setattr(crew, "cores", lambda: 1)
