"""Range tests, sensitivity and comparison, on problems whose answers are known."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim, tuning
from thalweg.errors import UsageError
from thalweg.studies.interval import mean
from thalweg.tuning import Range
from thalweg.tuning.entrant import Entrant
from thalweg.tuning.range_test import _steepest
from thalweg.tuning.rates import interval, standard_error, with_rate

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
    np.testing.assert_array_equal(reading.coordinate("seed"), [0, 1])
    np.testing.assert_allclose(reading["training loss by seed"], np.transpose([expected, expected]), rtol=1e-9)
    best = np.argmin(expected)
    slope = np.gradient(expected[: best + 2], np.log10(rates[: best + 2]))[: best + 1]
    assert float(reading["steepest rate"]) == rates[slope.argmin()] < rates[best]
    assert f"least at {rates[best]:.2g}" in reading.notes[1]
    figure = reading.figure()
    assert figure.x.scale == "log"
    figure.to_json()


def test_where_even_the_smallest_rate_diverges_none_is_stable() -> None:
    reading = tuning.range_test(bowl(), tw.Recipe(optim.SGD(1.0), 400), low=5, high=50, rates=3, seeds=1)
    assert all(np.isnan(reading[name]) for name in ("largest stable rate", "best rate", "steepest rate"))
    reading.figure().to_json()
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


def test_rates_so_small_that_nothing_moves_do_not_hide_the_stable_ones() -> None:
    """Seeds begin at different losses, and a tiny step may lose by chance: only rates from the best one up count."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits(), "cross_entropy")
    reading = tuning.range_test(problem, tw.Recipe(optim.SGD(1.0), 30, 64), low=1e-9, high=1e4, rates=14)
    best, stable = float(reading["best rate"]), float(reading["largest stable rate"])
    assert 0.01 < float(reading["steepest rate"]) <= best <= stable < 1e4
    start, after, rates = reading["loss before"], reading["training loss by seed"], reading.coordinate("rate")
    learned = after[(rates >= best) & (rates <= stable)]
    assert (learned < start + 5 * reading.standard_errors["loss before"]).all()
    assert not (after[rates > stable][0] < 0.9 * start).all()


@pytest.mark.parametrize(
    ("mean", "steepest"),
    [
        ([5, 4, 1, 0, 9], 1e-1),  # slopes -1, -2, -2: the first of the steepest
        ([5, 4, 0, 9, 1], 1e-1),  # not the fall from 9 to 1
        ([0, 1, 2, 3], np.nan),
        ([np.inf, np.inf, 3, 2, 1.9], 1),
        ([9, np.inf, 3, 2, 1.9], 1),
        ([np.inf, np.inf, 2, np.inf], np.nan),
    ],
)
def test_the_steepest_rate_is_on_the_way_down_to_the_least(mean: list[float], steepest: float) -> None:
    grid = np.logspace(-2, -2 + len(mean) - 1, len(mean))
    found = _steepest(grid, np.array(mean, dtype=float))
    expected = grid[np.isclose(grid, steepest)] if np.isfinite(steepest) else [np.nan]
    np.testing.assert_array_equal(found, expected[0])


def test_the_classic_test_is_infinite_once_diverged_and_then_suggests_nothing() -> None:
    recipe = tw.Recipe(optim.SGD(1.0), 300)
    grown = tuning.classic_range_test(bowl(), recipe, low=0.1, high=1e5, smoothing=0.0)
    gone = int(np.isinf(grown["batch loss"]).argmax())
    assert gone > 0
    assert np.isinf(grown["batch loss"][gone:]).all()
    assert 0.1 <= float(grown["steepest rate"]) <= float(grown["least rate"]) < grown.coordinate("rate")[gone]
    wild = tuning.classic_range_test(bowl(), recipe, low=1e100, high=1e150)
    assert np.isnan(wild["steepest rate"])
    wild.figure().to_json()


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


