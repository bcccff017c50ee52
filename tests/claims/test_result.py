"""What a study's result writes into a store, and when."""

import dataclasses

import numpy as np
import pytest

from thalweg.claims import Claim, Finding, StudyResult, greater
from thalweg.errors import StorageError
from thalweg.results import Reading
from thalweg.statistics import Interval
from thalweg.storage import Store

CLAIMS = tuple(Claim(name, f"{name} is true.", "It is said.", greater(0), "units") for name in ("A1", "A2", "A3"))


def finding(index: int, value: float) -> Finding:
    readings = tuple(
        Reading(name, {"v": np.full((3, 3), value + place)}, {"v": ("step", "seed")})
        for place, name in enumerate(("loss", "gap"))
    )
    return Finding(CLAIMS[index].judge(Interval(1.0, 0.5, 2.0, 5, "made up")), readings=readings)


FINDINGS = (finding(0, 1.0), finding(1, 10.0), finding(2, 100.0))


def result(count: int, findings: tuple[Finding, ...] = FINDINGS) -> StudyResult:
    planned = tuple(claim.id for claim in CLAIMS)
    return StudyResult("made-up", "quick", 0, 1.0, "0", findings[:count], planned=planned)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def written(monkeypatch) -> list[dict]:
    """The arrays that are written to objects, in order."""
    seen: list[dict] = []
    stage = Store._stage
    monkeypatch.setattr(Store, "_stage", lambda self, tensors: seen.append(dict(tensors)) or stage(self, tensors))
    return seen


def keys(store: Store) -> list[str]:
    return sorted(record.key for record in store.list("reading"))


def test_every_reading_is_written_once_from_the_first_finding_to_the_finished_result(store: Store, written: list):
    for count in (1, 2, 3):
        result(count).save(store)
        assert len(written) == (2, 4, 6)[count - 1]
    result(3).save(store)
    assert len(written) == 6
    assert keys(store) == sorted(f"made-up/quick/0/{claim.id}/{name}" for claim in CLAIMS for name in ("loss", "gap"))
    assert [record.key for record in store.list("study")] == ["made-up/quick/0"]
    assert store.check() == []
    loaded = StudyResult.load(store, "made-up/quick/0")
    for old, new in zip(FINDINGS, loaded.findings, strict=True):
        assert [one.to_json() for one in new.readings] == [one.to_json() for one in old.readings]


def test_a_reading_that_changed_is_written_in_place_of_what_an_earlier_run_left(store: Store, written: list):
    result(2).save(store)
    other = (finding(0, 2.0), *FINDINGS[1:])
    result(2, other).save(store)
    result(3, other).save(store)
    assert len(written) == 4 + 2 + 2
    loaded = StudyResult.load(store, "made-up/quick/0")
    assert loaded.findings[0].readings[0]["v"][0, 0] == 2.0
    assert len(list((store.path / "objects").iterdir())) == 6


def test_a_finish_that_fails_leaves_the_unfinished_result_whole(store: Store, monkeypatch: pytest.MonkeyPatch):
    result(2).save(store)
    put = Store.put

    def full(self: Store, kind: str, *arguments, **more):
        if kind == "study":
            message = "The disk is full."
            raise StorageError(message)
        return put(self, kind, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", full)
        with pytest.raises(StorageError, match="disk is full"):
            result(3).save(store)
    part = StudyResult.load(store, "made-up/quick/0/unfinished")
    assert [one.verdict.claim.id for one in part.findings] == ["A1", "A2"]
    assert part.findings[1].readings[1].to_json() == FINDINGS[1].readings[1].to_json()
    dataclasses.replace(part, findings=(*part.findings, FINDINGS[2])).save(store)
    assert len(StudyResult.load(store, "made-up/quick/0").findings) == 3
    assert ("study", "made-up/quick/0/unfinished") not in store
