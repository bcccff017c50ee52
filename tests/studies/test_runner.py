import dataclasses
import json

import pytest

from thalweg.claims import Claim, Finding, StudyResult, greater
from thalweg.errors import StorageError, UsageError
from thalweg.statistics import Interval
from thalweg.storage import Store
from thalweg.studies import Experiment, Lab, Study, catalog, iterate, run

DESIGN_STUDY = {"study", "scale", "seed", "seconds", "version", "claims"}
DESIGN_CLAIM = {"id", "statement", "verdict", "estimate", "low", "high", "unit", "n", "rule", "numbers"}


def test_the_json_is_that_of_the_design(fake_study):
    document = json.loads(run(fake_study, seed=3).to_json(), parse_constant=pytest.fail)
    assert set(document) == DESIGN_STUDY
    assert (document["study"], document["scale"], document["seed"]) == ("fake", "quick", 3)
    assert all(set(claim) >= DESIGN_CLAIM for claim in document["claims"])
    assert [claim["verdict"] for claim in document["claims"]] == ["holds", "fails", "undecided"]
    first = document["claims"][0]
    assert (first["estimate"], first["low"], first["high"], first["n"]) == (2.0, 1.5, "Infinity", 5)
    assert first["numbers"]["steps"] == [3.5, 1.5]
    assert first["numbers"]["nothing"] == "NaN"


def test_a_saved_result_loads_as_it_was(fake_study, tmp_path):
    store = Store(tmp_path)
    made = run(fake_study, store=store)
    loaded = StudyResult.load(store, made.key)
    assert loaded.to_document() == made.to_document()
    for old, new in zip(made.findings, loaded.findings, strict=True):
        assert new.verdict.outcome == old.verdict.outcome
        assert new.verdict.claim == old.verdict.claim
        assert new.sentences == old.sentences
        assert [figure.to_json() for figure in new.figures] == [figure.to_json() for figure in old.figures]
        assert [reading.to_json() for reading in new.readings] == [reading.to_json() for reading in old.readings]
    assert store.get("reading", "fake/quick/0/FK1/steps").document["sample_size"] == 2


def test_a_verdict_written_into_the_store_by_hand_is_not_believed(fake_study, tmp_path):
    store = Store(tmp_path)
    key = run(fake_study, store=store).key
    document = store.get("study", key).document
    document["claims"][1]["verdict"] = "holds"
    store.put("study", key, document)
    assert StudyResult.load(store, key).findings[1].verdict.outcome == "fails"


def stopping_after(study, count, error):
    """The study, cut into one experiment of `count` claims and one that stops."""
    first, second = study.claims[:count], study.claims[count:]

    def interrupted(lab):
        raise error
        yield

    def decide(lab):
        yield from list(study.experiments[0](lab))[:count]

    return dataclasses.replace(study, experiments=(Experiment(first, decide), Experiment(second, interrupted)))


def test_an_interruption_keeps_what_was_found_and_what_there_was(fake_study, tmp_path):
    store = Store(tmp_path)
    whole = run(fake_study, store=store)
    before = store.get("reading", "fake/quick/0/FK1/steps").created
    with pytest.raises(KeyboardInterrupt):
        run(stopping_after(fake_study, 2, KeyboardInterrupt), store=store)
    part = StudyResult.load(store, "fake/quick/0/unfinished")
    assert [finding.verdict.claim.id for finding in part.findings] == ["FK1", "FK2"]
    assert not part.complete
    assert len(StudyResult.load(store, whole.key).findings) == 3
    assert store.get("reading", "fake/quick/0/FK1/steps").created == before
    run(fake_study, store=store)
    assert ("study", "fake/quick/0/unfinished") not in store
    assert [record.key for record in store.list("reading")] == ["fake/quick/0/FK1/steps"]


def counted(study, ran, stop=None):
    """The study with an experiment for each claim, which notes that it ran."""

    def one(index):
        def decide(lab):
            claim = study.claims[index]
            if claim.id == stop:
                raise KeyboardInterrupt
            ran.append(claim.id)
            yield list(study.experiments[0](lab))[index]

        return Experiment((study.claims[index],), decide)

    return dataclasses.replace(study, experiments=tuple(map(one, range(len(study.claims)))))


