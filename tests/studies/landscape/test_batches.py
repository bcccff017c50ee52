"""Sharpness and batch size: which networks the arms take, and what is trained on."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.studies.lab import Lab
from thalweg.studies.landscape import batches


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return batches.problem_of(Lab(seed=1))


def test_arms_have_equal_epochs_or_equal_steps() -> None:
    for size in batches.BY_EPOCH:
        by_epoch, *others = (batches.recipe_of(arm, size, ends=True) for arm in batches.ARMS)
        assert by_epoch.steps * size == batches.EPOCHS * batches.EXAMPLES
        assert [other.steps for other in others] == [batches.STEPS] * 2
        assert others[0].optimizer == others[1].optimizer
        inner = batches.recipe_of(batches.ARMS[2], size, ends=False).optimizer.lr.points
        assert np.isclose(inner, batches.ONE_RATE).any()
    assert len({batches.recipe_of(arm, 32, ends=True) for arm in batches.ARMS}) == 1  # trained once


def test_rates_double_from_end_to_end() -> None:
    whole, inner = (batches.recipe_of(batches.ARMS[0], 8, ends=ends).optimizer.lr.points for ends in (True, False))
    assert whole == pytest.approx([0.02, 0.04, 0.08, 0.16, 0.32, 0.64])
    assert inner == whole[1:-1]
    for arm, of_size in zip(batches.ARMS, (batches.BY_EPOCH, batches.BY_STEPS), strict=False):
        for size, ends in of_size.items():
            rates = batches.recipe_of(arm, size, ends=True).optimizer.lr.points
            assert (rates[0], rates[-1]) == ends


def test_each_scored_seed_takes_the_best_rate_of_its_own_tuning_seed(problem: tw.Problem) -> None:
    rates, count = [0.1, 0.2, 0.4], 4
    recipe = tw.Recipe(tw.optim.Momentum(tw.sweep.values(rates)), 3, 64, evaluate=0)
    run = tw.train(problem, recipe, seeds=2 * count)  # members (rates, seeds), tuning seeds first
    x, y = (torch.as_tensor(part) for part in (problem.data.test.inputs, problem.data.test.targets))
    guesses = [run.final.module(member)(x).argmax(1) for member in range(len(run.final))]
    wrong = np.array([(guess != y.argmax(1)).double().numpy() for guess in guesses])
    half = -(-len(y) // 2)
    at = [run.select(seed=seed) for seed in range(count)]
    best = [int(np.argmin([wrong[member, :half].mean() for member in members])) for members in at]
    assert len(set(best)) > 1
    members = [run.select(lr=rates[place], seed=count + seed)[0] for seed, place in enumerate(best)]
    theta, rate, error, at_ends = batches.chosen(problem, run)
    assert rate.tolist() == [rates[place] for place in best]
    assert at_ends.tolist() == [place != 1 for place in best]
    assert torch.equal(theta, run.final.theta[members])
    assert error == pytest.approx([wrong[member, half:].mean() for member in members])
    theta, rate, *_ = batches.chosen(problem, run, only=0.2)
    assert rate.tolist() == [0.2] * count
    assert torch.equal(theta, run.final.theta[12:16])


def test_the_problem_trains_on_few_digits_and_is_tested_on_all_others(problem: tw.Problem) -> None:
    whole, train, test = tw.data.digits(), problem.data.train, problem.data.test
    assert len(train) == batches.EXAMPLES
    assert len(train) + len(test) == len(whole.train) + len(whole.test)
    seen, unseen = ({tuple(x.tolist()) for x in rows.inputs} for rows in (train, test))
    assert not seen & unseen
    assert not torch.equal(train.inputs, batches.problem_of(Lab(seed=2)).data.train.inputs)
