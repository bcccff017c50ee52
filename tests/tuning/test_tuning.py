"""Range tests and sensitivity, on problems whose answers are known."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from tuning.bowl import CURVATURE, bowl, loss_of, noisy

import thalweg as tw
from thalweg import optim, tuning
from thalweg.errors import UsageError
from thalweg.results import Result
from thalweg.schedules import Linear, Scheduled
from thalweg.statistics import POSITIVE, mean
from thalweg.tuning.range_test import _steepest
from thalweg.tuning.rates import with_rate


def test_a_range_test_finds_the_stability_limit_and_the_best_rate() -> None:
    reading = tuning.range_test(bowl(), tw.Recipe(optim.SGD(1.0), 30), low=0.01, high=10, rates=61, seeds=2).reading
    rates = reading.coordinate("rate")
    expected = [loss_of(rate, 30) for rate in rates]
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
    assert figure.panels[0].x.scale == "log"
    figure.to_json()


def test_intervals_over_few_seeds_are_those_of_students_t() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    recipe = tw.Recipe(optim.SGD(1.0), 5, 64)
    reading = tuning.range_test(problem, recipe, low=0.01, high=0.1, rates=3, seeds=3).reading
    drawn = reading.figure().panels[0].marks[0]
    for index in range(3):
        losses = reading["training loss by seed"][index]
        expected = stats.t.interval(0.95, 2, losses.mean(), stats.sem(losses))
        assert (drawn.low[index], drawn.high[index]) == pytest.approx(expected, rel=1e-9)
    assert int(reading.degrees_of_freedom["loss before"]) == 2
    classic = tuning.classic_range_test(problem, recipe, low=0.01, high=0.1, seeds=4)
    assert int(classic.reading.degrees_of_freedom["batch loss"]) == 3


def test_where_even_the_smallest_rate_diverges_none_is_stable() -> None:
    reading = tuning.range_test(bowl(), tw.Recipe(optim.SGD(1.0), 400), low=5, high=50, rates=3, seeds=1).reading
    assert all(np.isnan(reading[name]) for name in ("largest stable rate", "best rate", "steepest rate"))
    reading.figure().to_json()
    assert np.isinf(reading["training loss"]).all()
    assert np.isnan(reading.standard_errors["training loss"]).all()


def test_the_classic_test_grows_the_rate_step_by_step() -> None:
    steps = 40
    reading = tuning.classic_range_test(
        bowl(), tw.Recipe(optim.SGD(1.0), steps), low=0.01, high=2, smoothing=0.0
    ).reading
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
    reading = tuning.range_test(problem, tw.Recipe(optim.SGD(1.0), 30, 64), low=1e-9, high=1e4, rates=14).reading
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
    assert 0.1 <= float(grown["steepest rate"]) <= float(grown["least rate"]) < grown.reading.coordinate("rate")[gone]
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


def test_what_learns_at_no_rate_has_no_sensitivity() -> None:
    """It would be the least there is: a loss that no rate changes."""
    wild = tuning.sensitivity([[np.inf, 3.0], [np.nan, 0.5]], [2.0, 2.0])
    np.testing.assert_array_equal(np.isnan(wild), [True, False])
    found = tuning.rate_sensitivity(bowl(), tw.Recipe(optim.SGD(1.0), 60), low=1, high=100, rates=4, seeds=3)
    reading = found.reading
    assert np.isnan([reading[name] for name in ("sensitivity", "sensitivity low", "sensitivity high")]).all()
    assert np.isnan(reading["sensitivity of the mean loss"])
    assert "3 of 3 seeds end below their start at no rate" in reading.notes[-1]
    figure = tuning.sensitivity_figure({"SGD": found})
    assert figure.panels[0].marks[0].label == "SGD, not all seeds learn"
    figure.to_json()


def test_the_noise_of_seeds_is_told_from_sensitivity() -> None:
    """Where the rate makes no difference the least of 13 losses lies 1.67 standard deviations below their mean."""
    noise = np.random.default_rng(0).normal(size=(13, 20_000))
    found = tuning.sensitivity(noise)
    assert abs(found.mean() - 1.668) < 5 * found.std() / 20_000**0.5
    reading = tuning.rate_sensitivity(
        noisy(0), tw.Recipe(optim.SGD(1.0), 20, 4), low=0.1, high=1, rates=13, seeds=4
    ).reading
    assert "is about 1.7 standard deviations of that noise" in reading.notes[1]
    mean_loss = reading["training loss"]
    assert float(reading["sensitivity of the mean loss"]) == pytest.approx(mean_loss.mean() - mean_loss.min())
    assert reading["sensitivity of the mean loss"] < reading["sensitivity"]


def test_a_rate_goes_on_following_its_schedule() -> None:
    falling = tw.Recipe(optim.SGD(Scheduled(1.0, Linear(1.0, 0.1))), 20)
    alike = tw.Recipe(optim.SGD(1.0), 20, schedule=Linear(1.0, 0.1))
    options = {"low": 0.01, "high": 1.0, "rates": 5, "seeds": 1}
    for measure in (tuning.range_test, tuning.rate_sensitivity):
        found, expected = (measure(bowl(), recipe, **options)["training loss"] for recipe in (falling, alike))
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    found, expected = (tuning.classic_range_test(bowl(), recipe, low=0.01, high=1.0) for recipe in (falling, alike))
    np.testing.assert_allclose(found["batch loss"], expected["batch loss"], rtol=1e-12)


def test_a_rate_is_stable_only_if_every_seed_ends_below_its_start() -> None:
    problem, recipe = noisy(0), tw.Recipe(optim.SGD(1.0), 20, 2)
    reading = tuning.range_test(problem, recipe, low=0.1, high=100, rates=13, seeds=5).reading
    rates, best = reading.coordinate("rate"), int(reading["training loss"].argmin())
    before = [float(tw.train(problem, recipe, [seed]).history["train_loss"][0, 0]) for seed in range(5)]
    learned = reading["training loss by seed"] < np.array(before)
    some = learned.any(1) & ~learned.all(1)
    assert some[best:].any()  # or the test could not tell one from all
    assert float(reading["largest stable rate"]) == rates[best:][: int(learned.all(1)[best:].argmin())][-1]


def test_numbers_of_numpys_are_numbers() -> None:
    options = {"low": np.float32(0.25), "high": np.float64(1.0), "rates": np.int64(3), "seeds": 1}
    reading = tuning.range_test(bowl(), _short(), **options).reading
    np.testing.assert_allclose(reading.coordinate("rate"), [0.25, 0.5, 1.0])


def test_sharpness_aware_steps_cost_two_gradients() -> None:
    plain, aware = (
        tuning.range_test(bowl(), tw.Recipe(rule, 7), low=0.1, high=1, rates=3, seeds=2).reading.cost
        for rule in (optim.SGD(1.0), optim.Averaged(optim.SAM(optim.SGD(1.0)), 0.5))
    )
    assert (plain.backwards, aware.backwards) == (42, 84)


def test_a_caption_counts_the_seeds_of_all_readings() -> None:
    two, three = (
        tuning.rate_sensitivity(bowl(), _short(), low=0.01, high=0.1, rates=2, seeds=seeds) for seeds in (2, 3)
    )
    assert "Means over 2 to 3 seeds" in tuning.sensitivity_figure({"a": three, "b": two}).caption
    assert "Means over 3 seeds" in tuning.sensitivity_figure({"a": three, "b": three}).caption


def test_the_sensitivity_of_gradient_descent_on_a_bowl_is_the_closed_form() -> None:
    reading = tuning.rate_sensitivity(bowl(), tw.Recipe(optim.SGD(1.0), 25), low=0.01, high=1, rates=9, seeds=3).reading
    capped = [min(loss_of(rate, 25), 2.5) for rate in np.geomspace(0.01, 1, 9)]
    assert float(reading["sensitivity"]) == pytest.approx(np.mean(capped) - min(capped))
    assert reading["sensitivity by seed"].shape == (3,)
    np.testing.assert_allclose(reading["training loss"], capped, rtol=1e-9)
    assert float(reading.standard_errors["sensitivity"]) == pytest.approx(0, abs=1e-12)


def test_the_band_of_the_sensitivity_is_the_interval_over_seeds() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits(), "cross_entropy")
    recipe = tw.Recipe(optim.SGD(1.0), 20, 64)
    for seeds, kind in ((6, "resamples"), (3, "98 %")):
        found = tuning.rate_sensitivity(problem, recipe, low=0.01, high=100, rates=4, seeds=seeds)
        reading = found.reading
        by_seed = reading["training loss by seed"]
        assert {name: int(of) for name, of in reading.degrees_of_freedom.items()} == {
            "training loss": seeds - 1,
            "sensitivity": seeds - 1,
        }
        np.testing.assert_allclose(reading["sensitivity by seed"], by_seed.mean(0) - by_seed.min(0))
        expected = mean(reading["sensitivity by seed"], bounds=POSITIVE)
        assert kind in expected.method
        assert float(reading["sensitivity low"]) == pytest.approx(expected.low, rel=1e-12)
        assert float(reading["sensitivity high"]) == pytest.approx(expected.high, rel=1e-12)
        for index in range(4):
            expected = mean(by_seed[index])
            assert reading["low"][index] == pytest.approx(expected.low, rel=1e-12)
            assert reading["high"][index] == pytest.approx(expected.high, rel=1e-12)
        figure = tuning.sensitivity_figure({"SGD": found})
        assert figure.panels[0].x.scale == "log"
        assert figure.panels[0].y.limits[0] < by_seed.min() < by_seed.max() < figure.panels[0].y.limits[1]
        np.testing.assert_array_equal(figure.panels[0].marks[0].low, reading["low"])
        assert figure.panels[0].marks[0].label == f"SGD, sensitivity {float(reading['sensitivity']):.2g}"


def test_the_rate_within_what_goes_around_a_rule_is_replaced() -> None:
    rule = with_rate(optim.Averaged(optim.SAM(optim.AdamW(0.1)), 0.9), 0.5)
    assert rule.hyper_parameters()["lr"] == 0.5
    assert isinstance(rule, optim.Averaged)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tuning.range_test(bowl(), _short(), low=1, high=0.1), "0 < low < high; got 25"),
        (lambda: tuning.range_test(bowl(), _short(), rates=2), "at least 3 rates"),
        (lambda: tuning.classic_range_test(bowl(), tw.Recipe(optim.SGD(1.0), 9), smoothing=1), "smoothing must lie"),
        (lambda: tuning.rate_sensitivity(bowl(), _short(), low=0), "rate_sensitivity goes over"),
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
        (
            lambda: tuning.range_test(bowl(), optim.SGD(1.0)),
            r"^range_test recipe .*; got a SGD: write Recipe\(rule, ",
        ),
        (lambda: tuning.classic_range_test(bowl(), optim.SGD(1.0)), "classic_range_test recipe must be a Recipe"),
        (lambda: tuning.rate_sensitivity(bowl(), optim.SGD(1.0)), "rate_sensitivity recipe must be a Recipe"),
        (lambda: tuning.range_test("bowl", _short()), "range_test problem must be a Problem; got 'bowl'"),
        (lambda: tuning.range_test(bowl(), _short(), progress=3), "range_test progress must be a function"),
        (
            lambda: tuning.classic_range_test(bowl(), tw.Recipe(optim.SGD(1.0), 2)),
            "gives every step a rate of its own and needs at least 3 steps; got 2",
        ),
        (lambda: tuning.sensitivity([[1.0, 2.0], [3.0]]), r"losses must be numbers \(rates, seeds\), as many in every"),
        (lambda: tuning.sensitivity([1.0, 2.0]), r"losses must be numbers \(rates, seeds\).*got shape \(2,\)"),
        (
            lambda: tuning.sensitivity(np.ones((3, 2)), np.ones(3)),
            r"one loss before training a seed, \(2,\); got shape",
        ),
        (lambda: tuning.sensitivity(np.ones((3, 3)), np.ones((3, 1))), r"before must be numbers \(seeds,\)"),
        (lambda: tuning.sensitivity_figure({}), "results of rate_sensitivity by name"),
        (
            lambda: tuning.sensitivity_figure({"SGD": tw.Reading("x", {"y": 1.0})}),
            "must be a result of rate_sensitivity",
        ),
        (lambda: tuning.sensitivity_figure({"SGD": Result(tw.Reading("x", {"y": 1.0}))}), "'SGD' is of 'x'"),
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
