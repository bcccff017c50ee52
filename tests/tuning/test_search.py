"""Searches, and trials as one population."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

import thalweg as tw
from thalweg import optim, tuning
from thalweg.errors import UsageError
from thalweg.schedules import Cosine, Scheduled
from thalweg.tuning import Range


def test_halton_points_are_scipys_in_the_ranges_and_a_longer_search_begins_with_a_shorter() -> None:
    ranges = {"lr": Range(1e-4, 1e-1), "beta": Range(0.5, 1.0, log=False)}
    points = tuning.halton(64, ranges, seed=3)
    unit = stats.qmc.Halton(2, rng=3).random(64)
    np.testing.assert_allclose(np.log10(points["lr"]), -4 + 3 * unit[:, 0])
    np.testing.assert_allclose(points["beta"], 0.5 + 0.5 * unit[:, 1])
    np.testing.assert_array_equal(tuning.halton(10, ranges, seed=3)["lr"], points["lr"][:10])
    # Evenly spread: every eighth of the range has its share, up to one or two.
    counts = np.histogram(unit[:, 0], bins=8, range=(0, 1))[0]
    assert abs(counts - 8).max() <= 2


def test_a_grid_has_all_combinations_and_both_ends() -> None:
    points = tuning.grid(3, {"lr": Range(1e-2, 1), "decay": Range(0, 2, log=False)})
    pairs = {(round(a, 6), b) for a, b in zip(points["lr"], points["decay"], strict=True)}
    assert pairs == {(a, b) for a in (0.01, 0.1, 1.0) for b in (0.0, 1.0, 2.0)}


@settings(deadline=None)
@given(st.floats(1e-8, 1e8), st.floats(1.001, 1e6), st.booleans(), st.floats(0, 1))
def test_values_lie_in_their_range_and_say_how_far_along(low: float, ratio: float, log: bool, share: float) -> None:
    one = Range(low, low * ratio, log)
    value = float(one.at(np.array(share)))
    assert one.low <= value <= one.high
    assert one.share(value) == pytest.approx(share, abs=1e-6)
    assert (one.at(np.array(0.0)), one.at(np.array(1.0))) == (one.low, one.high)


def test_points_given_to_a_rule_are_one_member_each() -> None:
    points = tuning.halton(3, {"lr": Range(1e-3, 1), "weight_decay": Range(1e-3, 1)})
    inputs = torch.zeros(4, 2)
    problem = tw.Problem(lambda: nn.Linear(2, 2), (inputs, torch.zeros(4).long()))
    run = tw.train(problem, tw.Recipe(optim.AdamW(**points), 1), 2)
    np.testing.assert_allclose(run.axes["lr"], points["lr"].repeat(2))
    np.testing.assert_allclose(run.axes["weight_decay"], points["weight_decay"].repeat(2))


def test_trials_together_are_trained_as_each_alone() -> None:
    rules = [
        optim.Averaged(optim.AdamW(lr, beta1=1 - far, weight_decay=Scheduled(decay, Cosine())), 0.9)
        for lr, far, decay in [(0.1, 0.1, 0.01), (0.3, 0.3, 0.2), (0.2, 0.1, 0.1)]
    ]
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    problem = tw.Problem(lambda: nn.Linear(3, 2), (inputs, torch.arange(20) % 2), dtype=torch.float64)
    whole = tw.train(problem, tw.Recipe(tuning.stack_trials(rules), 20, 5), [4, 7])
    assert len(whole.final) == 6
    for index, rule in enumerate(rules):
        alone = tw.train(problem, tw.Recipe(rule, 20, 5), [4, 7])
        torch.testing.assert_close(whole.final.theta[2 * index : 2 * index + 2], alone.final.theta, rtol=1e-9, atol=0)


def test_what_all_trials_share_is_not_swept_and_recipes_go_together_too() -> None:
    same = tuning.stack_trials([optim.SGD(0.1), optim.SGD(0.1)])
    assert same == optim.SGD(0.1)
    recipe = tuning.stack_trials([tw.Recipe(optim.SGD(lr), 5, size) for lr, size in [(0.1, 4), (0.2, 8)]])
    assert recipe.optimizer.lr.points == (0.1, 0.2)
    assert recipe.batch_size.points == (4, 8)
    assert recipe.steps == 5


def test_numbers_of_numpys_are_numbers() -> None:
    one = Range(np.float32(0.25), np.int64(2))
    assert (one.low, one.high) == (0.25, 2)
    assert len(tuning.halton(np.int64(3), {"lr": one}, seed=np.int64(1))["lr"]) == 3


def test_functions_that_do_the_same_are_one() -> None:
    make = lambda lr, beta=0.9: optim.TorchOptimizer(lr, lambda p: torch.optim.SGD(p, momentum=beta))  # noqa: E731
    one = tuning.stack_trials([make(0.1), make(0.2)])
    assert one.lr.points == (0.1, 0.2)
    with pytest.raises(UsageError, match="TorchOptimizer make is another function in some: write one for all"):
        tuning.stack_trials([make(0.1), make(0.2, 0.5)])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Range(1, 1), "low < high"),
        (lambda: Range(0, 1), "log=False"),
        (lambda: Range("1", 2), "Range low must be a number"),
        (lambda: Range(1, np.inf), "low < high"),
        (lambda: tuning.halton(0, {"lr": Range(1, 2)}), "halton count must be a whole number of at least 1; got 0"),
        (lambda: tuning.halton(1.5, {"lr": Range(1, 2)}), "halton count must be a whole number"),
        (lambda: tuning.halton(3, {}), "halton ranges must be ranges by hyper-parameter"),
        (lambda: tuning.halton(3, {"lr": (1, 2)}), r"halton ranges\['lr'\] must be a Range"),
        (lambda: tuning.grid(1, {"lr": Range(1, 2)}), "grid count must be a whole number of at least 2; got 1"),
        (lambda: tuning.halton(3, {"lr": Range(1, 2)}, seed=-1), "halton seed must be a whole number of at least 0"),
        (lambda: tuning.stack_trials(None), "stack_trials trials must be a list of rules or recipes"),
        (
            lambda: tuning.stack_trials([tw.Recipe(optim.SGD(0.1), steps) for steps in (5, 6)]),
            "numbers that can be swept; Recipe steps is 5 here and 6 there",
        ),
        (lambda: tuning.stack_trials([]), "stack_trials trials must be at least one"),
        (lambda: tuning.stack_trials([optim.SGD(0.1), optim.Adam(0.1)]), "SGD is SGD"),
        (
            lambda: tuning.stack_trials([optim.SGD(0.1, decay="constant"), optim.SGD(0.1)]),
            "SGD decay is 'constant' here and 'l2' there",
        ),
    ],
)
def test_what_cannot_be_searched_names_its_argument(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
