"""Slices that were interrupted, sent back, or ran elsewhere: the run they end in is that of one process."""

import contextlib
import itertools
import signal
import warnings

import cloudpickle
import pytest
import torch
from late_tokens import Late, Right, late_data
from sliced import Shuffled
from sliced_runs import RECIPE, assert_same, problem

import thalweg as tw
from thalweg import optim, sweep
from thalweg.errors import StorageError
from thalweg.population import Plan
from thalweg.training.checkpoint import left_over
from thalweg.workers import Done, Here, Place


class Stopping(Shuffled):
    """The user stops the run when each slice, in their order, has come to a step of its own."""

    def __init__(self, slices, stops):
        super().__init__(slices)
        self.stops = stops

    def map(self, work, items, heard):
        for number, (item, stop) in enumerate(zip(items, itertools.cycle(self.stops), strict=False)):

            def tell(progress, number=number, stop=stop):
                heard(number, progress)
                if progress.done == stop:
                    signal.raise_signal(signal.SIGINT)

            with contextlib.suppress(KeyboardInterrupt):
                work(item, tell)
        raise KeyboardInterrupt
        yield


@pytest.mark.parametrize("plan", ["looped", "stacked"])
@pytest.mark.parametrize("then", [None, Here(), Shuffled(2), Shuffled(5)], ids=["no workers", "1", "2", "5"])
def test_an_interrupted_run_goes_on_with_other_slices(tmp_path, plan, then):
    recipe = tw.Recipe(optim.Adam(sweep.values([0.01, 0.1])), 12, 8, evaluate=4, snapshot=3, snapshot_state=True)
    options = {"store": tmp_path, "plan": plan}
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), recipe, 6, workers=Stopping(3, [4, 9, 2]), **options)
    steps = {one.document["step"] for one in tw.Store(tmp_path).list("slice")}
    assert steps == {4, 9, 2}
    heard = tw.training.Observed(lambda step, members: members.theta[:, 0])
    observe = heard if then is not None else ()
    run = tw.train(problem(), recipe, 6, workers=then, observe=observe, **options)
    assert_same(run, tw.train(problem(), recipe, 6, plan=run.plans))
    assert not observe or heard.steps == [10, 11, 12]
    store = tw.Store(tmp_path)
    assert [len(store.list(kind)) for kind in ("run", "checkpoint", "slice", "slices")] == [1, 0, 0, 0]
    again = tw.train(problem(), recipe, 6, workers=Here(2), **options)
    assert_same(run, again)


def test_two_interruptions_with_other_cuts(tmp_path):
    options = {"store": tmp_path, "plan": "stacked", "name": "mine"}
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), RECIPE, 8, workers=Stopping(3, [4, 9, 2]), **options)
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), RECIPE, 8, workers=Stopping(2, [1]), **options)
    run = tw.train(problem(), RECIPE, 8, workers=Shuffled(2), **options)
    assert_same(run, tw.train(problem(), RECIPE, 8, plan=run.plans))


def test_a_slice_that_begins_again_goes_on_from_its_checkpoint(tmp_path):
    """As after the death of its process: the same piece is sent once more."""
    begun = []

    class Twice(Shuffled):
        def map(self, work, items, heard):
            def stop(progress):
                if progress.done == 6:
                    signal.raise_signal(signal.SIGINT)

            first = cloudpickle.dumps(items[0])
            with contextlib.suppress(KeyboardInterrupt):
                work(cloudpickle.loads(first), stop)
            for number, item in enumerate([cloudpickle.loads(first), *items[1:]]):
                done = []
                yield Done(number, work(item, lambda progress, done=done: done.append(progress.done)), Place.here())
                begun.append(len(done))

    run = tw.train(problem(), RECIPE, 6, workers=Twice(2), store=tmp_path)
    assert begun == [6, 12]
    assert_same(run, tw.train(problem(), RECIPE, 6, plan=run.plans))


