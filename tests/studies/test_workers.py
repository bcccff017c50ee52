"""Experiments side by side: what is found is what one process finds, in whatever order experiments end."""

import dataclasses
import json

import pytest
import torch
from planted import Shuffled

from thalweg import studies
from thalweg.claims import Claim, Finding, StudyResult, greater
from thalweg.errors import UsageError
from thalweg.progress import Progress
from thalweg.statistics import Interval
from thalweg.storage import Store
from thalweg.studies import Experiment, Study, catalog
from thalweg.studies.durations import SECONDS, duration_of
from thalweg.studies.piece import Piece
from thalweg.studies.together import Together
from thalweg.workers import Here, Processes


@pytest.fixture
def four():
    """A study of four experiments, one of two claims; by a claim's name, what happens before it is found."""
    happens = {"ran": []}

    def experiment(*ids):
        claims = tuple(Claim(name, "It is more.", "It is.", greater(0), "units") for name in ids)

        def body(lab):
            for count, claim in enumerate(claims):
                lab.labelled("at work")(Progress("", count, len(claims), 0.5))
                happens.get(claim.id, lambda: None)()
                happens["ran"].append(claim.id)
                estimate = lab.seed + len(claim.id) + ord(claim.id[0]) / 100
                yield Finding(claim.judge(Interval(estimate, 0.5, 99.0, 5, "made up")))

        return Experiment(claims, body)

    groups = (("A",), ("B1", "B2"), ("C",), ("D",))
    return Study("four", "Four experiments", tuple(experiment(*ids) for ids in groups)), happens


def without_seconds(result):
    document = json.loads(result.to_json())
    del document["seconds"]
    return document


def ids(result):
    return [finding.verdict.claim.id for finding in result.findings]


@pytest.mark.parametrize("seed", range(8))
def test_no_order_of_ending_changes_a_result(seed, four, tmp_path):
    study, _ = four
    alone = studies.run(study, seed=3)
    beside = studies.run(study, seed=3, workers=Shuffled(seed), store=Store(tmp_path))
    assert without_seconds(beside) == without_seconds(alone)
    assert without_seconds(StudyResult.load(Store(tmp_path), beside.key)) == without_seconds(alone)
    assert ("study", "four/quick/3/unfinished") not in Store(tmp_path)


def test_a_result_grows_by_whole_experiments_and_is_kept_as_it_does(four, tmp_path):
    study, happens = four
    store, sizes = Store(tmp_path), []
    for result in studies.iterate(study, workers=Shuffled(1), store=store):
        sizes.append(len(result.findings))
        assert ids(result) == sorted(ids(result))
        assert sorted(happens["ran"]) == ids(result)
        assert ids(StudyResult.load(store, result.key)) == ids(result)
    assert sorted(sizes) == sizes
    assert sorted(after - before for before, after in zip([0, *sizes], sizes, strict=False)) == [1, 1, 1, 2]


def stop():
    raise KeyboardInterrupt


@pytest.mark.parametrize("later", [None, Shuffled(5)], ids=["one process", "workers"])
@pytest.mark.parametrize("seed", range(4))
def test_after_ctrl_c_only_what_is_missing_runs(seed, later, four, tmp_path):
    study, happens = four
    store, happens["B2"] = Store(tmp_path), stop
    with pytest.raises(KeyboardInterrupt):
        studies.run(study, workers=Shuffled(seed), store=store)
    before = [name for name in happens["ran"] if name != "B1"]
    if before:
        assert ids(StudyResult.load(store, "four/quick/0/unfinished")) == sorted(before)
    else:
        assert ("study", "four/quick/0/unfinished") not in store
    happens["ran"].clear()
    with pytest.raises(KeyboardInterrupt):  # a second one loses nothing
        studies.run(study, workers=Here(), store=store)
    del happens["B2"]
    ran = [*before, *(name for name in happens["ran"] if name != "B1")]
    happens["ran"].clear()
    result = studies.run(study, workers=later, store=store)
    assert sorted([*ran, *happens["ran"]]) == ["A", "B1", "B2", "C", "D"]
    assert without_seconds(result) == without_seconds(studies.run(study))


def test_what_one_process_was_interrupted_in_goes_on_side_by_side(four, tmp_path):
    study, happens = four
    store, happens["C"] = Store(tmp_path), stop
    with pytest.raises(KeyboardInterrupt):
        studies.run(study, store=store)
    happens["ran"].clear()
    del happens["C"]
    grown = [ids(result) for result in studies.iterate(study, workers=Here(), store=store)]
    assert grown == [["A", "B1", "B2"], ["A", "B1", "B2", "C"], ["A", "B1", "B2", "C", "D"]]
    assert happens["ran"] == ["C", "D"]


