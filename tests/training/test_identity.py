"""Runs in a store that share names but not what they compute; numbers that are not Python's own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import StorageError, UsageError
from thalweg.randomness import generator

DRAW = generator(0, "test identity")
X, Y = torch.randn(40, 4, generator=DRAW), torch.randint(3, (40,), generator=DRAW)


def zeros():
    """A layer that begins at 0, so that its identity is the same on every machine."""
    layer = torch.nn.Linear(2, 3, bias=False)
    torch.nn.init.zeros_(layer.weight)
    return layer


def fixed():
    """The problem whose run `stored_before.json` is of."""
    rows = torch.arange(12.0).view(6, 2) / 4, torch.tensor([0, 1, 2, 0, 1, 2])
    return tw.Problem(zeros, tw.data.from_user(rows, test=rows))


def problem(loss="cross_entropy"):
    return tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (X, Y), loss)


def recipe(**more):
    return tw.Recipe(tw.optim.SGD(lr=0.1), 5, 8, **more)


def test_losses_of_one_name_and_other_values_are_other_runs(tmp_path):
    plain, smooth = torch.nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss(label_smoothing=0.5)
    first = tw.train(problem(plain), recipe(), 2, store=tmp_path)
    other = tw.train(problem(smooth), recipe(), 2, store=tmp_path)
    again = tw.train(problem(plain), recipe(), 2, store=tmp_path)
    assert not torch.equal(first.final.theta, other.final.theta)
    assert torch.equal(first.final.theta, again.final.theta)
    assert len(tw.Store(tmp_path).list("run")) == 2


def test_numbers_of_numpy_and_torch_are_numbers(tmp_path):
    numpys = tw.Recipe(tw.optim.SGD(lr=np.float64(0.1)), np.int64(5), np.int64(8))
    tensors = tw.Recipe(tw.optim.SGD(lr=torch.tensor(0.1, dtype=torch.float64)), 5, 8)
    runs = [
        tw.train(problem(), each, np.int64(2), store=tmp_path, plan="looped") for each in (numpys, tensors, recipe())
    ]
    assert all(torch.equal(run.final.theta, runs[0].final.theta) for run in runs)
    assert len(tw.Store(tmp_path).list("run")) == 1  # all three are the same run


def test_resume_takes_no_other_start_or_mask():
    half = tw.train(problem(), recipe(), 2, until=2)
    with pytest.raises(UsageError, match="leave out start and mask"):
        tw.train(problem(), recipe(), 2, resume=half, start=half.final)


def test_final_is_never_an_earlier_value():
    run = tw.train(problem(), recipe(evaluate=(5,)), 2, until=3)
    with pytest.raises(UsageError, match="stands at step 3, but was last evaluated at 0"):
        run.history.final("train_loss")


def test_seeds_far_from_zero_are_told_apart():
    run = tw.train(problem(), recipe(), [100_000, 100_001])
    assert run.select(seed=100_000) == [0]


def test_the_figure_leaves_out_diverged_members_only():
    run = tw.train(problem(), tw.Recipe(tw.optim.SGD(lr=tw.sweep.values([0.1, 1e30])), 5, 8), 1)
    curve = run.history.figure("train_loss").panels[0].marks[0]
    assert run.diverged_at.max() > 0
    np.testing.assert_allclose(curve.y[-1], run.history["train_loss"][-1, 0])


def test_full_batches_are_shared_by_all_seeds():
    order = tw.randomness.BatchOrder([0, 1, 2], 40, 40)
    assert order.indices(7).shape == (1, 40)
    assert sorted(order.indices(7)[0].tolist()) == list(range(40))


def test_lists_of_batch_sizes_and_norms_go_with_lists_of_rates():
    listed = tw.Recipe(tw.optim.SGD(lr=[0.1, 0.2]), 3, [8, 16], clip_norm=[1.0, 2.0])
    run = tw.train(problem(), listed, 1)
    assert run.axes["batch_size"].tolist() == [8, 16]
    assert run.axes["clip_norm"].tolist() == [1, 2]
    assert run.axes["lr"].tolist() == [0.1, 0.2]


@pytest.mark.parametrize("axis", ["member", "step", "metric", "value"])
def test_a_sweep_may_not_take_the_name_of_a_column(axis):
    swept = tw.Recipe(tw.optim.SGD(lr=tw.sweep.values([0.1, 0.2], axis=axis)), 3, 8)
    with pytest.raises(UsageError, match=f"may not use the axis '{axis}'"):
        tw.train(problem(), swept)


def test_a_list_in_a_schedule_says_what_to_write():
    with pytest.raises(UsageError, match=r"write sweep.values\(\[5, 10\]\)"):
        tw.schedules.Warmup([5, 10])


def test_units_are_those_of_the_loss_and_of_the_metric():
    squared = tw.Problem(
        lambda: tw.nets.mlp(4, 5, 1), (X, X[:, :1]), "squared_error", metrics={"own": lambda o, t: o[:, 0]}
    )
    assert tw.train(squared, recipe(), 1).history.units == {"train_loss": "", "train_own": ""}
    assert tw.train(problem(), recipe(), 1).history.units == {"train_loss": "nats", "train_accuracy": "fraction"}


def test_the_chunk_of_swept_batch_sizes_is_that_of_the_largest_batch():
    wide = tw.Problem(lambda: tw.nets.mlp(4, 64, 3), (X, Y), memory_budget=2**16)
    sizes = tw.sweep.values([2, 40])
    swept = tw.train(wide, tw.Recipe(tw.optim.SGD(lr=0.1), 1, sizes), 8, plan="stacked")
    alone = tw.train(wide, tw.Recipe(tw.optim.SGD(lr=0.1), 1, 40), 8, plan="stacked")
    assert swept.plan.chunk == alone.plan.chunk < 8


def test_a_run_stored_before_is_found(tmp_path):
    """The document is one that was written before test examples were a part of what determines a run."""
    old = json.loads((Path(__file__).parent / "stored_before.json").read_text())
    plain = tw.Recipe(tw.optim.SGD(lr=0.1), 4, 3)
    run = tw.train(fixed(), plain, [5], plan="looped")
    store = tw.Store(tmp_path)
    store.put("run", old["key"], old["document"], {"state": run.state.tensors()})
    told = []
    again = tw.train(fixed(), plain, [5], store=store, plan="looped", observe=lambda step, _: told.append(step))
    assert [record.key for record in store.list("run")] == [old["key"]]
    assert told == []  # nothing was trained
    assert torch.equal(again.final.theta, run.final.theta)
    own = torch.tensor([[0, 1]])
    with pytest.raises(StorageError, match=r"\(different: test_examples\)"):
        tw.train(fixed(), plain, [5], store=store, plan="looped", name=old["key"], test_examples=own)


def test_what_only_one_identity_has_is_named(tmp_path):
    """Whichever of the two it is, and though it is None there."""
    store, plain = tw.Store(tmp_path), tw.Recipe(tw.optim.SGD(lr=0.1), 4, 3)
    tw.train(fixed(), plain, [5], store=store, name="one", plan="looped")
    (record,) = store.list("run")
    whole = record.document["identity"]
    short = {name: value for name, value in whole.items() if name != "mask"}
    for theirs, named in ((whole | {"later": None}, "later"), (short, "mask")):
        store.put("run", "one", record.document | {"identity": theirs}, {})
        with pytest.raises(StorageError, match=rf"\(different: {named}\)"):
            tw.train(fixed(), plain, [5], store=store, name="one", plan="looped")