def test_the_band_of_the_sensitivity_is_the_interval_over_seeds() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits(), "cross_entropy")
    recipe = tw.Recipe(optim.SGD(1.0), 20, 64)
    for seeds, kind in ((6, "bootstrap"), (3, "Student")):
        reading = tuning.rate_sensitivity(problem, recipe, low=0.01, high=100, rates=4, seeds=seeds)
        by_seed = reading["training loss by seed"]
        np.testing.assert_allclose(reading["sensitivity by seed"], by_seed.mean(0) - by_seed.min(0))
        expected = mean(reading["sensitivity by seed"])
        assert kind in expected.method
        assert float(reading["sensitivity low"]) == pytest.approx(expected.low, rel=1e-12)
        assert float(reading["sensitivity high"]) == pytest.approx(expected.high, rel=1e-12)
        for index in range(4):
            expected = mean(by_seed[index])
            assert reading["low"][index] == pytest.approx(expected.low, rel=1e-12)
            assert reading["high"][index] == pytest.approx(expected.high, rel=1e-12)
        figure = tuning.sensitivity_figure({"SGD": reading})
        assert figure.x.scale == "log"
        assert figure.y.limits[0] < by_seed.min() < by_seed.max() < figure.y.limits[1]
        np.testing.assert_array_equal(figure.marks[0].low, reading["low"])
        assert figure.marks[0].label == f"SGD, sensitivity {float(reading['sensitivity']):.2g}"


def test_an_interval_of_one_seed_bounds_nothing_and_of_equal_ones_is_a_point() -> None:
    np.testing.assert_array_equal(interval(np.array([[2.0]])), [[-np.inf], [np.inf]])
    np.testing.assert_array_equal(interval(np.full((2, 6), 3.0)), np.full((2, 2), 3.0))


def test_the_rate_within_what_goes_around_a_rule_is_replaced() -> None:
    rule = with_rate(optim.Averaged(optim.SAM(optim.AdamW(0.1)), 0.9), 0.5)
    assert rule.hyper_parameters()["lr"] == 0.5
    assert isinstance(rule, optim.Averaged)


def test_standard_errors_are_those_of_scipy() -> None:
    samples = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_allclose(standard_error(samples), stats.sem(samples, axis=1))
    assert np.isnan(standard_error(np.ones((2, 1)))).all()


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


def test_a_comparison_is_a_reading_and_a_table_with_its_cost() -> None:
    rules = {"SGD": (optim.SGD, {"lr": Range(0.01, 1)}), "wild": (optim.SGD, {"lr": Range(100, 1000)})}
    found = tuning.compare({"bowl": bowl(), "again": bowl()}, rules, steps=10, trials=4, tuning_seeds=2, seed=3)
    np.testing.assert_array_equal(found.reading.coordinate("seed"), [5, 6, 7, 8, 9])
    assert found.cost.backwards == 2 * 2 * (4 * 2 + 5) * 10
    table = found.table()
    assert list(table.columns["problem"]) == ["bowl", "bowl", "again", "again"]
    assert list(table.columns["rule"]) == ["SGD", "wild"] * 2
    assert table.columns["best"][0] == f"lr={found.best['bowl']['SGD']['lr']:.3g}"
    np.testing.assert_allclose(table.columns["train_loss"], found.losses.mean(2).ravel())
    np.testing.assert_array_equal(table.columns["steps to target"], found.costs.ravel())
    assert found.reading.select("problem", "bowl").select("rule", "SGD").figure() is not None
    assert found.figure().to_json()


def test_progress_is_that_of_the_whole_comparison() -> None:
    seen: list[tuple[int, int]] = []
    rules = {"SGD": (optim.SGD, {"lr": Range(0.1, 1)}), "Adam": (optim.Adam, {"lr": Range(0.1, 1)})}
    tuning.compare({"bowl": bowl()}, rules, steps=4, trials=3, watch=lambda p: seen.append((p.done, p.total)))
    done = [each for each, _ in seen]
    assert done == sorted(done)
    assert len(seen) == 2 * 2 * 4
    assert seen[-1] == (88, 88)  # 2 rules x (3 x 2 + 5) members x 4 steps
    assert {total for _, total in seen} == {88}


