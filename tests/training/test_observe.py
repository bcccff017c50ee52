"""Observers of training: called when they ask, without a trace in the run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASE
from torch import Tensor

import thalweg as tw
from thalweg import optim
from thalweg.errors import UsageError
from thalweg.evaluation import evaluate

MLP = CASE["mlp"]
RECIPE = tw.Recipe(optim.AdamW(0.02), steps=6, batch_size=5)


class Every:
    """An observer that keeps what it saw, and draws random numbers in between."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.seen: dict[int, Tensor] = {}
        self.slots: Any = None

    def begin(self, slots: Any) -> None:
        self.slots = slots

    def __call__(self, step: int, population: tw.Population) -> None:
        torch.rand(3)
        self.seen[step] = population.theta.clone()


@pytest.mark.parametrize("name", ["mlp", "batchnorm", "dropout"])
def test_observers_see_the_steps_they_ask_for_and_change_no_bit(name: str) -> None:
    problem = CASE[name].problem()
    recipe = tw.Recipe(optim.AdamW(0.02), 7, batch_size=5, snapshot=tuple(range(8)))
    plain = tw.train(problem, recipe, 2, plan="looped")
    second, steps = Every(2), []

    def each(step: int, population: tw.Population) -> None:
        evaluate(problem, population, plan="looped")
        steps.append(step)

    seen = tw.train(problem, recipe, 2, plan="looped", observe=[second, each])
    for tensor, same in zip(seen.state.tensors().values(), plain.state.tensors().values(), strict=True):
        assert torch.equal(tensor, same)
    assert steps == list(range(8))
    assert list(second.seen) == [0, 2, 4, 6]
    for step, theta in second.seen.items():
        assert torch.equal(theta, plain.snapshots[step].theta)
    assert torch.equal(second.slots["first_moment"], plain.state.slots["first_moment"])


def test_a_run_that_goes_on_is_observed_from_there() -> None:
    problem, one = MLP.problem(), Every(1)
    half = tw.train(problem, RECIPE, 2, until=3, observe=one)
    tw.train(problem, RECIPE, 2, resume=half, observe=one)
    assert list(one.seen) == list(range(7))
    other = Every(1)
    tw.train(problem, RECIPE, 2, resume=half, observe=other)
    assert list(other.seen) == [4, 5, 6]


def test_an_observer_that_fails_loses_nothing_and_is_named(tmp_path: Path) -> None:
    problem = MLP.problem()

    def fails(step: int, population: tw.Population) -> None:
        if step == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        tw.train(problem, RECIPE, 2, plan="looped", observe=fails, store=tmp_path)
    assert "after step 4" in caught.value.__notes__[0]
    assert "fails" in caught.value.__notes__[0]
    rest = Every(1)
    run = tw.train(problem, RECIPE, 2, plan="looped", observe=rest, store=tmp_path)
    assert list(rest.seen) == [5, 6]
    assert torch.equal(run.final.theta, tw.train(problem, RECIPE, 2, plan="looped").final.theta)


def test_what_cannot_observe() -> None:
    problem = MLP.problem()
    with pytest.raises(
        UsageError, match=r"train observe must be a function of \(step, population\), or a list of them"
    ):
        tw.train(problem, RECIPE, observe=[3])
    with pytest.raises(
        UsageError, match="every of what train observes with must be a whole number of at least 1; got 0"
    ):
        tw.train(problem, RECIPE, observe=Every(0))
