"""Where the commands of the tests run: in a folder of their own, as wide as no terminal says."""

import pytest


@pytest.fixture(autouse=True)
def place(tmp_path_factory, monkeypatch):
    """The working directory, in which a study keeps its results unless it is told otherwise."""
    folder = tmp_path_factory.mktemp("place")
    monkeypatch.chdir(folder)
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "THALWEG_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return folder
