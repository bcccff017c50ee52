"""Members that stay in the store are those of a run that gathers them."""

import numpy as np
import pytest
import torch
from cases import CASE
from late_tokens import Late, late_data
from sliced import Shuffled

import thalweg as tw
from thalweg import optim, sweep
from thalweg.errors import StorageError, UsageError, WorkerError
from thalweg.randomness import generator
from thalweg.training import scatter
from thalweg.workers import Here

DRAW = generator(0, "test scatter")
X, Y = torch.randn(48, 6, generator=DRAW), torch.randint(0, 3, (48,), generator=DRAW)
RECIPE = tw.Recipe(optim.Adam(sweep.values([0.01, 0.1])), 12, 8, evaluate=4)


def problem(**options):
    return tw.Problem(lambda: tw.nets.mlp(6, 5, 3), (X, Y), **options)


@pytest.mark.parametrize("plan", ["looped", "stacked"])
def test_rows_are_those_of_a_run(tmp_path, plan):
    run = scatter(problem(), RECIPE, 5, workers=Shuffled(3), store=tmp_path, plan=plan)
    whole = tw.train(problem(), RECIPE, 5, plan=run.plans)
    assert len(run.final) == 10
    for rows in (slice(None), 7, -1, [9, 0, 3, 3], slice(2, 9, 2)):
        assert torch.equal(run.final[rows].theta, whole.final[rows].theta)
    for name, values in whole.history.metrics.items():
        np.testing.assert_array_equal(run.history[name], values)
    np.testing.assert_array_equal(run.history.batch_loss, whole.history.batch_loss)
    np.testing.assert_array_equal(run.axes["lr"], whole.axes["lr"])
    found, wanted = run.final.evaluate("train", workers=Shuffled(2)), tw.evaluate(problem(), whole.final, "train")
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-6)
    norms = run.final.each(lambda members: {"norm": members.theta.norm(dim=1)})
    np.testing.assert_array_equal(norms["norm"], whole.final.theta.norm(dim=1))


def test_it_is_found_again_and_not_trained_again(tmp_path):
    first = scatter(problem(), RECIPE, 5, workers=Shuffled(3), store=tmp_path)
    told = []
    again = scatter(problem(), RECIPE, 5, workers=Shuffled(5), store=tmp_path, progress=told.append)
    assert again.final.cuts == first.final.cuts
    assert torch.equal(again.final[:].theta, first.final[:].theta)
    assert not [one for one in told if one.done]
    scatter(problem(), RECIPE, 4, workers=Here(2), store=tmp_path, name="mine")
    with pytest.raises(StorageError, match="has another scattered run named 'mine'"):
        scatter(problem(), RECIPE, 3, workers=Here(2), store=tmp_path, name="mine")


def test_slices_of_a_size(tmp_path):
    run = scatter(problem(), RECIPE, 10, workers=Here(), store=tmp_path, slice_members=4, plan="stacked")
    assert run.final.cuts == (0, 4, 8, 12, 16, 20)
    assert len(tw.Store(tmp_path).list("slice")) == 5


def test_an_audit_sends_all_back(tmp_path):
    where = tw.Problem(Late, late_data(), "cross_entropy")
    recipe = tw.Recipe(optim.Adam(0.01), 64, 32, evaluate=0)
    with pytest.warns(UserWarning, match="an audit found"):
        run = scatter(where, recipe, 6, plan="stacked", workers=Here(2), store=tmp_path)
    assert run.plans["gradient"].mode == "looped"
    whole = tw.train(tw.Problem(Late, late_data(), "cross_entropy"), recipe, 6, plan="looped")
    assert torch.equal(run.final[:].theta, whole.final.theta)


def test_a_store_that_is_not_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.training.slice_work.sees", lambda *_: None)
    with pytest.raises(WorkerError, match=r"is not seen where members .* are trained.*a folder that all nodes share"):
        scatter(problem(), RECIPE, 5, workers=Here(2), store=tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"workers": 2}, "scatter workers must be workers"),
        ({"store": None}, "scatter store must be a Store or its folder"),
        ({"plan": "fast"}, "scatter plan is one of auto, stacked, looped; got 'fast'"),
        ({"slice_members": 0}, "scatter slice_members must be"),
    ],
)
def test_bad_arguments(tmp_path, change, sentence):
    options = {"workers": Here(2), "store": tmp_path} | change
    with pytest.raises(UsageError, match=sentence):
        scatter(problem(), RECIPE, 5, **options)


def test_each_needs_rows(tmp_path):
    run = scatter(problem(), RECIPE, 5, workers=Here(2), store=tmp_path)
    with pytest.raises(UsageError, match=r"a row for each of 5 members; 'loss' has shape \(\)"):
        run.final.each(lambda members: {"loss": members.theta.sum()})
    with pytest.raises(UsageError, match="arrays by name; it gave a Tensor"):
        run.final.each(lambda members: members.theta)


@pytest.mark.parametrize("plan", ["stacked", "auto"])
def test_convolutions_that_go_by_their_company(tmp_path, plan):
    where = CASE["batchnorm"].problem()
    run = scatter(where, RECIPE, 4, workers=Shuffled(3), store=tmp_path, plan=plan)
    assert torch.equal(run.final[:].theta, tw.train(where, RECIPE, 4, plan=run.plans).final.theta)


def test_no_other_run_takes_its_name(tmp_path):
    run = scatter(problem(), RECIPE, 4, workers=Shuffled(2), store=tmp_path, name="big")
    with pytest.raises(StorageError, match="has slices of another run named 'big'"):
        tw.train(problem(), RECIPE, 4, workers=Shuffled(2), store=tmp_path, name="big")
    assert len(run.final[:]) == 8
    tw.train(problem(), RECIPE, 4, store=tmp_path, name="small")
    with pytest.raises(StorageError, match="has another run named 'small'"):
        scatter(problem(), RECIPE, 4, workers=Shuffled(2), store=tmp_path, name="small")


@pytest.mark.parametrize("seeds", [0, [], [3, 3], 2.5, "ab"])
def test_seeds_are_as_in_train(tmp_path, seeds):
    words = f" seeds must be how many, at least 1, or a list of whole numbers, each once; got {seeds!r}."
    with pytest.raises(UsageError) as caught:
        scatter(problem(), RECIPE, seeds, workers=Here(2), store=tmp_path)
    assert str(caught.value) == "scatter" + words
    with pytest.raises(UsageError) as caught:
        tw.train(problem(), RECIPE, seeds)
    assert str(caught.value) == "train" + words


def test_who_reads_them_are_workers_too(tmp_path):
    run = scatter(problem(), RECIPE, 5, workers=Here(2), store=tmp_path)
    with pytest.raises(UsageError, match="The workers of scattered members must be workers such as"):
        run.final.evaluate(workers=2)
