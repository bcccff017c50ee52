import pytest

from thalweg.claims import Claim, Finding, greater
from thalweg.statistics import Interval
from thalweg.storage import Store
from thalweg.studies import Experiment, Study, iterate, run
from thalweg.studies.takeover import Takeover, finished, takeover

CLAIMS = tuple(Claim(f"X{i}", "It is more.", "It is.", greater(0), "units") for i in range(1, 5))


def study(*groups, stop=None):
    """A study with an experiment for each group of claims; at claim `stop` the user interrupts it."""

    def experiment(claims):
        def body(lab):
            for claim in claims:
                if claim.id == stop:
                    raise KeyboardInterrupt
                yield Finding(claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up")))

        return Experiment(tuple(claims), body)

    return Study("made-up", "Made up", tuple(experiment([CLAIMS[i] for i in group]) for group in groups))


@pytest.mark.parametrize(
    ("groups", "stop", "taken"),
    [
        (([0], [1], [2, 3]), "X4", ("X1", "X2")),
        (([0, 1], [2], [3]), "X4", ("X1", "X2", "X3")),
        (([0, 1, 2, 3],), "X4", ()),
    ],
)
def test_whole_experiments_are_taken_and_it_says_which(groups, stop, taken, tmp_path):
    store = Store(tmp_path)
    assert takeover(study(*groups), store=store) == Takeover((), ("X1", "X2", "X3", "X4"))
    with pytest.raises(KeyboardInterrupt):
        run(study(*groups, stop=stop), store=store)
    over = takeover(study(*groups), store=store)
    assert over.taken == taken
    assert over.taken + over.computed == ("X1", "X2", "X3", "X4")
    assert over.obstacle == ("" if taken else "its first experiment had not ended")
    first, *_ = iterate(study(*groups), store=store)
    assert (first.provenance.time == over.begun) or not taken


def test_another_device_scale_or_seed_takes_nothing(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(study([0], [1], stop="X2"), store=store)
    whole = study([0], [1])
    assert takeover(whole, store=store).taken == ("X1",)
    assert takeover(whole, store=store, device="meta").obstacle == "it was made on cpu, and this one is on meta"
    assert takeover(whole, store=store, seed=1) == Takeover((), ("X1", "X2"))
    assert takeover(whole, store=store, scale="full") == Takeover((), ("X1", "X2"))
    assert takeover(study([1]), store=store).obstacle == "its claims have changed since"
    assert takeover(whole) == Takeover((), ("X1", "X2"))


def test_a_finished_result_is_found_if_it_is_that_of_the_study(tmp_path):
    store = Store(tmp_path)
    assert finished(study([0], [1]), store=store) is None
    made = run(study([0], [1]), store=store)
    assert finished(study([0], [1]), store=store).to_document() == made.to_document()
    assert finished(study([0], [1], [2]), store=store) is None
    assert finished(study([0], [1]), store=store, seed=1) is None
    assert finished(study([0], [1]), store=store, device="meta") is None
    assert takeover(study([0], [1]), store=store) == Takeover((), ("X1", "X2"), replaced=True)
    store.put("study", made.key, {"claims": []})
    assert finished(study([0], [1]), store=store) is None
