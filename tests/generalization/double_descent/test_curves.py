"""Curves over features: where the threshold is, whatever is counted, and what removes the peak."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg import randomness
from thalweg.errors import DataError, UsageError
from thalweg.generalization.double_descent import (
    FeatureCurve,
    FourierFeatures,
    effective_model_complexity,
    least_squares,
    over_features,
)

SIZES = (8, 20, 30, 45, 50, 55, 100, 1000)


@pytest.fixture(scope="module")
def curve() -> FeatureCurve:
    return over_features(tw.data.digits(), SIZES, n=50, noise=(0.0, 0.2), seeds=range(600, 604), complexity=0.01)


def test_the_peak_is_where_the_measured_rank_reaches_the_examples(curve: FeatureCurve) -> None:
    assert (curve.thresholds == 50).all()
    assert (curve.peaks == 50).all()
    assert (curve["rank"] == np.minimum(SIZES, 50)[:, None]).all()
    assert (curve["train error"][:, curve.sizes >= 50] < 1e-18).all()
    assert (curve["train error"][:, curve.sizes < 50] > 1e-6).all()
    assert (curve["norm"].argmax(1) == SIZES.index(50)).all()
    assert (curve["effective parameters"].argmax(0) == SIZES.index(50)).all()


def test_the_left_minimum_and_values_at_a_size_are_those_of_the_arrays(curve: FeatureCurve) -> None:
    errors = curve["test error"]
    np.testing.assert_array_equal(curve.left_minimum(), errors[:, :4].min(1))
    np.testing.assert_array_equal(curve.at(100), errors[:, 6])
    with pytest.raises(UsageError, match="no fit with 99 features"):
        curve.at(99)


def test_tuned_ridge_has_no_peak(curve: FeatureCurve) -> None:
    ridge = curve["ridge error"]
    assert (ridge[:, SIZES.index(50)] < 1.1 * ridge[:, SIZES.index(20)]).all()
    assert (curve["test error"][:, SIZES.index(50)] > 5 * ridge[:, SIZES.index(50)]).all()


def test_an_ensemble_is_the_mean_prediction_of_its_draws_and_errs_less_than_they_on_average() -> None:
    data, most = tw.data.digits(), 200
    curve = over_features(data, (20, 50, most), n=50, scale=0.65, noise=(0.2,), seeds=[600], members=4)
    split = data.split_anew(50, seed=600, stream="random features")
    x, y = split.with_label_noise(0.2, 600).train.take(torch.arange(50))
    new, truth = (part[200:].double().numpy() for part in split.test.take(torch.arange(len(split.test))))
    guesses = []
    for member in range(4):
        seed = randomness.stream_key(600, "ensemble", member) if member else 600
        features = FourierFeatures(64, 50, 0.65, seed)
        guesses.append(least_squares(features(x.double().numpy()), np.eye(10)[y.numpy()]).predict(features(new)))
    errors = [((guess - np.eye(10)[truth.astype(int)]) ** 2).sum(1).mean() for guess in guesses]
    together = ((np.mean(guesses, 0) - np.eye(10)[truth.astype(int)]) ** 2).sum(1).mean()
    assert curve["ensemble error"][0, 1, 0] == pytest.approx(together, rel=1e-6)
    assert curve["test error"][0, 1, 0] == pytest.approx(errors[0], rel=1e-6)
    assert together < np.mean(errors)
    assert any("ensemble" in mark.label for mark in curve.figure().panels[0].marks)


def test_one_point_is_what_least_squares_gives_by_hand(curve: FeatureCurve) -> None:
    split = tw.data.digits().split_anew(50, seed=600, stream="random features")
    noisy = split.with_label_noise(0.2, 600)
    x, y = noisy.train.take(torch.arange(50))
    new, truth = split.test.select(torch.arange(200, len(split.test))).slice(0, len(split.test) - 200)
    distances = torch.pdist(x.double()).median().item()
    features = FourierFeatures(64, 100, 2 / np.median(torch.pdist(x.double()).numpy()), 600)
    assert distances > 0
    theta = np.linalg.lstsq(features(x.double().numpy()), np.eye(10)[y.numpy()])[0]
    found = features(new.double().numpy()) @ theta
    error = ((found - np.eye(10)[truth.numpy()]) ** 2).sum(1).mean()
    assert curve.at(100)[1, 0] == pytest.approx(error, rel=1e-8)
    assert curve.at(100, "wrong")[1, 0] == pytest.approx((found.argmax(1) != truth.numpy()).mean())


def test_neither_columns_nor_classes_are_counted() -> None:
    """Every feature twice: the peak stays where the distinct features are as many as examples."""
    data = tw.data.digits().split_anew(50, seed=600)
    x, y = (part.double().numpy() for part in data.train.take(torch.arange(50)))
    new, truth = (part.double().numpy() for part in data.test.take(torch.arange(500)))
    errors = {}
    for number in (20, 25, 30, 45, 50, 55, 100):
        features = FourierFeatures(64, number, 0.65, 0)
        twice = [np.hstack([features(part)] * 2) for part in (x, new)]
        fit = least_squares(twice[0], np.eye(10)[y.astype(int)])
        assert (fit.rank, fit.features) == (min(number, 50), 2 * number)
        errors[number] = ((fit.predict(twice[1]) - np.eye(10)[truth.astype(int)]) ** 2).mean()
    assert max(errors, key=lambda number: errors[number]) == 50
    assert errors[25] < errors[50] / 5  # where columns are as many as examples


def test_effective_model_complexity_is_at_least_the_rank_and_grows(curve: FeatureCurve) -> None:
    found = curve["effective model complexity"]
    known = found[np.isfinite(found)]
    assert (known >= curve.sizes[np.isfinite(found)]).all()
    assert (np.diff(known) > 0).all()
    assert np.isnan(found[curve.sizes >= 150]).all()


@pytest.mark.parametrize("threshold", [0, 1, 7, 8, 99, 100])
def test_bisection_finds_the_last_that_is_fitted(threshold: int) -> None:
    calls: list[int] = []

    def error(n: int) -> float:
        calls.append(n)
        return float(n > threshold)

    for least in (0, min(5, threshold)):
        assert effective_model_complexity(error, 100, least=least) == min(threshold, 100)
    assert len(calls) < 40


def test_every_axis_has_its_figure(curve: FeatureCurve) -> None:
    for x in ("features", "features an example", "effective parameters", "effective model complexity"):
        figure = curve.figure(x)
        assert figure.panels[0].x.label == x
        rules = [mark for mark in figure.panels[0].marks if isinstance(mark, tw.figures.ReferenceLine)]
        assert [rule.value for rule in rules] == {"features": [50], "features an example": [1]}.get(
            x, [50] if x == "effective model complexity" else []
        )
    assert curve.only([1]).figure(ridge=False).panels[0].marks[0].label == "label noise 20 %"
    without = over_features(tw.data.digits(), (10, 30), n=20, seeds=[600])
    with pytest.raises(UsageError, match="was not measured; write over_features"):
        without.figure("effective model complexity")


def test_targets_that_are_numbers_have_noise_added() -> None:
    data = tw.data.gaussian_linear(60, 5, noise=0.0, test=300)
    curve = over_features(data, (10, 40, 400), n=40, features="relu", noise=(0.0, 1.0), seeds=range(3), validation=50)
    assert "wrong" not in curve.reading.arrays
    away = curve["test error"][:, [0, 2]]  # at the threshold, between them, errors are heavy tailed
    assert (away[1] > away[0]).all()
    assert (curve.thresholds == 40).all()


def test_bad_input_is_said() -> None:
    digits = tw.data.digits()
    with pytest.raises(UsageError, match="ascend"):
        over_features(digits, [20, 10], n=50)
    with pytest.raises(UsageError, match="leave none to test on"):
        over_features(digits, [20], n=1_700)
    with pytest.raises(UsageError, match="at least one seed and one level of noise"):
        over_features(digits, [20], n=50, seeds=[])
    with pytest.raises(UsageError, match="between 0 and 1"):
        over_features(digits, [20], n=50, noise=(1.5,))
    with pytest.raises(UsageError, match="noisy labels or reads"):
        over_features(digits.with_label_noise(0.1, 0), [20], n=50)
    alike = tw.data.from_user((torch.ones(80, 3), torch.randn(80)))
    with pytest.raises(UsageError, match="write over_features"):
        over_features(alike, [2], n=20, validation=10)
    assert over_features(alike, [2, 10], n=20, validation=10, features="relu")["rank"].max() == 1
    pairs = tw.data.from_user((({"a": torch.zeros(300, 2)}), torch.arange(300) % 3), classes=3)
    with pytest.raises(DataError, match="one tensor of numbers"):
        over_features(pairs, [20], n=50)
