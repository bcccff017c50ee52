"""Memorization over the share of random labels: against evaluations by hand, planted arrays, and bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.generalization import Memorization, memorization

RECIPE = tw.Recipe(tw.optim.Adam(1e-2), 40, 20)


def wide() -> torch.nn.Module:
    return tw.nets.mlp(64, 64, 10)


@pytest.fixture(scope="module")
def found() -> Memorization:
    return memorization(wide, tw.data.digits(), RECIPE, n=40, fractions=(0, 0.5, 1), seeds=[3, 5])


def test_it_is_what_evaluation_of_each_member_says(found: Memorization) -> None:
    for place, fraction in enumerate(found.fractions):
        for row, member in enumerate(found.members(fraction)):
            one = found.final[member]
            assert float(tw.evaluate(found.problem, one, found.training_set(member))["accuracy"][0]) == pytest.approx(
                found["train accuracy"][place, -1, row]
            )
            assert float(tw.evaluate(found.problem, one, found.held_out(member))["accuracy"][0]) == pytest.approx(
                found["test accuracy"][place, -1, row]
            )


def test_fractions_share_examples_and_nested_labels(found: Memorization) -> None:
    clean, half, whole = (found.training_set(found.members(fraction)[0]) for fraction in found.fractions)
    assert torch.equal(clean.inputs, whole.inputs)
    changed, more = half.targets != clean.targets, whole.targets != clean.targets
    assert bool((more | ~changed).all())
    assert torch.equal(half.targets[changed], whole.targets[changed])
    assert found["changed"][:, 0].tolist() == pytest.approx(
        [0, *(float(one.double().mean()) for one in (changed, more))]
    )
    held = found.held_out(0)
    assert len(held) == 1_797 - 40
    assert not {tuple(row) for row in held.inputs.tolist()} & {tuple(row) for row in clean.inputs.tolist()}


def planted(accuracy: list[list[float]], loss: list[list[float]]) -> Memorization:
    """One seed: accuracy and loss by fraction and step."""
    small = memorization(wide, tw.data.digits(), replace(RECIPE, steps=2, evaluate=2), n=40, fractions=(0, 1), seeds=1)
    arrays = {**small.reading.arrays, "train accuracy": np.array(accuracy)[..., None]}
    arrays["train loss"] = np.array(loss)[..., None]
    return replace(small, reading=replace(small.reading, arrays=arrays))


def test_the_first_step_without_an_error_is_found_and_a_falling_loss_is_seen() -> None:
    both = planted([[0.5, 1, 1], [0.1, 0.5, 0.975]], [[2, 1, 0.1], [2, 1, 0.5]])
    assert both.fitted[:, 0].tolist() == [1, np.inf]
    assert both.memorizes.estimate == 0
    assert both.still_falling
    assert not planted([[0.5, 1, 1], [0.1, 0.5, 0.975]], [[2, 1, 0.1], [2, 1, 0.9]]).still_falling
    assert not planted([[0.5, 1, 1], [0.1, 0.5, 1]], [[2, 1, 0.1], [2, 1, 0.1]]).still_falling


def test_its_figure_has_three_lines(found: Memorization) -> None:
    found.figure().to_matplotlib()
    assert len(found.figure().panels[0].marks) == 3


def test_what_cannot_be_meant_is_refused(found: Memorization) -> None:
    with pytest.raises(UsageError, match=r"0\.3 random labels"):
        found.members(0.3)
    with pytest.raises(UsageError, match="each once"):
        memorization(wide, tw.data.digits(), RECIPE, n=40, fractions=(0, 0), seeds=1)
    with pytest.raises(UsageError, match="between 0 and 1"):
        memorization(wide, tw.data.digits(), RECIPE, n=40, fractions=(2,), seeds=1)
    with pytest.raises(UsageError, match="ask for fewer"):
        memorization(wide, tw.data.digits(), RECIPE, n=1_797, seeds=1)
    with pytest.raises(UsageError, match="by its sweeps"):
        memorization(wide, tw.data.digits(), replace(RECIPE, optimizer=tw.optim.Adam([1e-2, 1e-3])), n=40, seeds=1)
