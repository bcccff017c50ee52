"""What counts as a match: the same outcome does, and only what is shown."""

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.statistics import interval
from thalweg.tickets import critical_sparsity, rewinding_map, search
from thalweg.tickets.matching import gains, margin_of, matches, mean_gain, usual_metric

RECIPE = tw.Recipe(tw.optim.Momentum(0.1), steps=8, batch_size=50, evaluate=1)
NEEDED = ("ticket", "reinit", "shuffled")


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 10), tw.data.digits().subset(train=100, test=50))


def test_a_mask_that_removes_nothing_matches(problem: tw.Problem) -> None:
    found = search(problem, RECIPE, seeds=3, rounds=2, keep=1.0, arms=NEEDED, plan="looped", progress=None)
    verdict = found.verdict(1)
    assert verdict.matching
    assert not verdict.is_ticket  # it is not shown to be better than its controls
    assert verdict.better["dense"].estimate == verdict.better["dense"].low == verdict.better["dense"].high == 0
    assert "the same in every seed" in verdict.facts()["better than dense"]
    assert found.largest_matching() == 2


def test_a_map_and_a_bisection_take_the_same_outcome_for_a_match(problem: tw.Problem) -> None:
    """All reach the same accuracy on a task on which every network is at its ceiling: nothing is learned."""
    still = tw.Recipe(tw.optim.SGD(0.0), steps=2, batch_size=50, evaluate=1)
    mapped = rewinding_map(problem, still, (0,), seeds=3, rounds=1, keep=1.0, plan="looped", progress=None)
    assert mapped.better(0, 1).known
    ones = mean_gain(gains(np.ones(5), np.ones(5), "test_accuracy"))
    assert matches(ones, 0.005)
    easy = tw.Problem(lambda: tw.nets.mlp(1, 8, 2), tw.data.from_user((np.ones((20, 1), np.float32), np.ones(20, int))))
    recipe = tw.Recipe(tw.optim.SGD(0.5), steps=20, batch_size=10, evaluate=1)
    found = critical_sparsity(
        easy, recipe, seeds=3, sparsest=0.5, tolerance=1.2, metric="train_accuracy", progress=None
    )
    assert found.matching == 0.5


def test_one_seed_and_equal_differences_that_are_not_zero_show_nothing() -> None:
    assert not matches(mean_gain(np.zeros(1)), 0.1)
    assert not mean_gain(np.full(4, -0.01)).known
    values = np.array([0.9, 0.8, 0.85]), np.array([0.88, 0.81, 0.8])
    assert mean_gain(gains(*values, "test_accuracy")) == interval.difference(*values)
    assert mean_gain(gains(*values, "test_loss")) == interval.difference(*values[::-1])


def test_a_matching_level_is_named_beside_its_controls_alone(problem: tw.Problem) -> None:
    arms = {"reinit": (2,), "shuffled": (2,)}
    found = search(problem, RECIPE, seeds=3, rounds=2, keep=1.0, arms=arms, plan="looped", progress=None)
    assert {"matching", "there better than reinit", "there better than shuffled"} <= set(found.facts())
    arms = {"reinit": (1, 2), "shuffled": (1,)}
    found = search(problem, RECIPE, seeds=3, rounds=2, keep=1.0, arms=arms, plan="looped", progress=None)
    assert found.facts()["verdict"] == "none at level 2, without shuffled there"
    assert "matching" not in found.facts()


def test_a_loss_needs_a_margin_of_its_own(problem: tw.Problem) -> None:
    assert margin_of("verdict", None, "test_accuracy") == 0.005
    with pytest.raises(UsageError, match="needs a margin in its unit"):
        rewinding_map(problem, RECIPE, (0,), seeds=2, rounds=1, metric="test_loss", progress=None)
    with pytest.raises(UsageError, match="needs a margin in its unit"):
        critical_sparsity(problem, RECIPE, seeds=2, metric="test_loss", progress=None)
    found = search(problem, RECIPE, seeds=3, rounds=1, keep=0.5, arms=NEEDED, progress=None)
    with pytest.raises(UsageError, match="needs a margin in its unit"):
        found.verdict(1, metric="test_loss")
    assert found.verdict(1, metric="test_loss", margin=10.0).matching
    curve = tw.Problem(
        lambda: tw.nets.mlp(1, 8, 1), (np.linspace(-1, 1, 40)[:, None], np.zeros((40, 1))), "squared_error"
    )
    assert usual_metric(curve) == "train_loss"
    found = search(curve, tw.Recipe(tw.optim.SGD(0.1), 4, 10), seeds=2, rounds=1, keep=0.5, arms=NEEDED, progress=None)
    assert "margin" in found.facts()["verdict"]