def test_a_rule_may_be_made_of_numbers_that_are_no_fields_of_it() -> None:
    ranges = {"rate": Range(0.01, 0.4), "one_minus_beta": Range(0.05, 1)}
    made = {"momentum": (lambda rate, one_minus_beta: optim.Momentum(rate, 1 - one_minus_beta), ranges)}
    found = tuning.compare({"bowl": bowl()}, made, steps=20, trials=12, tuning_seeds=1, scoring_seeds=1)
    points = tuning.halton(12, ranges, seed=0)
    losses = [
        float(tw.train(bowl(), tw.Recipe(optim.Momentum(rate, 1 - far), 20)).history.final("train_loss")[0])
        for rate, far in zip(points["rate"], points["one_minus_beta"], strict=True)
    ]
    pick = int(np.argmin(losses))
    assert found.best["bowl"]["momentum"] == {name: values[pick] for name, values in points.items()}
    np.testing.assert_allclose(found.losses[0, 0, 0], losses[pick], rtol=1e-9)


def test_compare_warns_of_a_best_value_at_the_end_of_its_range_and_survives_divergence() -> None:
    rules = {"SGD": (optim.SGD, {"lr": Range(1e-4, 1e-2)}), "wild": (optim.SGD, {"lr": Range(10, 1000)})}
    found = tuning.compare({"bowl": bowl()}, rules, steps=200, trials=16, search="grid", targets={"bowl": 0.1})
    assert "lr of SGD on bowl, 0.01, lies at the upper end" in found.warnings[0]
    assert found.warnings[1] == "Every trial of wild on bowl diverged with some seed: search smaller values."
    assert np.isinf(found.losses[0, 1]).all()
    assert np.isinf(found.costs[0, 1])
    assert found.scores["wild"] == 0.0


def test_an_end_is_a_twentieth_of_a_range_for_points_and_the_last_value_of_a_grid() -> None:
    entry = (optim.SGD, {"lr": Range(1e-4, 1)})
    points, grid = (Entrant.of("SGD", entry, search, 50, 0) for search in ("halton", "grid"))
    warned = [bool(points.warnings("bowl", trial, 1.0)) for trial in range(50)]
    shares = [np.log10(points.values(trial)["lr"]) / 4 + 1 for trial in range(50)]
    assert warned == [share <= 0.05 or share >= 0.95 for share in shares]
    assert 2 <= sum(warned) <= 8
    assert [trial for trial in range(50) if grid.warnings("bowl", trial, 1.0)] == [0, 49]
    assert grid.warnings("bowl", 0, 1.0) == [
        "The best lr of SGD on bowl, 0.0001, lies at the lower end of its range: one beyond could be better."
    ]


