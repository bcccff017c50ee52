"""Sharpness and batch size: slopes of planted power laws, which networks the arms take, and what is trained on."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.landscape import batches


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return batches.problem_of(Lab(seed=1))


def test_slopes_of_planted_power_laws() -> None:
    sizes = (8, 32, 64, 256)
    powers, scales = np.array([0.5, -1.0, 0.0]), np.array([3.0, 100.0, 0.2])
    values = scales * np.array(sizes, dtype=float)[:, None] ** powers
    np.testing.assert_allclose(batches.slopes(sizes, values), powers, atol=1e-12)
    assert batches.slopes((8, 256), values[[0, -1]]) == pytest.approx(powers)


def test_a_slope_is_that_of_the_line_nearest_in_logarithms() -> None:
    values = np.array([[4.0], [16.0], [64.0]])
    x, y = np.log([4, 8, 64]), np.log(values[:, 0])
    wanted = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert batches.slopes((4, 8, 64), values) == pytest.approx([wanted])


def test_bands_are_the_intervals_of_each_point() -> None:
    values = np.random.default_rng(0).normal(2, 0.1, (2, 9))
    line = batches.banded(np.array([8.0, 16.0]), values, interval.mean, "arm")
    for point, row in enumerate(values):
        end = interval.mean(row)
        assert (line.y[point], line.low[point], line.high[point]) == (end.estimate, end.low, end.high)


def test_arms_have_equal_epochs_or_equal_steps() -> None:
    for size in batches.BY_EPOCHS:
        by_epochs, *others = (batches.Setting.of(arm, size) for arm in batches.ARMS)
        assert by_epochs.steps * size == batches.EPOCHS * batches.EXAMPLES
        assert [other.steps for other in others] == [batches.STEPS] * 2
        assert others[0].rates == others[1].rates
        assert np.isclose(others[1].rates[1:-1], batches.ONE_RATE).any()
    assert len({batches.Setting.of(arm, 32) for arm in batches.ARMS}) == 1  # trained once


def test_rates_double_from_end_to_end() -> None:
    whole, inner = (batches.Setting.of(batches.ARMS[0], 8, ends=ends) for ends in (True, False))
    assert whole.rates == pytest.approx([0.02, 0.04, 0.08, 0.16, 0.32, 0.64])
    assert inner.rates == whole.rates[1:-1]
    for arm, of_size in zip(batches.ARMS, (batches.BY_EPOCHS, batches.BY_STEPS), strict=False):
        for size, (low, high) in of_size.items():
            assert batches.Setting.of(arm, size).rates[:: len(batches.Setting.of(arm, size).rates) - 1] == (low, high)


def test_each_scored_seed_takes_the_best_rate_of_its_own_tuning_seed(problem: tw.Problem) -> None:
    rates, count = [0.1, 0.2, 0.4], 4
    population = problem.initialize(len(rates) * 2 * count)  # any networks, in the place of members (rates, seeds)
    x, y = (torch.as_tensor(part) for part in (problem.data.test.inputs, problem.data.test.targets))
    guesses = [population.module(member)(x).argmax(1) for member in range(len(population))]
    wrong = np.array([(guess != y.argmax(1)).double().numpy() for guess in guesses])
    half = -(-len(y) // 2)
    at = [[rate * 2 * count + seed for rate in range(len(rates))] for seed in range(count)]
    best = [int(np.argmin([wrong[member, :half].mean() for member in members])) for members in at]
    assert len(set(best)) > 1
    members = [rate * 2 * count + count + seed for seed, rate in enumerate(best)]
    found = batches.Ended.of(problem, population, rates)
    assert found.rate.tolist() == [rates[rate] for rate in best]
    assert found.at_ends.tolist() == [rate != 1 for rate in best]
    assert torch.equal(found.networks.theta, population.theta[members])
    assert found.error == pytest.approx([wrong[member, half:].mean() for member in members])
    same = batches.Ended.of(problem, population, rates, only=0.2)
    assert same.rate.tolist() == [0.2] * count
    assert torch.equal(same.networks.theta, population.theta[12:16])


def test_members_lie_by_rate_and_seed(problem: tw.Problem) -> None:
    population = batches.Setting(64, (0.1, 0.2, 0.4), 3).train(Lab(seed=1), problem, [5, 6])
    assert len(population) == 6
    for member, (rate, seed) in enumerate((rate, seed) for rate in (0.1, 0.2, 0.4) for seed in (5, 6)):
        alone = tw.train(problem, tw.Recipe(tw.optim.Momentum(rate), 3, 64, evaluate=0), seeds=[seed])
        torch.testing.assert_close(population.theta[member], alone.final.theta[0], rtol=1e-4, atol=1e-6)


def test_the_problem_trains_on_few_digits_and_is_tested_on_all_others(problem: tw.Problem) -> None:
    whole, train, test = tw.data.digits(), problem.data.train, problem.data.test
    assert len(train) == batches.EXAMPLES
    assert len(train) + len(test) == len(whole.train) + len(whole.test)
    seen, unseen = ({tuple(x.tolist()) for x in rows.inputs} for rows in (train, test))
    assert not seen & unseen
    assert not torch.equal(train.inputs, batches.problem_of(Lab(seed=2)).data.train.inputs)