def test_an_interrupted_study_goes_on_where_it_was_and_says_what_it_would_have_said(fake_study, tmp_path):
    store, ran = Store(tmp_path), []
    with pytest.raises(KeyboardInterrupt):
        run(counted(fake_study, ran, stop="FK3"), store=store)
    with pytest.raises(KeyboardInterrupt):  # a second one loses nothing of the first
        run(counted(fake_study, ran, stop="FK3"), store=store)
    assert ran == ["FK1", "FK2"]
    parts = list(iterate(counted(fake_study, ran), store=store))
    assert ran == ["FK1", "FK2", "FK3"]
    assert [len(part.findings) for part in parts] == [1, 2, 3]
    without = run(fake_study).to_document()
    assert parts[-1].to_document()["claims"] == without["claims"]
    assert StudyResult.load(store, "fake/quick/0").to_document() == parts[-1].to_document()


def test_what_was_made_otherwise_is_not_taken_over(fake_study, tmp_path):
    store, ran = Store(tmp_path), []
    with pytest.raises(KeyboardInterrupt):
        run(counted(fake_study, ran, stop="FK2"), store=store)
    document = store.get("study", "fake/quick/0/unfinished").document
    document["provenance"]["versions"]["torch"] = "0.1"
    store.put("study", "fake/quick/0/unfinished", document)
    run(counted(fake_study, ran), store=store)
    assert ran == ["FK1", "FK1", "FK2", "FK3"]
    store.put("study", "fake/quick/0/unfinished", {"claims": []})  # a damaged record is replaced, too
    run(counted(fake_study, ran), store=store)
    assert ran[4:] == ["FK1", "FK2", "FK3"]


def test_findings_and_progress_are_reported_as_they_come(fake_study):
    events = []
    for part in iterate(
        fake_study, progress=lambda progress: events.append((progress.label, progress.done, progress.total))
    ):
        events.append(part.findings[-1].verdict.claim.id)
    assert events == [("fake", 0, 3), "FK1", ("fake", 1, 3), "FK2", ("fake", 2, 3), "FK3", ("fake", 3, 3)]


@pytest.mark.parametrize(("ids", "words"), [("A", "without a finding on B"), ("AA", "once"), ("AC", "once")])
def test_a_study_decides_each_of_its_claims_once(ids, words):
    claims = {name: Claim(name, "", "", greater(0), "") for name in "ABC"}

    def findings(lab):
        for name in ids:
            yield Finding(claims[name].judge(Interval(1, 1, 1, 1, "")))

    with pytest.raises(UsageError, match=words):
        run(Study("odd", "", (Experiment((claims["A"], claims["B"]), findings),)))


def test_a_study_is_told_scale_seed_and_device(fake_study):
    seen = []
    decide = fake_study.experiments[0]
    experiment = Experiment(fake_study.claims, lambda lab: (seen.append(lab), decide(lab))[1])
    study = dataclasses.replace(fake_study, experiments=(experiment,))
    result = run(study, scale="full", seed=7, device="meta")
    assert (seen[0].scale, seen[0].seed, seen[0].device) == ("full", 7, "meta")
    assert seen[0].pick(quick=1, full=2) == 2
    assert result.provenance.command == "thalweg study fake --scale full --seed 7 --device meta"


def test_wrong_names_are_answered_with_the_nearest(fake_study):
    with pytest.raises(UsageError, match="Did you mean 'optimizers'"):
        run("optimisers")
    with pytest.raises(UsageError, match="Did you mean 'quick'"):
        Lab(scale="quik")


def test_numbers_that_are_not_numbers_are_refused():
    claim = Claim("A", "", "", greater(0), "")

    def findings(lab):
        yield Finding(claim.judge(Interval(1, 1, 1, 1, ""), numbers={"model": object()}))

    with pytest.raises(UsageError, match="got object"):
        run(Study("odd", "", (Experiment((claim,), findings),))).to_json()


def test_a_record_of_another_form_is_one_sentence(tmp_path):
    store = Store(tmp_path)
    store.put("study", "old", {"claims": []})
    with pytest.raises(StorageError, match="run the study again"):
        StudyResult.load(store, "old")


def test_every_study_of_the_catalog_is_well_formed():
    studies = catalog.studies()
    ids = [claim.id for study in studies for claim in study.claims]
    assert [study.name for study in studies] == list(catalog.MODULES)
    assert len(set(ids)) == len(ids)
    assert all(claim.statement and claim.lecture and claim.unit for study in studies for claim in study.claims)
