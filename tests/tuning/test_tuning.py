"""Range tests, sensitivity, search, profiles and comparison, on problems whose answers are known."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim, tuning
from thalweg.errors import UsageError
from thalweg.tuning import Range
from thalweg.tuning.rates import standard_error, with_rate

CURVATURE = torch.tensor([1.0, 4.0], dtype=torch.float64)


class Bowl(nn.Module):
    """Returns theta, from (1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta + 0 * x


def bowl() -> tw.Problem:
    """sum(h theta^2)/2 with h = 1 and 4: gradient descent is stable up to a rate of 1/2, and best at 2/5."""
    rows = torch.zeros(4, 2)
    return tw.Problem(Bowl, (rows, torch.zeros(4)), lambda o, t: (CURVATURE * o**2).sum(-1) / 2, dtype=torch.float64)


def _loss(rate: float, steps: int) -> float:
    return float((CURVATURE * (1 - rate * CURVATURE) ** (2 * steps)).sum() / 2)


def test_a_range_test_finds_the_stability_limit_and_the_best_rate() -> None:
    reading = tuning.range_test(bowl(), tw.Recipe(optim.SGD(1.0), 30), low=0.01, high=10, rates=61, seeds=2)
    rates = reading.coordinate("rate")
    expected = [_loss(rate, 30) for rate in rates]
    np.testing.assert_allclose(reading["training loss"], expected, rtol=1e-9)
    assert float(reading["loss before"]) == 2.5
    assert float(reading["largest stable rate"]) == rates[rates < 0.5][-1]
    assert float(reading["best rate"]) == rates[np.argmin(expected)] == pytest.approx(0.4, rel=0.06)
    assert reading.sample_size == 2
    figure = reading.figure()
    assert figure.x.scale == "log"


def test_where_even_the_smallest_rate_diverges_none_is_stable() -> None:
    reading = tuning.range_test(bowl(), tw.Recipe(optim.SGD(1.0), 400), low=5, high=50, rates=3, seeds=1)
    assert np.isnan(reading["largest stable rate"])
    assert np.isinf(reading["training loss"]).all()
    assert np.isnan(reading.standard_errors["training loss"]).all()


def test_the_classic_test_grows_the_rate_step_by_step() -> None:
    steps = 40
    reading = tuning.classic_range_test(bowl(), tw.Recipe(optim.SGD(1.0), steps), low=0.01, high=2, smoothing=0.0)
    rates = np.geomspace(0.01, 2, steps)
    np.testing.assert_allclose(reading.coordinate("rate"), rates)
    theta, expected = np.ones(2), []
    for rate in rates:
        expected.append((CURVATURE.numpy() * theta**2).sum() / 2)
        theta = theta - rate * CURVATURE.numpy() * theta
    np.testing.assert_allclose(reading["batch loss"], expected, rtol=1e-9)
    assert float(reading["least rate"]) == rates[np.argmin(expected)]
    slope = np.gradient(expected, np.log10(rates))
    assert float(reading["steepest rate"]) == rates[slope.argmin()]


def test_smoothing_is_a_running_mean_without_its_start() -> None:
    plain = tuning.classic_range_test(bowl(), tw.Recipe(optim.SGD(1.0), 20), low=0.01, high=0.1, smoothing=0.0)
    smooth = tuning.classic_range_test(bowl(), tw.Recipe(optim.SGD(1.0), 20), low=0.01, high=0.1, smoothing=0.8)
    weights = 0.8 ** np.arange(20)[::-1]
    expected = np.average(plain["batch loss"], weights=weights)
    assert smooth["batch loss"][-1] == pytest.approx(expected, rel=1e-9)


def test_sensitivity_is_mean_less_least_of_capped_losses() -> None:
    losses = np.array([[3.0, 1.0], [0.5, 0.2], [np.nan, np.inf]])
    found = tuning.sensitivity(losses, np.array([2.0, 2.0]))
    np.testing.assert_allclose(found, [(2 + 0.5 + 2) / 3 - 0.5, (1 + 0.2 + 2) / 3 - 0.2])
    with pytest.raises(UsageError, match="at least 2 rates"):
        tuning.sensitivity(np.ones((1, 3)))


def test_the_sensitivity_of_gradient_descent_on_a_bowl_is_the_closed_form() -> None:
    reading = tuning.rate_sensitivity(bowl(), tw.Recipe(optim.SGD(1.0), 25), low=0.01, high=1, rates=9, seeds=3)
    capped = [min(_loss(rate, 25), 2.5) for rate in np.geomspace(0.01, 1, 9)]
    assert float(reading["sensitivity"]) == pytest.approx(np.mean(capped) - min(capped))
    assert reading["sensitivity by seed"].shape == (3,)
    np.testing.assert_allclose(reading["training loss"], capped, rtol=1e-9)
    assert float(reading.standard_errors["sensitivity"]) == pytest.approx(0, abs=1e-12)


def test_the_rate_within_what_goes_around_a_rule_is_replaced() -> None:
    rule = with_rate(optim.Averaged(optim.SAM(optim.AdamW(0.1)), 0.9), 0.5)
    assert rule.hyper_parameters()["lr"] == 0.5
    assert isinstance(rule, optim.Averaged)


def test_standard_errors_are_those_of_scipy() -> None:
    samples = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_allclose(standard_error(samples), stats.sem(samples, axis=1))
    assert np.isnan(standard_error(np.ones((2, 1)))).all()


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


def test_time_to_target_is_the_first_evaluation_that_is_there() -> None:
    losses = np.array([[3.0, 3.0, 3.0], [1.0, 2.0, np.nan], [2.0, 1.0, np.nan]])
    np.testing.assert_array_equal(tuning.time_to_target([0, 10, 20], losses, 1.0), [10, 20, np.inf])


def test_profiles_and_scores_by_hand() -> None:
    costs = [[10, 20, np.inf], [30, 10, 40], [np.inf, np.inf, np.inf]]
    profile = tuning.performance_profile(costs, [1, 2, 4])
    np.testing.assert_allclose(profile, np.array([[1, 1, 0], [1, 2, 0], [2, 2, 1]]) / 3)
    # Ratios 1 and 3, 2 and 1, and 4: (4 - r)/3 each, the unsolved problem counting 0.
    np.testing.assert_allclose(tuning.profile_score(costs), [(1 + 1 / 3) / 3, (2 / 3 + 1) / 3, 0])


def test_a_score_is_the_area_under_the_profile() -> None:
    costs = np.random.default_rng(1).lognormal(size=(20, 4))
    ratios = np.linspace(1, 4, 30_001)
    area = tuning.performance_profile(costs, ratios).mean(0)
    np.testing.assert_allclose(tuning.profile_score(costs), area, atol=1e-4)
    assert tuning.profile_score(np.array([[1.0, 2.0], [3.0, 30.0]]))[0] == 1.0


def test_compare_finds_the_known_winner_at_equal_expense() -> None:
    ranges = {"lr": Range(0.01, 10)}
    rules = {"SGD": (optim.SGD, ranges), "momentum": (lambda lr: optim.Momentum(lr, 0.5), ranges)}
    seen: list[str] = []
    found = tuning.compare(
        {"bowl": bowl()},
        rules,
        steps=15,
        trials=40,
        scoring_seeds=3,
        watch=lambda progress: seen.append(progress.label),
    )
    rates = tuning.halton(40, ranges, seed=0)["lr"]
    losses = [_loss(rate, 15) for rate in rates]
    assert found.best["bowl"]["SGD"] == {"lr": rates[np.argmin(losses)]}
    np.testing.assert_allclose(found.losses[0, 0], min(losses), rtol=1e-9)
    assert found.losses.shape == found.steps.shape == (1, 2, 3)
    assert (found.losses[0, 1] < found.losses[0, 0]).all()
    assert found.scores["momentum"] == 1.0
    assert found.warnings == ()
    assert {"SGD on bowl", "momentum on bowl"} == set(seen)
    assert found.reading["train_loss"].shape == (1, 2, 3)
    assert [mark.label for mark in found.figure().marks][1] == "momentum, score 1.00"
    worst = found.tuned.max()
    assert found.targets[0] == pytest.approx(worst + 0.05 * (2.5 - worst))
    assert np.isfinite(found.steps).all()


def test_compare_warns_of_a_best_value_at_the_end_of_its_range_and_survives_divergence() -> None:
    rules = {"SGD": (optim.SGD, {"lr": Range(1e-4, 1e-2)}), "wild": (optim.SGD, {"lr": Range(10, 1000)})}
    found = tuning.compare({"bowl": bowl()}, rules, steps=200, trials=16, search="grid", targets={"bowl": 0.1})
    assert "lr of SGD on bowl, 0.01, lies at the upper end" in found.warnings[0]
    assert np.isinf(found.losses[0, 1]).all()
    assert np.isinf(found.costs[0, 1])
    assert found.scores["wild"] == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tuning.range_test(bowl(), tw.Recipe(optim.SGD(1.0), 3), low=1, high=0.1), "0 < low < high; got 25"),
        (lambda: tuning.range_test(bowl(), tw.Recipe(optim.SGD(1.0), 3), rates=2), "at least 3 rates"),
        (lambda: tuning.classic_range_test(bowl(), tw.Recipe(optim.SGD(1.0), 9), smoothing=1), "smoothing must lie"),
        (lambda: tuning.rate_sensitivity(bowl(), tw.Recipe(optim.SGD(1.0), 3), low=0), "rate_sensitivity goes over"),
        (lambda: Range(1, 1), "low < high"),
        (lambda: Range(0, 1), "log=False"),
        (lambda: tuning.halton(0, {"lr": Range(1, 2)}), "halton count"),
        (lambda: tuning.halton(3, {}), "a Range for each name"),
        (lambda: tuning.grid(1, {"lr": Range(1, 2)}), "grid count"),
        (lambda: tuning.profile_score([[1.0, -1.0]]), "positive"),
        (lambda: tuning.profile_score([[1.0]], most=1), "ratio above 1"),
        (lambda: tuning.compare({}, {"SGD": (optim.SGD, {"lr": Range(1, 2)})}, steps=1), "compare problems must be"),
        (lambda: _compare(search="random"), "compare search is one of halton, grid"),
        (lambda: _compare(metric="loss"), "compare metric is one of"),
        (lambda: _compare(trials=0), "compare trials must be at least 1"),
        (lambda: _compare(search="grid", trials=1), "needs trials of at least 2; SGD has 1"),
    ],
)
def test_what_cannot_be_meant_names_its_argument(call: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


def _compare(**options: Any) -> Any:
    return tuning.compare({"bowl": bowl()}, {"SGD": (optim.SGD, {"lr": Range(1, 2)})}, steps=1, **options)
