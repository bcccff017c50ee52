"""The study of bias, variance and noise: what it trains on, how it scores, and its verdicts at quick scale."""

import numpy as np
import pytest
from scipy import stats
from studies.quick import claims_of

from thalweg.statistics import Interval
from thalweg.studies.bias_variance import digits, ensembles, identity, tradeoff

VERDICTS = {"BV1": "holds", "BV2": "holds", "BV3": "holds", "BV4": "undecided"}


def test_training_sets_are_disjoint_and_labels_wrong_as_often_as_asked() -> None:
    found = digits.dealt(8, 150, (0.0, 0.2, 0.4), seed=500)
    rows = {tuple(x) for x in found.inputs.reshape(-1, 64)} | {tuple(x) for x in found.test_inputs}
    assert len(rows) == 1_797
    clean, some, more = found.labels
    wrong = some != clean
    assert (wrong.sum(1) == 30).all()  # of each set
    assert (more[wrong] == some[wrong]).all()
    assert ((more != clean) >= wrong).all()
    assert ((more != clean).sum(1) == 60).all()
    again = digits.dealt(8, 150, (0.0,), seed=501)
    assert not np.array_equal(found.inputs, again.inputs)


def test_the_size_of_misses_covers_by_chi_square() -> None:
    draw = np.random.default_rng(0)
    found = [ensembles.root_mean_square(0.03 * draw.normal(size=12)) for _ in range(1_000)]
    share = np.mean([one.low < 0.03 < one.high for one in found])
    assert abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1_000)
    one = found[0]
    np.testing.assert_allclose(one.high / one.estimate, np.sqrt(12 / stats.chi2.ppf(0.025, 12)))


def test_how_many_repetitions_would_tell_is_nearly_what_chi_square_says() -> None:
    parts = dict.fromkeys(ensembles.MODELS, ensembles.root_mean_square(np.full(20, 0.02)))
    parts |= {"gain": Interval(0.8, 0.7, 0.9, 20, ""), "MLP": ensembles.root_mean_square(np.full(20, 0.043))}
    (lacking,) = ensembles.CLAIM.judge(parts=parts, ran={"repetitions": 20}).to_decide
    counts = np.arange(21, 1_000)
    exact = counts[0.043 * np.sqrt(counts / stats.chi2.ppf(0.025, counts)) < ensembles.WORTH][0]
    assert (lacking.id, lacking.repeats) == ("MLP", "repetitions")
    assert lacking.about == pytest.approx(exact, rel=0.2)


def test_a_part_takes_the_worst_of_its_settings() -> None:
    low, high = (tradeoff.interval.mean(np.array(values)) for values in ([0.1, 0.2, 0.3], [1.0, 1.1, 1.2]))
    assert tradeoff.weakest([low, high], rises=True) is low
    negative = [tradeoff.interval.mean(-np.array(values)) for values in ([0.1, 0.2, 0.3], [1.0, 1.1, 1.2])]
    assert tradeoff.weakest(negative, rises=False) is negative[0]


def test_noise_of_two_outcomes_has_no_cross_term() -> None:
    fits, truth, targets = identity.cubic(0)
    assert fits.shape == (identity.FITS, 202)
    assert np.allclose((targets - truth) ** 2, identity.NOISE**2)
    assert abs((targets - truth).mean()) < 1e-12


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("bias-variance")
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    assert not any("shortfall" in claim for claim in found.values())
