"""Scaled starts as arms, and the diagonal linear network in which noise chooses."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.generalization import implicit


def _tensors(data: tw.data.Data) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = data.train.slice(0, len(data.train))
    assert isinstance(x, torch.Tensor)
    assert isinstance(y, torch.Tensor)
    return x, y


def test_arms_are_the_same_draw_at_every_scale() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    arms = implicit.scale_of_initialization(problem, [3, 5], [0.5, 1, 2])
    drawn = problem.initialize([3, 5]).theta
    for scale, arm in arms.items():
        assert torch.equal(arm.theta, float(scale) * drawn)
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), 2, 64), [3, 5], start=arms, paired=True)
    alone = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), 2, 64), [3, 5])
    rows = [place for place, arm in enumerate(run.axes["arm"]) if arm == "1"]
    torch.testing.assert_close(run.final.theta[rows], alone.final.theta)


def test_a_large_start_moves_less_for_its_size() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    arms = implicit.scale_of_initialization(problem, 2, [0.25, 1, 4])
    moved = []
    for arm in arms.values():
        run = tw.train(problem, tw.Recipe(tw.optim.Adam(3e-3), 60, 100), 2, start=arm, paired=True)
        moved.append(implicit.relative_movement(arm, run.final))
    assert (moved[0] > 2 * moved[1]).all()
    assert (moved[1] > 2 * moved[2]).all()


def test_the_diagonal_network_is_its_coefficients() -> None:
    data = implicit.sparse_linear(7, 9, nonzero=2, test=3)
    problem = tw.Problem(lambda: implicit.DiagonalLinear(9, start=0.2), data, "squared_error")
    population = problem.initialize(2)
    population = population.with_theta(torch.randn(2, 18, generator=torch.Generator().manual_seed(0)))
    x, y = _tensors(data)
    expected = ((x @ implicit.effective_coefficients(population).T - y) ** 2).mean(0)
    torch.testing.assert_close(tw.evaluate(problem, population, "train")["loss"].float(), expected)
    torch.testing.assert_close(x @ data.ground_truth["coefficients"], y)
    assert sorted(data.ground_truth["coefficients"].abs().flatten().tolist()) == [0.0] * 7 + [1.0] * 2


def test_noise_lowers_the_risk_of_the_diagonal_network_at_equal_loss() -> None:
    seeds = [500, 501, 502]
    draws = [implicit.sparse_linear(40, 100, seed=seed) for seed in seeds]
    pool, table = tw.data.pooled([tw.data.Examples(*_tensors(one)) for one in draws])
    problem = tw.Problem(lambda: implicit.DiagonalLinear(100), tw.data.Data(pool), "squared_error")
    beta = torch.stack([one.ground_truth["coefficients"][:, 0] for one in draws])
    risks = {}
    steps = 1_600
    for size in (1, 40):
        kept = tuple(range(800, steps + 1, 40))
        recipe = tw.Recipe(tw.optim.SGD(0.015), steps, size, evaluate=kept, snapshot=kept)
        reached = tw.train(problem, recipe, seeds, examples=table).at_first("train_loss", 1e-4)
        assert reached.members.tolist() == [0, 1, 2]
        found = implicit.effective_coefficients(reached.population)
        risks[size] = ((found - beta) ** 2).sum(1).log().mean()
    assert risks[1] - risks[40] < np.log(0.85)


def test_what_cannot_be_meant_is_refused() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    for scales in ([], [1, 1.0], [0.0]):
        with pytest.raises(UsageError, match="different scales above 0"):
            implicit.scale_of_initialization(problem, 1, scales)
    with pytest.raises(UsageError, match="as many starts"):
        implicit.relative_movement(problem.initialize(2), problem.initialize(3))
    with pytest.raises(UsageError, match="start must be above 0"):
        implicit.DiagonalLinear(3, start=0.0)
    with pytest.raises(UsageError, match="nonzero <= inputs"):
        implicit.sparse_linear(3, 2, nonzero=3)
    with pytest.raises(UsageError, match="u and v"):
        implicit.effective_coefficients(problem.initialize(1))