def test_an_experiment_that_raises_is_named_and_what_ended_is_kept(four, tmp_path):
    study, happens = four
    happens["C"] = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError) as caught:
        studies.run(study, workers=Here(), store=Store(tmp_path))
    assert "In C of the study 'four'." in caught.value.__notes__
    assert ids(StudyResult.load(Store(tmp_path), "four/quick/0/unfinished")) == ["A", "B1", "B2"]


def test_others_go_on_when_an_experiment_raises(four):
    study, happens = four
    happens["B2"] = lambda: 1 / 0
    together = Together([study], Shuffled(2))
    steps = list(together.steps())
    assert len(steps) == 4
    assert ids(together.result("four")) == ["A", "B1", "C", "D"]
    (failed,) = [step for step in steps if step.error is not None]
    assert isinstance(failed.error, ZeroDivisionError)
    assert together.pieces[failed.number].claims == ("B1", "B2")


class Odd(Exception):
    """An error that cannot be made again from what it keeps."""

    def __init__(self, first, second):
        super().__init__(first)


def test_an_error_that_cannot_be_sent_is_told_in_words(four):
    study, happens = four

    def odd():
        raise Odd("the words", 2)

    happens["A"] = odd
    (failed,) = [step for step in Together([study], Here()).steps() if step.error is not None]
    assert str(failed.error) == "The work raised Odd: the words"
    assert "In A of the study 'four'." in failed.error.__notes__


def test_a_finding_too_few_is_found_in_the_worker(four):
    study, _ = four
    first = dataclasses.replace(study.experiments[1], body=lambda lab: iter(()))
    with pytest.raises(UsageError, match="without a finding on B1, B2"):
        studies.run(dataclasses.replace(study, experiments=(first,)), workers=Here())


def test_one_progress_tells_of_all_experiments_under_way(four):
    study, _ = four
    told = []
    studies.run(study, workers=Here(), progress=told.append)
    assert [str(one).partition(",")[0] for one in told[:2]] == ["four: 0 of 5", "four (A"]
    assert "four (B1, B2, at work 1 of 2): 1 of 5" in [str(one).partition(", 0 s left")[0] for one in told]
    assert str(told[-1]) == "four: 5 of 5"


def test_seconds_are_the_sum_and_threads_those_of_the_experiments(four):
    study, _ = four
    result = studies.run(study, workers=Here())
    assert result.provenance.threads == torch.get_num_threads()
    assert 0 < result.seconds < 10


def test_what_are_no_workers_is_one_sentence(four):
    with pytest.raises(UsageError, match=r"workers such as workers.Processes\(2\), or None; got 2"):
        studies.run(four[0], workers=2)


def test_studies_of_the_catalog_go_by_name_and_the_longest_experiment_begins_first():
    pieces = Together(list(catalog.MODULES), Here()).pieces
    assert len(pieces) == sum(len(study.experiments) for study in studies.studies())
    assert all(isinstance(piece.study, str) for piece in pieces)
    lengths = [duration_of(piece.claims) for piece in pieces]
    assert lengths == sorted(lengths, reverse=True)
    assert str(Piece("schedules", 1)) == "SCH2, SCH3 of the study 'schedules'"
    assert set(SECONDS) == {piece.claims[0] for piece in pieces}  # a new experiment is measured once


@pytest.fixture
def one_thread():
    """As workers have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_processes_find_what_one_process_finds(four):
    study, _ = four
    beside = studies.run(study, workers=Processes(2))
    assert without_seconds(beside) == without_seconds(studies.run(study))
    assert beside.provenance.threads == 1


def test_processes_decide_a_study_of_the_catalog_as_one_process_does(one_thread):
    """Verdict by verdict; numbers only to rounding, which plans that are measured, and so may be others, have."""
    beside, alone = (studies.run("bias-variance", workers=workers) for workers in (Processes(2), None))
    for one, other in zip(beside.findings, alone.findings, strict=True):
        assert one.verdict.claim == other.verdict.claim
        assert one.verdict.outcome == other.verdict.outcome
        assert one.verdict.interval.estimate == pytest.approx(other.verdict.interval.estimate, rel=0.01)