def test_where_no_rule_learns_no_target_is_reached() -> None:
    """Neither the loss before training, which step 0 has, nor one above it counts as reached."""
    wild = {"wild": (optim.SGD, {"lr": Range(10, 1000)})}
    found = tuning.compare({"bowl": bowl()}, wild, steps=300, trials=3)
    assert np.isnan(found.targets[0])
    assert np.isinf(found.steps).all()
    assert found.scores == {"wild": 0.0}
    both = wild | {"SGD": (optim.SGD, {"lr": Range(0.01, 0.4)})}
    worse = tuning.compare({"bowl": bowl()}, both, steps=3, trials=3)
    assert (worse.tuned[0, 0] > 2.5).all()
    assert worse.targets[0] == pytest.approx(worse.tuned[0, 1] + 0.05 * (2.5 - worse.tuned[0, 1]))
    assert worse.scores == {"wild": 0.0, "SGD": 1.0}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tuning.range_test(bowl(), _short(), low=1, high=0.1), "0 < low < high; got 25"),
        (lambda: tuning.range_test(bowl(), _short(), rates=2), "at least 3 rates"),
        (lambda: tuning.classic_range_test(bowl(), tw.Recipe(optim.SGD(1.0), 9), smoothing=1), "smoothing must lie"),
        (lambda: tuning.rate_sensitivity(bowl(), _short(), low=0), "rate_sensitivity goes over"),
        (lambda: tuning.compare({}, {"SGD": (optim.SGD, {"lr": Range(1, 2)})}, steps=1), "compare problems must be"),
        (lambda: _compare(search="random"), "compare search is one of halton, grid"),
        (lambda: _compare(metric="loss"), "compare metric is one of"),
        (lambda: _compare(trials=0), "compare trials must be a whole number of at least 1"),
        (lambda: _compare(trials=1.5), "compare trials must be a whole number"),
        (lambda: _compare(search="grid", trials=1), "needs trials of at least 2; SGD has 1"),
        (lambda: _compare(metric="test_loss"), r"problems\['bowl'\] has no test examples"),
        (lambda: _compare(targets={"bowle": 1.0}), "a loss for every problem; 'bowl' has none"),
        (lambda: _compare(targets={"bowl": "low"}), r"targets\['bowl'\] must be a loss"),
        (lambda: _compare(rules={"SGD": optim.SGD}), r"rules\['SGD'\] must be such as"),
        (lambda: _compare(rules={"SGD": (optim.SGD, {"rate": Range(1, 2)})}), r"rules\['SGD'\] cannot be made of rate"),
        (lambda: _compare(rules={"SGD": (optim.SGD, {"lr": (1, 2)})}), r"ranges\['lr'\] must be a Range"),
        (lambda: _compare(rules={"SGD": (lambda lr: lr, {"lr": Range(1, 2)})}), r"rules\['SGD'\] must be a rule"),
        (
            lambda: _compare(rules={"SGD": (_decaying, {"lr": Range(1, 2)})}),
            "SGD sweeps weight_decay: give a Range",
        ),
        (lambda: _compare(problems={"bowl": "digits"}), r"problems\['bowl'\] must be a Problem"),
        (
            lambda: tuning.range_test(bowl(), _short(), rates="many"),
            "range_test rates must be how many",
        ),
        (
            lambda: tuning.range_test(bowl(), _decays()),
            "sweeps the learning rate alone, but the recipe sweeps weight_decay",
        ),
        (lambda: tuning.classic_range_test(bowl(), _decays()), "but the recipe sweeps weight_decay"),
        (lambda: tuning.rate_sensitivity(bowl(), _decays()), "but the recipe sweeps weight_decay"),
        (
            lambda: tuning.rate_sensitivity(bowl(), _short(), high=np.inf),
            "rate_sensitivity goes over",
        ),
        (lambda: tuning.sensitivity_figure({}), "readings of rate_sensitivity by name"),
        (lambda: tuning.sensitivity_figure({"SGD": tw.Reading("x", {"y": 1.0})}), "'SGD' is of 'x'"),
    ],
)
def test_what_cannot_be_meant_names_its_argument(call: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


def _short() -> tw.Recipe:
    return tw.Recipe(optim.SGD(1.0), 3)


def _decaying(lr: float) -> optim.SGD:
    return optim.SGD(lr, weight_decay=tw.sweep.values([0.0, 0.1]))


def _decays() -> tw.Recipe:
    return tw.Recipe(_decaying(1.0), 3)


def _compare(**options: Any) -> Any:
    given = {"problems": {"bowl": bowl()}, "rules": {"SGD": (optim.SGD, {"lr": Range(1, 2)})}, "steps": 1} | options
    return tuning.compare(given.pop("problems"), given.pop("rules"), **given)