def test_a_store_that_workers_do_not_see(tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.training.slice_work.sees", lambda *_: None)
    run = tw.train(problem(), RECIPE, 4, workers=Shuffled(2), store=tmp_path)
    assert "members 0 to 3 ran where the store is not seen" in run.history.notes[0]
    assert_same(run, tw.train(problem(), RECIPE, 4, plan=run.plans))


def test_slices_on_other_processors_are_said(monkeypatch):
    places = iter([Place("", "one", 1, "2.13"), Place("", "another", 1, "2.13")])
    monkeypatch.setattr("sliced.Place.here", lambda: next(places))
    run = tw.train(problem(), RECIPE, 4, workers=Shuffled(2))
    assert {name: place.cpu for name, place in run.places.items()}.keys() == {"members 0 to 3", "members 4 to 7"}
    assert run.history.notes == (
        "slices ran on several processors (another, one): the run is that of one process to rounding",
    )


def test_an_audit_in_one_slice_sends_all_back(tmp_path):
    where = tw.Problem(Late, late_data(), "cross_entropy")
    recipe = tw.Recipe(optim.Adam(0.01), 64, 32, evaluate=8)
    heard = tw.training.Observed(lambda step, members: members.theta[:, 0], every=8)
    with pytest.warns(UserWarning, match="an audit found.*trained anew from the first step, looped"):
        run = tw.train(where, recipe, 6, plan="stacked", workers=Shuffled(2), store=tmp_path, observe=heard)
    right = tw.train(tw.Problem(Right, late_data(), "cross_entropy"), recipe, 6, plan="looped")
    assert torch.equal(run.final.theta, right.final.theta)
    assert heard.steps == list(range(0, 65, 8))
    assert run.plan.mode == "looped"
    assert "an audit found" in run.history.notes[0]


def test_a_resumed_run_that_is_sent_back_hears_what_it_heard():
    where = tw.Problem(Late, late_data(share=3), "cross_entropy")
    recipe = tw.Recipe(optim.Adam(0.01), 64, 32, evaluate=0)
    half = tw.train(where, recipe, 6, plan="stacked", until=1, workers=Shuffled(2))
    heard = tw.training.Observed(lambda step, members: members.theta[:, 0])
    where = tw.Problem(Late, late_data(share=3), "cross_entropy")
    with pytest.warns(UserWarning, match="an audit found"):
        run = tw.train(where, recipe, 6, resume=half, workers=Shuffled(2), observe=heard)
    assert heard.steps == list(range(2, 65))
    right = tw.train(tw.Problem(Right, late_data(share=3), "cross_entropy"), recipe, 6, plan="looped")
    assert torch.equal(run.final.theta, right.final.theta)


def test_slices_that_a_kill_left_are_left_over(tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.training.slice_records.SliceRecords.remove", lambda records: None)
    tw.train(problem(), RECIPE, 4, workers=Shuffled(2), store=tmp_path, name="mine")
    assert sorted(left_over(tw.Store(tmp_path))) == [("slice", "mine 0-4"), ("slice", "mine 4-8")]


def test_until_a_step_that_some_have_passed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), RECIPE, 6, workers=Stopping(3, [4, 9, 2]), store=tmp_path)
    run = tw.train(problem(), RECIPE, 6, until=5, workers=Shuffled(2), store=tmp_path)
    assert run.step == 9
    assert_same(run, tw.train(problem(), RECIPE, 6, until=9, plan=run.plans))
    again = tw.train(problem(), RECIPE, 6, until=5, store=tmp_path)
    assert_same(again, run)


def test_slices_that_have_passed_the_step_are_evened(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), RECIPE, 6, workers=Stopping(3, [4, 9, 2]), store=tmp_path)
    run = tw.train(problem(), RECIPE, 6, until=1, store=tmp_path)
    assert run.step == 9
    assert_same(run, tw.train(problem(), RECIPE, 6, until=9, plan=run.plans))


def test_another_run_of_the_name_is_refused(tmp_path):
    options = {"store": tmp_path, "name": "mine"}
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), RECIPE, 6, workers=Stopping(3, [4]), **options)
    other = tw.Recipe(optim.SGD(0.1), 5, 8)
    for workers in (None, Shuffled(2)):
        with pytest.raises(StorageError, match=r"slices of another run named 'mine'.*store.delete\('slice', 'mine "):
            tw.train(problem(), other, 6, workers=workers, **options)
    assert len(tw.Store(tmp_path).list("slice")) == 3


@pytest.mark.parametrize("plan", [Plan("stacked"), Plan("stacked", 8, threads=2)], ids=str)
def test_slices_by_a_forced_plan_are_found_again(tmp_path, plan):
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), RECIPE, 6, workers=Stopping(3, [4, 9, 2]), store=tmp_path, plan=plan)
    told = []
    run = tw.train(problem(), RECIPE, 6, workers=Shuffled(2), store=tmp_path, plan=plan, progress=told.append)
    assert told[0].total < 12
    assert_same(run, tw.train(problem(), RECIPE, 6, plan=run.plans))


def test_plans_of_slices_in_the_store_win_as_those_of_checkpoints_do(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), RECIPE, 6, workers=Stopping(2, [4, 9]), store=tmp_path, plan=Plan("stacked", 8))
    run = tw.train(problem(), RECIPE, 6, workers=Shuffled(2), store=tmp_path, plan="looped")
    assert run.plan.mode == "stacked"
    assert_same(run, tw.train(problem(), RECIPE, 6, plan=run.plans))


def test_who_goes_on_without_workers_may_observe_with_anything(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tw.train(problem(), RECIPE, 6, workers=Stopping(3, [4, 9, 2]), store=tmp_path)
    steps = []
    tw.train(problem(), RECIPE, 6, store=tmp_path, observe=lambda step, members: steps.append(step))
    assert steps == [10, 11, 12]


class Warning2(UserWarning):
    """Of the user's own."""


def test_warnings_come_once_with_their_category():
    def loss(outputs, targets):
        warnings.warn("careful", RuntimeWarning, stacklevel=1)
        warnings.warn("mine", Warning2, stacklevel=1)
        return torch.nn.functional.cross_entropy(outputs, targets)

    with pytest.warns() as caught:
        tw.train(problem(loss=loss), tw.Recipe(optim.SGD(0.1), 3, 8), 4, workers=Shuffled(2), plan="looped")
    assert {RuntimeWarning, UserWarning} <= {one.category for one in caught}
