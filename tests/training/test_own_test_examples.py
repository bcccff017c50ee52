"""Members with test examples of their own: each is evaluated as on these alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.data import Data, pooled
from thalweg.errors import StorageError, UsageError

SEEDS = [3, 7, 5]
RECIPE = tw.Recipe(tw.optim.AdamW(0.01), 12, evaluate=3)


def _tables() -> list[Data]:
    return [tw.data.modular(5, train_fraction=0.6, seed=seed, encoding="tokens") for seed in SEEDS]


def _problem(data: Data) -> tw.Problem:
    return tw.Problem(lambda: tw.nets.modular_mlp(5, 16), data)


def _whole() -> tuple[tw.Problem, torch.Tensor, torch.Tensor]:
    (train, mine), (test, held) = (pooled([getattr(one, of) for one in _tables()]) for of in ("train", "test"))
    return _problem(Data(train, test, classes=5)), mine, held


@pytest.mark.parametrize("plan", ["looped", tw.population.Plan("looped", 1, threads=2)])
def test_each_seed_has_the_run_of_its_own_split(plan: object) -> None:
    problem, mine, held = _whole()
    run = tw.train(problem, RECIPE, SEEDS, examples=mine, test_examples=held, plan=plan)
    for member, (seed, own) in enumerate(zip(SEEDS, _tables(), strict=True)):
        alone = tw.train(_problem(own), RECIPE, [seed], plan="looped")
        assert torch.equal(run.final.theta[member], alone.final.theta[0])
        for name, values in alone.history.metrics.items():
            np.testing.assert_array_equal(run.history[name][:, member], values[:, 0], err_msg=name)
    assert torch.equal(run.test_examples, held)
    found = tw.evaluate(problem, run.final, "test", rows=run.test_examples, plan="looped")
    assert found["loss"].tolist() == run.history.final("test_loss").tolist()


def test_rows_go_with_seeds_in_sweeps() -> None:
    problem, mine, held = _whole()
    recipe = tw.Recipe(tw.optim.AdamW([0.01, 0.02]), 4, evaluate=2)
    run = tw.train(problem, recipe, SEEDS, examples=mine, test_examples=held, plan="looped")
    for row, seed in enumerate(SEEDS):
        (member,) = run.select(lr=0.02, seed=seed)
        alone = tw.train(
            _problem(_tables()[row]), tw.Recipe(tw.optim.AdamW(0.02), 4, evaluate=2), [seed], plan="looped"
        )
        np.testing.assert_array_equal(run.history["test_accuracy"][:, member], alone.history["test_accuracy"][:, 0])


def test_no_bit_of_training_depends_on_them() -> None:
    problem, mine, held = _whole()
    theirs = tw.train(problem, RECIPE, SEEDS, examples=mine, test_examples=held, plan="looped")
    none = tw.train(problem, RECIPE, SEEDS, examples=mine, plan="looped")
    assert torch.equal(theirs.final.theta, none.final.theta)
    assert (theirs.history["test_loss"] != none.history["test_loss"]).any()
    assert none.test_examples is None


def test_going_on_keeps_them(tmp_path: Path) -> None:
    problem, mine, held = _whole()
    whole = tw.train(problem, RECIPE, SEEDS, examples=mine, test_examples=held, plan="looped")
    part = tw.train(problem, RECIPE, SEEDS, examples=mine, test_examples=held, plan="looped", until=6)
    on = tw.train(problem, RECIPE, SEEDS, resume=part)
    np.testing.assert_array_equal(on.history["test_loss"], whole.history["test_loss"])
    with pytest.raises(UsageError, match="resume goes on with the run's test_examples, and these are others"):
        tw.train(problem, RECIPE, SEEDS, resume=part, test_examples=held.flip(0))
    on_all = tw.train(problem, RECIPE, SEEDS, until=6)
    for given in ({"examples": mine}, {"test_examples": held}):
        with pytest.raises(
            UsageError, match=rf"resume goes on with a run that has no {next(iter(given))} of its own: "
        ):
            tw.train(problem, RECIPE, SEEDS, resume=on_all, **given)
    tw.train(problem, RECIPE, SEEDS, examples=mine, test_examples=held, store=tmp_path, name="own")
    with pytest.raises(StorageError):
        tw.train(problem, RECIPE, SEEDS, examples=mine, test_examples=held.flip(0), store=tmp_path, name="own")


def test_a_fork_does_not_lose_them() -> None:
    problem, mine, held = _whole()
    recipe = tw.Recipe(tw.optim.AdamW(0.01), 6, evaluate=2, snapshot=(0, 2), snapshot_state=True)
    whole = tw.train(problem, recipe, SEEDS, examples=mine, test_examples=held, plan="looped")
    for step in (0, 2):
        start = whole.at(step)
        own = {"examples": start.examples, "test_examples": start.test_examples}
        again = tw.train(problem, recipe, SEEDS, start=start, paired=True, plan="looped", **own)
        np.testing.assert_array_equal(again.history["test_loss"][-1], whole.history["test_loss"][-1])
        with pytest.raises(UsageError, match=r"The start is of members with test examples .* these are all of the"):
            tw.train(problem, recipe, SEEDS, start=start, paired=True, examples=mine)
        with pytest.raises(UsageError, match=r"these are others: .* write replace\(start, test_examples=None\)"):
            tw.train(problem, recipe, SEEDS, start=start, paired=True, examples=mine, test_examples=held.flip(0))
        meant = replace(start, test_examples=None)
        tw.train(problem, recipe, SEEDS, start=meant, paired=True, examples=mine, plan="looped")
    arms = {"go on": whole.at(2), "anew": None}
    with pytest.raises(UsageError, match="The start of arm 'go on' is of members with test examples"):
        tw.train(problem, recipe, SEEDS, start=arms, paired=True, examples=mine)
    both = tw.train(problem, recipe, SEEDS, start=arms, paired=True, examples=mine, test_examples=held, plan="looped")
    assert len(both.final) == 6
    assert torch.equal(whole.at(2)[[2, 0]].test_examples, held[[2, 0]])
    with pytest.raises(UsageError, match="The Start has 3 members, but test_examples of 2"):
        replace(whole.at(2), test_examples=held[:2])


def test_what_cannot_be_meant() -> None:
    problem, mine, held = _whole()
    with pytest.raises(UsageError, match=r"train test_examples must be indices of the 30 examples, 0 to 29; got 30"):
        tw.train(problem, RECIPE, SEEDS, examples=mine, test_examples=held + 1)
    with pytest.raises(UsageError, match="a row for each seed"):
        tw.train(problem, RECIPE, SEEDS, examples=mine, test_examples=held[:2])
    bare = _problem(Data(problem.data.train, classes=5))
    with pytest.raises(UsageError, match=r"train test_examples are indices of test examples, and .* has none"):
        tw.train(bare, RECIPE, SEEDS, test_examples=held)


def test_a_full_batch_is_gathered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, mine, _ = _whole()
    gathered = []
    take = type(problem.data.train).take
    monkeypatch.setattr(type(problem.data.train), "take", lambda self, at: gathered.append(at.shape) or take(self, at))
    tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), 9, evaluate=0), SEEDS, examples=mine, plan="looped")
    assert gathered.count(mine.shape) < 5  # at the start and to evaluate, not at each of 9 steps


def test_a_lab_passes_them_through() -> None:
    problem, mine, held = _whole()
    run = tw.studies.Lab(progress=None).train(problem, RECIPE, SEEDS, examples=mine, test_examples=held)
    assert torch.equal(run.test_examples, held)
