"""What early masks are worth: against trainings by hand, planted masks, and random ones."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.tickets import ByLayer, Policy, Units, early_masks, prune, scores, share_of_gain

RECIPE = tw.Recipe(tw.optim.Momentum(0.2), 40, 50, schedule=tw.schedules.Cosine(), evaluate=1)


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 10), tw.data.digits().subset(train=300, test=100))


def test_every_arm_is_the_training_it_stands_for(problem: tw.Problem) -> None:
    found = early_masks(problem, RECIPE, (0.25,), share=0.2, seeds=3, train_from=0.1, plan="looped")
    recipe = tw.Recipe(tw.optim.Momentum(0.2), 40, 50, tw.schedules.Cosine(), evaluate=1, snapshot=(0, 4, 10))
    dense = tw.train(problem, recipe, 3, plan="looped", progress=None)
    assert torch.equal(dense.final.theta, found.dense.final.theta)
    start = tw.Start(dense.snapshots[4], step=4)
    for step, one in ((10, dense.snapshots[10]), (40, dense.final)):
        mask = prune(problem, one.theta.abs(), 0.2)
        by_hand = tw.train(problem, RECIPE, 3, start=start, mask=mask, paired=True, plan="looped", progress=None)
        assert found.of(step).tolist() == by_hand.history.final("test_accuracy").tolist()
    assert found.of("final").tolist() == found.of(40).tolist()
    assert found["dense"].tolist() == dense.history.final("test_accuracy").tolist()
    assert found.gains(10, "dense") == pytest.approx(found.of(10) - found["dense"])
    part, whole = found.of(10) - found["random"], found.of(40) - found["random"]
    assert found.share(10) == share_of_gain(part, whole)
    assert found.share("final").estimate == 1
    assert found["overlap"][-1].tolist() == [1, 1, 1]


def test_masks_of_random_scores_are_worth_no_more_than_random_masks(problem: tw.Problem) -> None:
    count = iter(range(1_000))

    def afresh(population: tw.Population, first: tw.Population) -> torch.Tensor:
        return scores.random(population, [100 + next(count) for _ in range(len(population))])

    found = early_masks(problem, RECIPE, (0, 0.2, 0.5), share=0.1, seeds=8, score=afresh)
    assert all(one.low < 0 < one.high for one in (found.better(step) for step in (8, 20, "final")))
    assert abs(found["overlap"][:-1].mean()) < 0.05
    assert abs(found["overlap of random"].mean()) < 0.05


def test_a_planted_mask_has_the_whole_gain_at_once(problem: tw.Problem) -> None:
    informative = problem.data.train.slice(0, 300)[0].std(0) > 0.3
    planted = torch.zeros(problem.layout.parameters)
    planted[problem.layout["hidden1.weight"].columns] = informative.float().repeat(12)
    planted = planted + 0.1 * torch.rand(len(planted), generator=torch.Generator().manual_seed(0))
    score = lambda population, first: planted.expand(len(population), -1)  # noqa: E731
    found = early_masks(problem, RECIPE, (0, 0.2), share={"hidden": 0.2, "output": 0.9}, seeds=4, score=score)
    assert (found["overlap"] == 1).all()
    assert found.better(8).low > 0.05
    assert found.share(0).estimate == found.share(8).estimate == 1


def test_channels_are_kept_whole_and_random_ones_are_as_many() -> None:
    data = tw.data.mnist1d(train=100, test=100)
    problem = tw.Problem(lambda: tw.nets.signal_convnet(4, strides=(2, 2), scale=0.5), data)
    recipe = tw.Recipe(tw.optim.Slimming(tw.optim.Momentum(0.1), 1e-3), 10, 50, evaluate=1)
    gamma = lambda population, first: scores.gamma(population)  # noqa: E731
    found = early_masks(problem, recipe, (0.2,), share=0.5, seeds=2, train_from=0.2, score=gamma, allocation=Units())
    assert found["test_accuracy"].shape == (2, 2)
    assert "50.0% of the parts" in found.reading.notes[0]
    assert Units().division(problem, Policy()).sizes.tolist() == [4, 4]
    # Two of four are kept in both layers, so two of four are common by chance.
    assert set(np.unique(found["overlap of random"])) <= {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert len(found.figure().panels) == 2


def test_the_share_of_the_rate_is_that_of_the_schedule(problem: tw.Problem) -> None:
    found = early_masks(problem, RECIPE, (0, 0.5), share=0.5, seeds=1, allocation=ByLayer())
    assert found["share of the rate"] == pytest.approx([0, 0.5 + 1 / np.pi, 1], abs=0.02)
    constant = tw.Recipe(tw.optim.Momentum(0.2), 40, 50, evaluate=1)
    assert early_masks(problem, constant, (0.25,), share=0.5, seeds=1)["share of the rate"].tolist() == [0.25, 1]


def test_losses_are_better_where_they_are_smaller(problem: tw.Problem) -> None:
    found = early_masks(problem, RECIPE, (0.5,), share=0.2, seeds=3, metric="test_loss")
    assert found.gains("final", "random") == pytest.approx(found["random"] - found["test_loss"][-1])


def test_what_cannot_be_meant_is_said(problem: tw.Problem) -> None:
    with pytest.raises(UsageError, match="leave sweeps out"):
        early_masks(problem, tw.Recipe(tw.optim.SGD([0.1, 0.2]), 5, 50), share=0.5, seeds=1)
    found = early_masks(problem, RECIPE, (0.5,), share=0.5, seeds=1)
    with pytest.raises(UsageError, match="mask"):
        found.of(7)
