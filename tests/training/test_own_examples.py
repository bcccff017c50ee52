"""Members with training examples of their own: each is what `train` makes of these alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE

import thalweg as tw
from thalweg import optim
from thalweg.data import Data, Examples
from thalweg.errors import StorageError, UsageError
from thalweg.randomness import generator

CUT = {"batchnorm": CASE["batchnorm"], "dropout": CASE["dropout"], "named inputs": CASE["named inputs"]}
SEEDS = [4, 9, 2]
TABLE = torch.stack([torch.randperm(24, generator=generator(seed, "own"))[:10] for seed in SEEDS])
BOOTSTRAP = torch.randint(24, (3, 24), generator=generator(0, "bootstrap"))
RECIPE = tw.Recipe(optim.Momentum(0.05), 9, batch_size=4, evaluate=3, snapshot=(3,), snapshot_state=True)
MLP = CASE["mlp"]


def alone(problem: tw.Problem, row: torch.Tensor) -> tw.Problem:
    """The same problem with these training examples and no others."""
    return tw.Problem(problem.model, replace(problem.data, train=problem.data.train.select(row)), problem.loss)


def assert_same_members(run: tw.Run, members: Any, other: tw.Run) -> None:
    """The same bits of parameters, buffers, snapshots and histories."""
    assert torch.equal(run.final.theta[members], other.final.theta)
    for name, buffer in other.final.buffers.items():
        assert torch.equal(run.final.buffers[name][members], buffer), name
    assert np.array_equal(run.history.batch_loss[:, members], other.history.batch_loss, equal_nan=True)
    for name, values in other.history.metrics.items():
        assert np.array_equal(run.history[name][:, members], values, equal_nan=True), name


@pytest.mark.parametrize("batch_size", [4, None])
@pytest.mark.parametrize("table", [TABLE, BOOTSTRAP], ids=["parts", "bootstrap"])
@pytest.mark.parametrize("name", ["mlp", *CUT])
def test_a_member_is_what_training_on_its_row_alone_makes(
    name: str, table: torch.Tensor, batch_size: int | None
) -> None:
    problem, recipe = CASE[name].problem(), replace(RECIPE, batch_size=batch_size)
    run = tw.train(problem, recipe, SEEDS, examples=table, plan="looped")
    for member, seed in enumerate(SEEDS):
        assert_same_members(run, [member], tw.train(alone(problem, table[member]), recipe, [seed], plan="looped"))
    assert torch.equal(run.examples, table)
    assert not torch.equal(run.final.theta, tw.train(problem, recipe, SEEDS, plan="looped").final.theta)


@pytest.mark.parametrize("name", ["mlp", "batchnorm"])
def test_stacked_members_are_those_of_their_rows_to_rounding(name: str) -> None:
    problem = CASE[name].problem(dtype=torch.float64)
    run = tw.train(problem, RECIPE, SEEDS, examples=TABLE, plan="stacked")
    looped = tw.train(problem, RECIPE, SEEDS, examples=TABLE, plan="looped")
    torch.testing.assert_close(run.final.theta, looped.final.theta, rtol=1e-9, atol=1e-11)


def test_one_row_for_all_is_that_training_set() -> None:
    problem = MLP.problem()
    for plan in ("looped", "stacked"):
        run = tw.train(problem, RECIPE, SEEDS, examples=TABLE[:1].expand(3, -1), plan=plan)
        assert_same_members(run, slice(None), tw.train(alone(problem, TABLE[0]), RECIPE, SEEDS, plan=plan))


def test_rows_go_with_seeds_in_sweeps_and_arms() -> None:
    problem = MLP.problem()
    recipe = replace(RECIPE, optimizer=optim.SGD(tw.sweep.values([0.05, 0.2])), batch_size=tw.sweep.values([3, 10]))
    begun = tw.train(problem, replace(RECIPE, optimizer=optim.SGD(0.1)), SEEDS).final
    starts = {"fresh": None, "begun": begun}
    run = tw.train(problem, recipe, SEEDS, start=starts, paired=True, examples=TABLE, plan="looped")
    assert len(run.final) == 24
    for size, rate, arm, place in ((3, 0.05, "fresh", 1), (10, 0.2, "begun", 2), (10, 0.05, "begun", 0)):
        one = replace(recipe, optimizer=optim.SGD(rate), batch_size=size)
        start = None if arm == "fresh" else begun[place]
        wanted = tw.train(alone(problem, TABLE[place]), one, [SEEDS[place]], start=start, plan="looped")
        members = run.select(batch_size=size, lr=rate, arm=arm, seed=SEEDS[place])
        assert torch.equal(run.examples[members], TABLE[[place]])
        assert_same_members(run, members, wanted)


def test_one_seed_with_several_training_sets() -> None:
    problem = MLP.problem()
    run = tw.train(problem, RECIPE, [5, 5, 5], examples=TABLE, plan="looped")
    for member in range(3):
        assert_same_members(run, [member], tw.train(alone(problem, TABLE[member]), RECIPE, [5], plan="looped"))


def test_streamed_examples_are_those_in_memory() -> None:
    digits = tw.data.digits().train
    items = [(digits.inputs[i], int(digits.targets[i])) for i in range(24)]
    streamed = tw.data.from_user(items, memory_budget=1)
    assert not isinstance(streamed.train, Examples)
    runs = [
        tw.train(tw.Problem(lambda: tw.nets.mlp(64, 5, 10), data), RECIPE, SEEDS, examples=TABLE, plan="looped")
        for data in (streamed, tw.data.from_user((digits.inputs[:24], digits.targets[:24])))
    ]
    assert_same_members(runs[0], slice(None), runs[1])


@pytest.mark.parametrize("name", ["mlp", "batchnorm"])
def test_train_metrics_are_those_of_ones_own_examples(name: str) -> None:
    problem = CASE[name].problem(dtype=torch.float64)
    run = tw.train(problem, RECIPE, SEEDS, examples=TABLE)
    found = tw.evaluate(problem, run.final, "train", rows=run.examples)
    each = tw.evaluation.by_example(problem, run.final, "train", rows=run.examples)
    for member in range(3):
        own = tw.evaluate(problem, run.final[member], problem.data.train.select(TABLE[member]))
        for metric in ("loss", "accuracy"):
            assert run.history.final(f"train_{metric}")[member] == pytest.approx(float(own[metric]), rel=1e-12)
            assert float(found[metric][member]) == pytest.approx(float(own[metric]), rel=1e-12)
            assert float(each[metric][member].mean()) == pytest.approx(float(own[metric]), rel=1e-12)
    whole = tw.evaluate(problem, run.final, "train")["loss"].numpy()
    assert (np.abs(run.history.final("train_loss") - whole) > 1e-4).all()


def test_a_sample_for_evaluation_is_drawn_from_ones_own_examples() -> None:
    problem, recipe = MLP.problem(), replace(RECIPE, evaluate_train_on=tw.Sample("train", 6, seed=1))
    run = tw.train(problem, recipe, SEEDS, examples=TABLE, plan="looped")
    for member, seed in enumerate(SEEDS):
        assert_same_members(run, [member], tw.train(alone(problem, TABLE[member]), recipe, [seed], plan="looped"))


def test_a_weighted_loss_is_the_weighted_mean_over_ones_own_examples() -> None:
    problem = MLP.problem(loss=tw.losses.CrossEntropy((1.0, 5.0, 0.0)))
    run = tw.train(problem, RECIPE, SEEDS, examples=TABLE, plan="looped")
    for member, seed in enumerate(SEEDS):
        wanted = tw.train(alone(problem, TABLE[member]), RECIPE, [seed], plan="looped")
        assert_same_members(run, [member], wanted)


def test_going_on_keeps_the_examples() -> None:
    problem = MLP.problem()
    whole = tw.train(problem, RECIPE, SEEDS, examples=TABLE, plan="looped")
    for given in (None, TABLE, TABLE.tolist()):
        half = tw.train(problem, RECIPE, SEEDS, examples=TABLE, plan="looped", until=4)
        assert_same_members(tw.train(problem, RECIPE, SEEDS, examples=given, resume=half), slice(None), whole)
    with pytest.raises(UsageError, match="goes on with the run's examples, and these are others"):
        tw.train(problem, RECIPE, SEEDS, examples=TABLE.flip(0), resume=half)
    plain = tw.train(problem, RECIPE, SEEDS, until=4)
    with pytest.raises(UsageError, match="goes on with a run that has no examples of its own"):
        tw.train(problem, RECIPE, SEEDS, examples=TABLE, resume=plain)


def test_a_store_tells_tables_apart(tmp_path: Path) -> None:
    problem = MLP.problem()

    def train(table: Any, **more: Any) -> tw.Run:
        return tw.train(problem, RECIPE, SEEDS, examples=table, plan="looped", store=tmp_path, **more)

    half, whole = train(TABLE, until=4), tw.train(problem, RECIPE, SEEDS, examples=TABLE, plan="looped")
    assert half.step == 4
    assert_same_members(train(TABLE), slice(None), whole)
    other, plain = train(TABLE.flip(1)), train(None)
    assert len(tw.Store(tmp_path).list("run")) == 3
    assert not torch.equal(other.final.theta, whole.final.theta)
    assert not torch.equal(plain.final.theta, whole.final.theta)
    train(TABLE, name="mine")
    with pytest.raises(StorageError, match="different: examples"):
        train(None, name="mine")


def test_a_start_goes_on_with_its_examples() -> None:
    problem = MLP.problem()
    run = tw.train(problem, RECIPE, SEEDS, examples=TABLE, plan="looped")
    start = run.at(3)
    again = tw.train(problem, RECIPE, SEEDS, start=start, paired=True, examples=start.examples, plan="looped")
    assert torch.equal(again.final.theta, run.final.theta)
    fork = tw.train(problem, RECIPE, [7, 8], start=start[[1]], examples=TABLE[[1, 1]], plan="looped")
    wanted = tw.train(alone(problem, TABLE[1]), RECIPE, [9], plan="looped")
    wanted = tw.train(alone(problem, TABLE[1]), RECIPE, [7, 8], start=wanted.at(3), plan="looped")
    assert torch.equal(fork.final.theta, wanted.final.theta)

    def refused(match: str, **how: Any) -> None:
        with pytest.raises(UsageError, match=match):
            tw.train(problem, RECIPE, SEEDS, **({"start": start, "paired": True} | how))

    refused("step 3 of batches of 4 of 10 examples, and these are 4 of 24")
    refused("step 3 of training on examples of its members' own, and these are others", examples=TABLE.flip(0))
    refused("on examples of its members' own, and these are others", examples=TABLE, paired=False)
    plain = tw.train(problem, RECIPE, SEEDS).at(3)
    refused("on all training examples, and these are others", start=plain, examples=BOOTSTRAP)
    refused("of its members' own", start={"a": start, "b": plain}, examples=TABLE.flip(1))
    tw.train(problem, RECIPE, SEEDS, start=replace(start, order=None), paired=True, examples=TABLE.flip(0))
    with pytest.raises(UsageError, match="has 3 members, but examples of 2"):
        replace(start, examples=TABLE[:2])


def test_what_cannot_be_meant() -> None:
    problem = MLP.problem()

    def refused(match: str, table: Any, recipe: tw.Recipe = RECIPE, seeds: Any = SEEDS) -> None:
        with pytest.raises(UsageError, match=match):
            tw.train(problem, recipe, seeds, examples=table)

    refused(r"a row for each seed, as many in every row: \(3, n\); got shape \(2, 10\)", TABLE[:2])
    refused(r"got shape \(10,\)", TABLE[0])
    refused(r"got shape \(3, 0\)", TABLE[:, :0])
    refused("whole numbers; got type float32", TABLE.float())
    refused("whole numbers; got type bool", torch.ones(3, 24, dtype=torch.bool))
    refused(r"whole numbers; got \[\[0\], \[1, 2\], \[3\]\]", [[0], [1, 2], [3]])
    refused("whole numbers; got 'all'", "all")
    refused(
        "indices of the 24 examples, 0 to 23; got 24",
        TABLE + 24 * (TABLE[1, 3] == TABLE) - TABLE * (TABLE[1, 3] == TABLE),
    )
    refused("0 to 23; got -1", TABLE - TABLE.amin() - 1)
    refused("batch_size=11 is larger than the training set of 10 examples", TABLE, replace(RECIPE, batch_size=11))
    with pytest.raises(UsageError, match=r"evaluate rows must be .* each member, .*: \(2, n\); got shape \(3, 10\)"):
        tw.evaluate(problem, problem.initialize(2), rows=TABLE)


def test_tables_are_copied_and_may_be_arrays() -> None:
    problem, table = MLP.problem(), TABLE.numpy().astype(np.int32)
    run = tw.train(problem, RECIPE, SEEDS, examples=table, plan="looped", until=4)
    table[:] = 0
    again = tw.train(problem, RECIPE, SEEDS, resume=run)
    wanted = tw.train(problem, RECIPE, SEEDS, examples=TABLE, plan="looped")
    assert torch.equal(again.final.theta, wanted.final.theta)


def test_labels_of_ones_own_by_a_pool() -> None:
    digits = tw.data.digits().subset(train=40)
    sets = [digits.with_label_noise(0.5, seed).train for seed in SEEDS]
    pool, table = tw.data.pooled(sets)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 6, 10), Data(pool, digits.test, classes=10))
    run = tw.train(problem, RECIPE, SEEDS, examples=table, plan="looped")
    for member, (one, seed) in enumerate(zip(sets, SEEDS, strict=True)):
        own = tw.Problem(problem.model, Data(one, digits.test, classes=10))
        assert_same_members(run, [member], tw.train(own, RECIPE, [seed], plan="looped"))
    with pytest.raises(UsageError, match=r"as many examples each, at least one set; got 2 sets of \[10, 20\] examples"):
        tw.data.pooled([sets[0].select(torch.arange(n)) for n in (10, 20)])
    with pytest.raises(UsageError, match="got 0 sets"):
        tw.data.pooled([])


def test_a_lab_passes_them_through() -> None:
    lab = tw.studies.Lab(progress=None)
    run = lab.train(MLP.problem(), RECIPE, SEEDS, examples=TABLE)
    assert torch.equal(run.examples, TABLE)
