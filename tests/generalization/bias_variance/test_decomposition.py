"""Decompositions: exact, unbiased, with errors that cover; and what is refused."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from thalweg.errors import DataError, UsageError
from thalweg.generalization.bias_variance import Decomposition, decompose_predictions

PARTS = ("bias^2", "variance", "noise", "cross term")


def assert_sums(found: Decomposition, to: np.ndarray) -> None:
    """The parts of every case sum to its error, as it was computed elsewhere."""
    parts = sum(found[f"{name} by case"] for name in PARTS if name in found.reading.arrays)
    np.testing.assert_allclose(parts, to, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["error"], to.mean(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("outputs", [(), (3,)])
@pytest.mark.parametrize("fits", [2, 7])
def test_squared_error_is_the_sum_of_its_parts(fits: int, outputs: tuple[int, ...], known: bool) -> None:
    draw = np.random.default_rng(0)
    predictions, targets = draw.normal(size=(fits, 20, *outputs)), draw.normal(size=(20, *outputs))
    truth = draw.normal(size=targets.shape)
    found = decompose_predictions(predictions, targets, truth=truth if known else None)
    flat = (predictions - targets).reshape(fits, 20, -1)
    assert_sums(found, (flat**2).sum(2).mean(0))
    unbiased = predictions.var(0, ddof=1).reshape(20, -1).sum(1)  # a sum over outputs, not a mean
    np.testing.assert_allclose(found["variance by case"], unbiased, atol=1e-12)
    of = truth if known else targets
    plain = ((predictions.mean(0) - of) ** 2).reshape(20, -1).sum(1)
    np.testing.assert_allclose(found["bias^2 by case"], plain - unbiased / fits, atol=1e-12)


@pytest.mark.parametrize("kind", ["classes", "probabilities", "classes, truth known"])
def test_cross_entropy_is_the_sum_of_its_parts(kind: str) -> None:
    draw = np.random.default_rng(1)
    logits, soft, labels = draw.normal(size=(5, 30, 4)), draw.dirichlet(np.ones(4), 30), draw.integers(0, 4, 30)
    targets = soft if kind == "probabilities" else labels
    found = decompose_predictions(logits, targets, "cross_entropy", truth=soft if "known" in kind else None)
    of = soft if kind == "probabilities" else np.eye(4)[labels]
    assert_sums(found, -(of * log_softmax(logits, 2)).sum(2).mean(0))


def test_bias_and_variance_of_cross_entropy_are_divergences_from_the_softmax_of_mean_logits() -> None:
    draw = np.random.default_rng(2)
    logits, truth = 2 * draw.normal(size=(3, 4)) + draw.normal(size=(400, 3, 4)), draw.dirichlet(np.ones(4), 3)
    found = decompose_predictions(logits, truth, "cross_entropy")
    middle = softmax(logits.mean(0), 1)
    bias = (truth * np.log(truth / middle)).sum(1)
    variance = (middle * np.log(middle / softmax(logits, 2))).sum(2).mean(0)
    np.testing.assert_allclose(found["bias^2 by case"], bias, atol=0.01)  # the correction is of order 1/400
    np.testing.assert_allclose(found["variance by case"], variance, atol=0.01)
    wrong = softmax(logits, 2).mean(0)
    apart = (truth * np.log(truth / wrong)).sum(1) + (wrong * np.log(wrong / softmax(logits, 2))).sum(2).mean(0)
    assert (np.abs(apart - bias - variance) > 0.01).any()  # the planted wrong center: the sum does not come out


def means_of(found: Decomposition, names: list[str], experiments: int) -> np.ndarray:
    """The means over the cases of each of many experiments, one beside the other as cases: (experiments, names)."""
    return np.stack([found[f"{name} by case"].reshape(experiments, -1).mean(1) for name in names], 1)


def test_experiments_one_beside_the_other_are_those_of_each_alone() -> None:
    draw = np.random.default_rng(14)
    fits, truth = draw.normal(size=(6, 5, 3)), draw.normal(size=(5, 3))
    for judges, names in ((None, ["bias^2", "variance"]), (3, list(NESTED))):
        each = [decompose_predictions(fits[:, one], truth[one], judges=judges) for one in range(5)]
        whole = decompose_predictions(fits.reshape(6, 15), truth.reshape(15), judges=judges)
        alone = [[float(found[name]) for name in names] for found in each]
        np.testing.assert_allclose(means_of(whole, names, 5), alone, rtol=0, atol=1e-12)


def test_estimates_of_few_fits_are_unbiased() -> None:
    draw, truth = np.random.default_rng(3), np.array([0.0, 1.0])
    fits = truth + 0.5 + 2 * draw.normal(size=(2_000, 3, 2))
    whole = decompose_predictions(fits.transpose(1, 0, 2).reshape(3, -1), np.tile(truth, 2_000))
    found = means_of(whole, ["bias^2", "variance"], 2_000)
    mean, error = np.mean(found, 0), np.std(found, 0) / np.sqrt(len(found))
    assert (np.abs(mean - [0.25, 4]) < 4 * error).all()
    assert (error < [0.1, 0.1]).all()
    assert abs(mean[0] - (0.25 + 4 / 3)) > 4 * error[0]  # what the plain square of the mean would be


def nested_fits(draw: np.random.Generator, judges: int, seeds: int, cases: int) -> np.ndarray:
    """Bias^2 1/4, variance 1 between judges, of which 1/2 is common to all cases, and 1/4 within."""
    sets = np.sqrt(0.5) * (draw.normal(size=(judges, 1, cases)) + draw.normal(size=(judges, 1, 1)))
    return (0.5 + sets + 0.5 * draw.normal(size=(judges, seeds, cases))).reshape(judges * seeds, cases)


NESTED = {"bias^2": 0.25, "variance": 1.25, "between judges": 1.0, "within judges": 0.25}


def test_several_seeds_of_few_sets_are_unbiased_where_the_sets_are_told() -> None:
    draw = np.random.default_rng(8)
    fits, zeros = np.hstack([nested_fits(draw, 4, 4, 3) for _ in range(1_500)]), np.zeros(4_500)
    found = means_of(decompose_predictions(fits, zeros, judges=4), list(NESTED), 1_500)
    independent = means_of(decompose_predictions(fits, zeros), ["bias^2", "variance"], 1_500)
    mean, error = np.mean(found, 0), np.std(found, 0) / np.sqrt(len(found))
    assert (np.abs(mean - list(NESTED.values())) < 4 * error).all()
    assert (error < 0.03).all()
    assert (np.abs(np.mean(independent, 0) - [0.25, 1.25]) > 4 * error[:2]).all()  # 16 fits taken for independent


@pytest.mark.parametrize("judges", [4, 8])
def test_intervals_of_nested_fits_cover_where_the_judges_are_told(judges: int) -> None:
    draw, covered, independent = np.random.default_rng(12), np.zeros(len(NESTED)), 0
    for _ in range(200):
        fits = nested_fits(draw, judges, 4, 60)
        found, taken = (decompose_predictions(fits, np.zeros(60), judges=of) for of in (judges, None))
        ends = [found.interval(name) for name in NESTED]
        covered += [one.low < value < one.high for one, value in zip(ends, NESTED.values(), strict=True)]
        independent += taken.interval("bias^2").low < NESTED["bias^2"] < taken.interval("bias^2").high
    assert covered[0] / 200 > 0.82  # that of bias^2 is by the jackknife
    assert (covered[1:] / 200 > 0.92).all(), covered
    assert independent / 200 < 0.75  # intervals of fits that are taken for independent are far too narrow


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_left_out_judges_take_all_their_seeds_along(loss: str) -> None:
    """The correction is the jackknife over judges, written out; and the sums stay exact."""
    draw = np.random.default_rng(9)
    logits = draw.normal(size=(4, 1, 6, 3)) + draw.normal(size=(4, 2, 6, 3))
    fits, targets = logits.reshape(8, 6, 3), np.eye(3)[draw.integers(0, 3, 6)]

    def plain(of: np.ndarray) -> np.ndarray:
        if loss == "squared_error":
            return ((of - of.mean(0)) ** 2).sum(2).mean(0)
        middle = softmax(log_softmax(of, 2).mean(0), 1)
        return (middle * (np.log(middle) - log_softmax(of, 2))).sum(2).mean(0)

    without = np.array([plain(np.delete(logits, one, 0).reshape(6, 6, 3)) for one in range(4)])
    found = decompose_predictions(fits, targets, loss, judges=4)
    np.testing.assert_allclose(found["variance by case"], 4 * plain(fits) - 3 * without.mean(0), atol=1e-12)
    assert float(found["bias^2"] + found["variance"]) == pytest.approx(float(found["error"]), abs=1e-12)
    within = np.mean([2 * plain(of) for of in logits], 0)  # of one seed alone there is no spread
    np.testing.assert_allclose(found["within judges by case"], within, atol=1e-12)
    both = found["between judges"] + found["within judges"]
    assert float(both) == pytest.approx(float(found["variance"]), abs=1e-12)
    alone = decompose_predictions(fits, targets, loss, judges=8), decompose_predictions(fits, targets, loss)
    for name, of in alone[1].reading.arrays.items():
        np.testing.assert_array_equal(alone[0][name], of)


def test_the_variance_of_cross_entropy_is_hardly_smaller_of_few_fits() -> None:
    draw = np.random.default_rng(4)
    fits = np.hstack([draw.normal(size=(4, 50, 3)) for _ in range(200)])
    few = means_of(decompose_predictions(fits, np.zeros(10_000, int), "cross_entropy"), ["variance"], 200)
    many = decompose_predictions(draw.normal(size=(400, 500, 3)), np.zeros(500, int), "cross_entropy")
    plain = 1 - 1 / 4  # about what the plain mean divergence of 4 fits is of that of many
    assert abs(np.mean(few) / many["variance"] - 1) < 0.03 < 1 - plain


def test_intervals_cover_what_was_planted() -> None:
    draw, covered = np.random.default_rng(5), np.zeros(2)
    for _ in range(200):
        fits = draw.normal(size=(10, 60)) * 2 + draw.normal(size=(10, 1)) + draw.normal(size=60)
        found = decompose_predictions(fits, np.zeros(60))
        for place, (name, value) in enumerate((("bias^2", 1.0), ("variance", 5.0))):
            one = found.interval(name)
            covered[place] += one.low < value < one.high
    assert (covered / 200 > 0.88).all(), covered


def test_on_training_points_the_cross_term_is_the_optimism() -> None:
    draw, n, p = np.random.default_rng(6), 40, 10
    x = draw.normal(size=(n, p))
    hat = x @ np.linalg.pinv(x)
    y = draw.normal(size=(400, n))
    fits = np.tile((y @ hat.T).reshape(1, -1), (2, 1))  # the noise at these points is in every fit
    found = means_of(decompose_predictions(fits, y.reshape(-1), truth=np.zeros(400 * n)), ["cross term"], 400)
    assert abs(np.mean(found) + 2 * p / n) < 4 * np.std(found) / np.sqrt(len(found))


def test_two_fits_have_no_standard_error() -> None:
    found = decompose_predictions([[1.0, 2.0], [2.0, 4.0]], [0.0, 0.0])
    assert np.isnan(found.reading.standard_errors["variance by case"]).all()
    assert not found.interval("variance").known
    found.figure().to_matplotlib()


def test_identical_fits_have_no_variance() -> None:
    found = decompose_predictions(np.tile([[1.0, 3.0]], (4, 1)), [0.0, 0.0])
    assert found["variance"] == 0
    assert found["bias^2"] == found["error"] == 5


@pytest.mark.parametrize("loss", ["accuracy", "0-1", "zero_one"])
def test_the_01_loss_is_refused(loss: str) -> None:
    with pytest.raises(UsageError, match="0-1 loss has no additive decomposition"):
        decompose_predictions([[1, 0], [0, 0]], [1, 0], loss)


@pytest.mark.parametrize(
    ("predictions", "targets", "loss", "sentence"),
    [
        (np.zeros((1, 5)), np.zeros(5), "squared_error", "takes two of them"),
        (np.zeros(5), np.zeros(5), "squared_error", r"\(fits, cases\)"),
        (np.zeros((3, 5, 2)), np.zeros(5, int), "squared_error", "one-hot"),
        (np.zeros((3, 5)), np.zeros(4), "squared_error", r"targets are \(5,\)"),
        (np.zeros((3, 5, 2)), np.full(5, 2), "cross_entropy", "classes from 0 to 1"),
        (np.zeros((3, 5, 2)), np.ones((5, 2)), "cross_entropy", "sum to 1"),
        (np.zeros((3, 5)), np.zeros(5, int), "cross_entropy", "at least two classes"),
        (np.zeros((3, 5)), np.zeros(5), "hinge", "hinge"),
    ],
)
def test_what_cannot_be_meant(predictions: np.ndarray, targets: np.ndarray, loss: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        decompose_predictions(predictions, targets, loss)


def test_judges_that_cannot_be_meant() -> None:
    for judges, sentence in ((3, "8 fits for 3 judges"), (1, "takes two of them"), (0, "judges")):
        with pytest.raises(UsageError, match=sentence):
            decompose_predictions(np.zeros((8, 3)), np.zeros(3), judges=judges)


def test_fits_that_diverged_are_named() -> None:
    fits = np.zeros((4, 3))
    fits[2, 1] = np.nan
    with pytest.raises(DataError, match=r"Fits \[2\] of 4"):
        decompose_predictions(fits, np.zeros(3))
    with pytest.raises(UsageError, match="part"):
        decompose_predictions(np.zeros((4, 3)), np.zeros(3)).interval("noise")
    with pytest.raises(UsageError, match="probability 0"):
        decompose_predictions(np.zeros((3, 1, 2)), [0], "cross_entropy", truth=[[0.0, 1.0]])
