"""Bounds on a population whose risk is known: two Gaussians and linear rules, 1,000 samples at once.

A bound may fail in a share delta of samples: the upper end of the interval of Clopper and Pearson for the share of
failures must be below delta + 0.02. What looks like a bound and is none must be caught by the same rule.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.generalization import bounds
from thalweg.generalization.bounds import KnownRisk

Array = NDArray[np.float64]
SAMPLES, DELTA, SLACK = 1_000, 0.05, 0.02


def assert_valid(bound: Array, risk: Array) -> None:
    assert bound.shape == risk.shape == (SAMPLES,)
    assert bounds.violations(bound, risk).high < DELTA + SLACK


def assert_caught(bound: Array, risk: Array) -> None:
    assert bounds.violations(bound, risk).high >= DELTA + SLACK


LOW, HIGH = KnownRisk(200, 10, 0.7), KnownRisk(100, 60, 1.0)
HALF = slice(0, 50), slice(50, 100)


def test_hold_out() -> None:
    w = HIGH.mean_rule(HALF[0])
    wrong = np.round(HIGH.error(w, HALF[1]) * 50)
    bound = bounds.hold_out(wrong, 50, DELTA)
    assert_valid(bound, HIGH.risk(w))
    assert (bound < HIGH.risk(w)).mean() > 0.005  # it is not valid by being loose
    assert_valid(1 - bounds.hold_out_lower(wrong, 50, DELTA), 1 - HIGH.risk(w))


@pytest.mark.parametrize("setting", [LOW, HIGH], ids=["d=10", "d=60"])
def test_pac_bayes_with_a_prior_that_saw_nothing(setting: KnownRisk) -> None:
    w = setting.mean_rule()
    for sigma in (0.05, 0.2, 1.0):
        error, risk = setting.gibbs_error(w, sigma), setting.gibbs_risk(w, sigma)
        kl = bounds.gaussian_kl(w, sigma, np.zeros_like(w), sigma)
        for form in (bounds.pac_bayes_kl, bounds.mcallester, bounds.pac_bayes_quadratic, bounds.pac_bayes_lambda):
            assert_valid(form(error, kl, setting.m, DELTA), risk)


def test_pac_bayes_with_a_prior_of_half_the_data() -> None:
    w, sigma = HIGH.mean_rule(HALF[0]), 0.1
    bound = bounds.pac_bayes_kl(HIGH.gibbs_error(w, sigma, HALF[1]), 0.0, 50, DELTA)
    assert_valid(bound, HIGH.gibbs_risk(w, sigma))


def test_the_draws_of_the_gibbs_predictor_are_paid_for() -> None:
    rng, risk = np.random.default_rng(1), 0.1
    seen = rng.binomial(200, risk, SAMPLES) / 200
    assert_valid(bounds.monte_carlo(seen, 200, DELTA), np.full(SAMPLES, risk))
    assert_caught(seen, np.full(SAMPLES, risk))


def test_draws_of_rules_with_noise_err_as_often_as_the_closed_form_says() -> None:
    setting = KnownRisk(40, 10, 1.0, samples=200)
    w, rows = setting.mean_rule(), slice(10, 30)
    difference = setting.drawn_gibbs_error(w, 0.5, 400, rows) - setting.gibbs_error(w, 0.5, rows)
    assert abs(difference.mean()) < 0.005
    assert 0.001 < difference.std() < 0.05


def signs(d: int, count: int) -> Array:
    """Rules that were fixed before the data: (count, d)."""
    return np.random.default_rng(5).choice([-1.0, 1.0], size=(count, d))


def test_finite_classes_and_codes() -> None:
    setting, rules = KnownRisk(40, 10, 0.3), signs(10, 1_024)
    error, risk = setting.best_of(rules)
    assert_valid(bounds.finite_class(error, 40, np.log(1_024), DELTA), risk)
    assert_valid(bounds.occam(error, 40, 10, DELTA), risk)
    assert_valid(bounds.occam_hoeffding(error, 40, 10, DELTA), risk)
    assert_caught(bounds.occam(error, 40, 0, DELTA), risk)  # the description length left out
    assert_caught(bounds.finite_class(error, 40, 0.0, DELTA), risk)


def test_classes_of_linear_rules() -> None:
    w = LOW.mean_rule()
    error, risk = LOW.error(w), LOW.risk(w)
    x, y = LOW.drawn
    assert_valid(bounds.vc(error, LOW.m, LOW.dimensions, DELTA), risk)
    unit = w / np.linalg.norm(w, axis=1, keepdims=True)
    gamma = 0.5
    near = (np.einsum("rnd,rd->rn", x, unit) * y < gamma).mean(1)
    complexity = np.array([float(bounds.linear_complexity(1.0, np.linalg.norm(one, axis=1))) for one in x])
    assert_valid(bounds.rademacher(near, LOW.m, complexity, DELTA, margin=gamma), risk)


def test_what_is_no_bound_is_caught() -> None:
    """Training error alone; and a prior that saw the bound's data, whose divergence is then 0.

    With m far above d the slack ln(2 sqrt m) of the bound hides the second, so it is looked for at d = 60, m = 100.
    """
    w, sigma = HIGH.mean_rule(), 0.1
    assert_caught(HIGH.error(w), HIGH.risk(w))
    error, risk = HIGH.gibbs_error(w, sigma), HIGH.gibbs_risk(w, sigma)
    assert_caught(bounds.pac_bayes_kl(error, 0.0, HIGH.m, DELTA), risk)
    assert_valid(bounds.pac_bayes_kl(error, (w**2).sum(1) / (2 * sigma**2), HIGH.m, DELTA), risk)


def test_the_risk_of_a_known_population_is_that_of_fresh_examples() -> None:
    """The closed forms, against a sample of 20,000 and draws of rules."""
    few, fresh = KnownRisk(30, 4, 0.8, samples=3), KnownRisk(20_000, 4, 0.8, samples=3, seed=7)
    w = few.mean_rule()
    np.testing.assert_allclose(fresh.error(w), few.risk(w), atol=0.01)
    drawn = w[:, None] + 0.5 * np.random.default_rng(3).normal(size=(3, 2_000, 4))
    np.testing.assert_allclose(few.gibbs_risk(w, 0.5), few.risk(drawn).mean(1), atol=0.015)
    np.testing.assert_allclose(fresh.gibbs_error(w, 0.5), few.risk(drawn).mean(1), atol=0.015)
    with pytest.raises(UsageError, match="distance"):
        KnownRisk(30, 4, -1.0)
    with pytest.raises(UsageError, match="of each sample"):
        bounds.violations([0.1, 0.2], [0.1])
