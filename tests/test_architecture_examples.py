"""The code in ARCHITECTURE.md is what it says: written where it says, it is an instrument and a study."""

import doctest
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import thalweg
from thalweg import studies
from thalweg.results import Result
from thalweg.studies import catalog

TEXT = (Path(__file__).parent.parent / "ARCHITECTURE.md").read_text()
FILES = dict(re.findall(r"`src/(thalweg/\S+\.py)`:\n\n```python\n(.*?)```", TEXT, flags=re.DOTALL))


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The files beside those of the package, and registered as the text says."""
    for name, code in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    for package, folder in ((thalweg, "thalweg"), (studies, "thalweg/studies")):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / folder)])
    monkeypatch.setattr(thalweg, "__all__", [*thalweg.__all__, "deletion"])
    monkeypatch.setitem(catalog.MODULES, "robustness", "thalweg.studies.robustness")
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("thalweg.deletion", "thalweg.studies.robustness")):
            del sys.modules[name]
    for package, name in ((thalweg, "deletion"), (studies, "robustness")):
        vars(package).pop(name, None)


def test_every_piece_of_code_says_which_file_it_is() -> None:
    assert len(FILES) == TEXT.count("```python") == 3


@pytest.mark.usefixtures("written")
def test_the_instrument_does_what_its_example_says() -> None:
    tested = doctest.testmod(importlib.import_module("thalweg.deletion"), report=False)
    assert (tested.failed, tested.attempted > 0) == (0, True)
    problem = thalweg.Problem(lambda: thalweg.nets.mlp(64, 10), thalweg.data.digits())
    found = thalweg.deletion.deletion(problem, problem.initialize(2), 0.5)
    assert isinstance(found, Result)
    assert found["rise"].shape == found.reading.standard_errors["rise"].shape == (2,)
    assert found.figure().to_json()


@pytest.mark.usefixtures("written")
def test_the_study_runs_by_its_name() -> None:
    (finding,) = studies.run("robustness").findings
    assert finding.verdict.claim.id == "ROB1"
    assert finding.verdict.outcome == "holds"
    assert finding.verdict.interval.n == 5
