"""Samples: drawn at random without replacement, the same in every instrument, refused where they cannot be meant."""

from typing import Any

import pytest
import torch
from cases import CASE
from scipy import stats
from torch.utils.data import TensorDataset

import thalweg as tw
from thalweg import landscape
from thalweg.data import Examples, LazyExamples, from_user
from thalweg.errors import UsageError
from thalweg.evaluation import as_sample
from thalweg.evaluation.sample import sampled

COUNT = 60
X = torch.arange(COUNT * 4.0).reshape(COUNT, 4)
Y = torch.arange(COUNT) // 20  # sorted by label, as data sets often come


def _problem(test: bool = True) -> tw.Problem:
    data = from_user((X, Y), (X[:10] + 0.5, Y[:10])) if test else (X, Y)
    return tw.Problem(lambda: tw.nets.mlp(4, 3), data)


def _rows(examples: Any) -> list[int]:
    """Which of X the inputs are."""
    return (examples.slice(0, len(examples))[0][:, 0] / 4).int().tolist()


def test_a_draw_is_without_replacement_ascending_and_of_the_size_asked_for() -> None:
    drawn = tw.Sample("train", 25).draw(_problem())
    rows = _rows(drawn.examples)
    assert len(drawn) == len(set(rows)) == 25
    assert rows == sorted(rows) == drawn.indices.tolist()
    assert drawn.text == "25 of 60 train examples"
    assert not drawn.is_whole


@pytest.mark.parametrize("count", [None, COUNT, COUNT + 1])
def test_the_whole_set_comes_in_its_order_and_is_not_copied(count: int | None) -> None:
    problem = _problem()
    drawn = tw.Sample("train", count).draw(problem)
    assert drawn.examples is problem.data.train
    assert drawn.indices is None
    assert drawn.is_whole
    assert drawn.text == "all 60 train examples"


def test_every_example_is_drawn_as_often() -> None:
    """Of 4,000 draws of 15 from 60 each example is in a quarter; a z-test an example, and one of all of them."""
    draws = torch.stack([torch.bincount(sampled(COUNT, 15, seed), minlength=COUNT) for seed in range(4_000)])
    often = draws.sum(0)
    spread = (4_000 * 0.25 * 0.75) ** 0.5
    assert (often - 1_000).abs().max() < 4.5 * spread
    square = float(((often - 1_000) / spread).square().sum())  # dependent: the counts add up to 60,000
    assert stats.chi2.sf(square * (COUNT - 1) / COUNT, COUNT - 1) > 1e-3


def test_a_draw_is_a_function_of_seed_count_and_size_alone() -> None:
    problem = _problem()
    rows = _rows(tw.Sample("train", 20, seed=4).draw(problem).examples)
    assert _rows(tw.Sample("train", 20, seed=4).draw(_problem(test=False)).examples) == rows
    assert _rows(tw.Sample(problem.data.train, 20, seed=4).draw(problem).examples) == rows
    assert _rows(tw.Sample("train", 20, seed=5).draw(problem).examples) != rows
    assert set(rows) < set(_rows(tw.Sample("train", 30, seed=4).draw(problem).examples))  # more of the same


def test_data_sorted_by_label_has_all_labels_in_a_sample() -> None:
    drawn = tw.Sample("train", 12).draw(_problem())
    assert set(drawn.examples.targets.tolist()) == {0, 1, 2}


def test_the_test_set_and_examples_of_ones_own() -> None:
    problem = _problem()
    assert tw.Sample("test").draw(problem).examples is problem.data.test
    assert tw.Sample("test", 4).draw(problem).text == "4 of 10 test examples"
    own = Examples(X[:7], Y[:7])
    assert tw.Sample(own).draw(problem).examples is own
    assert tw.Sample(own, 3).draw(problem).text == "3 of 7 examples"
    with pytest.raises(UsageError, match=r"has no test examples; write on='train', or give some"):
        tw.Sample("test").draw(_problem(test=False))


def test_examples_that_are_read_as_they_are_wanted() -> None:
    streamed = LazyExamples(TensorDataset(X, Y))
    some = tw.Sample(streamed, 9, seed=2).draw(_problem())
    assert isinstance(some.examples, LazyExamples)
    assert _rows(some.examples) == sampled(COUNT, 9, 2).tolist()
    looked_at = tw.Sample(streamed).draw(_problem()).examples  # classes are looked at as they are read
    assert looked_at.dataset is streamed.dataset
    assert torch.equal(looked_at.indices, streamed.indices)
    regression = tw.Problem(lambda: tw.nets.mlp(4, 1), (X, X[:, :1]), "squared_error")
    assert tw.Sample(streamed).draw(regression).examples is streamed


