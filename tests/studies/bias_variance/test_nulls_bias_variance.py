"""BV1 to BV4 do not hold where they are false."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from thalweg.generalization.bias_variance import COMPONENTS, decompose_predictions
from thalweg.generalization.bias_variance.grams import NESTED, Grams, components, left_over
from thalweg.statistics import interval
from thalweg.studies import Lab
from thalweg.studies.bias_variance import digits, ensembles, identity, noise, tradeoff

Deal = Callable[..., digits.Dealt]


def test_the_identity_fails_where_the_noise_is_in_the_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits that follow the very noise they are tested with, as on training points."""
    plain = identity.cubic

    def fitted(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        fits, truth, targets = plain(seed)
        return fits + 0.2 * (targets - truth), truth, targets

    monkeypatch.setattr(identity, "cubic", fitted)
    assert identity.residual_of_squares(500) > 1e-3
    (finding,) = identity.experiment(Lab(seed=500, progress=None))
    assert finding.verdict.outcome == "fails"


def test_another_number_of_parameters_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    found = identity.of_training_points(500, 4_000)
    apart = abs(float(found["optimism"]) - 2 * (identity.PARAMETERS + 1) / identity.POINTS)
    assert apart > 4 * float(found.reading.standard_errors["optimism"])


def test_without_structure_there_is_no_trade_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels drawn at random: nothing to learn, so that every further feature does harm."""
    plain = tradeoff.dealt

    def coin_flips(sets: int, size: int, levels: tuple[float, ...], seed: int) -> digits.Dealt:
        found = plain(sets, size, levels, seed)
        return replace(found, labels=np.random.default_rng(seed).integers(0, 10, found.labels.shape))

    monkeypatch.setattr(tradeoff, "dealt", coin_flips)
    (finding,) = tradeoff.experiment(Lab(seed=500, progress=None))
    assert {part.part.id: part.outcome for part in finding.verdict.parts}["left of the minimum"] == "fails"
    assert finding.verdict.outcome == "fails"


def test_identical_training_sets_have_variance_of_features_alone() -> None:
    found = digits.dealt(8, 150, (0.2,), seed=500)
    alike = replace(found, inputs=np.tile(found.inputs[:1], (8, 1, 1)), labels=np.tile(found.labels[:, :1], (1, 8, 1)))
    parts, _ = tradeoff.curves(alike, 1, seed=500)
    variance = parts[tradeoff.PARTS.index("variance"), :, 0]
    assert (np.abs(variance[tradeoff.KINDS.index("fixed")]) < 1e-9).all()
    assert (variance[tradeoff.KINDS.index("fresh")] > 1e-3).all()


def test_judges_that_are_alike_have_no_stable_noise() -> None:
    shares = []
    for seed in range(500, 508):
        found = digits.dealt(noise.JUDGES, noise.SIZE, noise.WRONG, seed)
        alike = replace(
            found,
            inputs=np.tile(found.inputs[:1], (noise.JUDGES, 1, 1)),
            labels=np.tile(found.labels[:, :1], (1, noise.JUDGES, 1)),
        )
        parts = components(Grams.of(digits.feature_fits(alike, 30, noise.OCCASIONS, 0.0, seed) - found.targets), NESTED)
        shares.append([parts[name] / parts["mse"] for name in COMPONENTS])
    stable = interval.mean(np.array(shares)[:, COMPONENTS.index("stable pattern")])
    assert stable.low < 0.005  # BV3 finds ten times as much
    assert stable.high < 0.02


def test_a_mean_over_classes_in_one_term_does_not_recover_what_was_planted() -> None:
    """A factor of the number of outputs between two terms, as where one is a mean over them and the other a sum."""
    errors = np.random.default_rng(0).normal(size=(8, 4, 100, 10))
    grams = Grams.of(errors)
    wrong = components(replace(grams, of_means=grams.of_means / 10), NESTED)
    assert abs(wrong["occasion level"]) > 0.05 > abs(components(grams, NESTED)["occasion level"])


def test_a_wrong_account_of_ensembles_misses_the_gain() -> None:
    """All noise taken for noise of seeds, and error / k."""
    wrong, naive, right = [], [], []
    for seed in range(500, 506):
        found = digits.dealt(noise.JUDGES, noise.SIZE, noise.WRONG, seed)
        errors = digits.feature_fits(found, 30, noise.OCCASIONS, 0.0, seed) - found.targets
        parts, others = components(Grams.of(errors[:8]), NESTED), errors[8:]
        measured = (others.mean(1) ** 2).sum(-1).mean() / (others**2).sum(-1).mean()
        seeds_alone = (parts["bias^2"] + (parts["mse"] - parts["bias^2"]) / 4) / parts["mse"]
        right.append(np.log(left_over(parts, 1, 4) / parts["mse"] / measured))
        wrong.append(np.log(seeds_alone / measured))
        naive.append(np.log(0.25 / measured))
    sizes = [ensembles.root_mean_square(np.array(each)) for each in (right, wrong, naive)]
    assert sizes[0].high < 0.06
    assert sizes[1].estimate > 0.05
    assert sizes[2].low > 0.3


def test_shuffled_fits_have_no_level_and_true_ones_do() -> None:
    draw = np.random.default_rng(0)
    fits = draw.normal(size=(16, 1, 1, 1)) + draw.normal(size=(16, 4, 50, 1))
    level, _ = noise.shuffled(fits, np.zeros((50, 1)), 0)
    assert abs(level) < 0.1 < components(Grams.of(fits), NESTED)["level"] / 3


def test_the_wrong_center_is_found_out() -> None:
    right, wrong = identity.residuals_of_divergences(500)
    assert right < 1e-10 < 1e-3 < wrong
    fits, truth, targets = identity.cubic(500)
    assert decompose_predictions(fits, targets, truth=truth)["bias^2"] != 0


@pytest.mark.parametrize("seed", [500, 501])
def test_planted_components_are_recovered(seed: int) -> None:
    distance, error = noise.planted(seed, noise.DRAWS)
    assert distance < 4
    assert error < 0.05