def test_one_sample_is_the_same_examples_in_every_instrument() -> None:
    problem, some = CASE["mlp"].problem(dtype=torch.float64), tw.Sample("train", 9, seed=7)
    population = problem.initialize(2)
    by_hand = problem.data.train.select(some.draw(problem).indices)
    wanted = tw.evaluate(problem, population, by_hand)["loss"]
    assert torch.equal(tw.evaluate(problem, population, some)["loss"], wanted)
    assert torch.equal(tw.evaluation.by_example(problem, population, some)["loss"].mean(1), wanted)
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.0), 1, evaluate_train_on=some), 2)
    torch.testing.assert_close(torch.tensor(run.history["train_loss"][0]), wanted, rtol=1e-12, atol=0)
    # A line sees the difference from its center on them: what the sample's mean differs by from that of all.
    line = landscape.line(problem, population, span=(0.0, 1.0), resolution=2, on=some)
    end = population.with_theta(population.theta + line.directions[0])
    change = tw.evaluate(problem, end, by_hand)["loss"] - wanted
    center = tw.evaluate(problem, population, "train")["loss"]
    torch.testing.assert_close(torch.tensor(line["loss"][:, 1]), center + change, rtol=1e-10, atol=0)


def test_what_an_instrument_takes_is_a_sample_a_name_or_examples() -> None:
    some = tw.Sample("test", 3, 1)
    assert as_sample("trace", some) is some
    assert as_sample("trace", "test") == tw.Sample("test")
    own = Examples(X, Y)
    assert as_sample("trace", own).examples is own


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: tw.Sample("valid"), "Sample examples is one of train, test; got 'valid'"),
        (lambda: tw.Sample(X), 'Sample examples must be "train", "test" or examples such as data.train; got a Tensor'),
        (lambda: tw.Sample("train", 0), "Sample count must be a whole number of at least 1; got 0"),
        (lambda: tw.Sample("train", 0.5), "Sample count must be a whole number of at least 1; got 0.5"),
        (lambda: tw.Sample("train", 5, "a"), "Sample seed must be a whole number; got 'a'"),
        (lambda: as_sample("trace", "all"), "trace on is one of train, test; got 'all'"),
        (lambda: as_sample("trace", 500), r'trace on must be a Sample such as Sample\("train", 1_000\).*; got 500'),
        (lambda: as_sample("trace", None), "trace on must be a Sample such as .*; got None"),
    ],
)
def test_what_cannot_be_meant(make: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make()


def test_the_same_examples_are_known_by_what_they_hold() -> None:
    problem = _problem()
    train, copied = problem.data.train, Examples(X.clone(), Y.clone())
    of = {
        "train": tw.Sample("train"),
        "more than all": tw.Sample("train", COUNT + 1),
        "a copy": tw.Sample(copied),
        "other targets": tw.Sample(Examples(X, 2 - Y)),
        "half": tw.Sample("train", 30),
        "half of a copy": tw.Sample(copied, 30),
        "another half": tw.Sample("train", 30, seed=1),
        "that half as a set of its own": tw.Sample(train.select(tw.Sample("train", 30).draw(problem).indices)),
        "test": tw.Sample("test"),
    }
    alike = [{"train", "more than all", "a copy"}, {"half", "half of a copy"}]
    for one, mine in of.items():
        for other, theirs in of.items():
            wanted = one == other or any({one, other} <= some for some in alike)
            assert mine.draw(problem).same(theirs.draw(problem)) == wanted, (one, other)


def test_datasets_that_are_read_when_asked_for_are_the_same_by_their_rows() -> None:
    problem, dataset = _problem(), TensorDataset(X, Y)
    whole, again, copied = (LazyExamples(some) for some in (dataset, dataset, TensorDataset(X, Y)))
    part = whole.select(torch.arange(30))
    drawn = [tw.Sample(some).draw(problem) for some in (whole, again, copied, part)]
    assert [drawn[0].same(other) for other in drawn] == [True, True, False, False]
