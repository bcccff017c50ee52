"""Each inequality against closed forms and published numbers, what it refuses, and which way it goes."""

from collections.abc import Callable
from math import comb, e, log, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.generalization import bounds

SHARES = st.floats(0, 1)
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "finite_class": lambda error, m, delta: bounds.finite_class(error, m, 5.0, delta),
    "occam": lambda error, m, delta: bounds.occam(error, m, 40, delta),
    "occam_hoeffding": lambda error, m, delta: bounds.occam_hoeffding(error, m, 40, delta),
    "cover": lambda error, m, delta: bounds.cover(error, m, 10, 2.0, 3.0, delta),
    "vc": lambda error, m, delta: bounds.vc(error, m, 10, delta),
    "rademacher": lambda error, m, delta: bounds.rademacher(error, m, 0.01, delta),
    "bartlett": lambda error, m, delta: bounds.bartlett(error, m, 2.0, 5.0, 10, delta, margin=1.0),
    "pac_bayes_kl": lambda error, m, delta: bounds.pac_bayes_kl(error, 3.0, m, delta),
    "mcallester": lambda error, m, delta: bounds.mcallester(error, 3.0, m, delta),
    "pac_bayes_quadratic": lambda error, m, delta: bounds.pac_bayes_quadratic(error, 3.0, m, delta),
    "pac_bayes_lambda": lambda error, m, delta: bounds.pac_bayes_lambda(error, 3.0, m, delta),
    "monte_carlo": lambda error, m, delta: bounds.monte_carlo(error, m, delta),
}


@given(SHARES, st.floats(0, 50))
def test_the_kl_inverse_gives_the_distance_back(q: float, distance: float) -> None:
    high, low = float(bounds.kl_inverse(q, distance)), float(bounds.kl_inverse_lower(q, distance))
    assert 0 <= low <= q + 1e-15
    assert q <= high <= 1
    for end in (high, low):
        if 1e-9 < end < 1 - 1e-9 and abs(end - q) > 1e-6:
            assert bounds.binary_kl(q, end) == pytest.approx(distance, rel=1e-5)


def test_the_kl_inverse_where_it_is_known() -> None:
    c = np.array([0.0, 1e-12, 0.1, 3.0, np.inf])
    assert np.allclose(bounds.kl_inverse(0.0, c), -np.expm1(-c), rtol=1e-14, atol=0)
    assert bounds.kl_inverse(1.0, 0.3) == 1
    assert bounds.kl_inverse(0.3, np.inf) == 1
    assert bounds.kl_inverse(0.3, 0.0) == pytest.approx(0.3, abs=1e-7)
    assert bounds.binary_kl([0.0, 1.0, 0.5], [0.0, 1.0, 1.0]).tolist() == [0, 0, np.inf]


def test_published_figures() -> None:
    """Dziugaite and Roy's T-600, and what follows by arithmetic for as many digits as there are."""
    assert bounds.pac_bayes_kl(0.028, 5_144, 55_000, 0.025) == pytest.approx(0.1607, abs=2e-4)
    assert bounds.pac_bayes_kl(0.03, [5, 20], 719, 0.05).round(3).tolist() == [0.072, 0.101]
    assert bounds.mcallester(0.03, [5, 20], 719, 0.05).round(3).tolist() == [0.121, 0.167]
    assert bounds.hold_out(11, 360, 0.05) == pytest.approx(0.0501, abs=1e-4)
    assert bounds.occam(0.0, 1_437, [650, 1_300, 5_200], 0.05).round(3).tolist() == [0.271, 0.467, 0.919]
    assert bounds.vc(0.0, [1_437, 10**5, 10**6], 65, 0.05).round(2).tolist() == [1.33, 0.22, 0.08]


def test_the_kl_of_gaussians_is_torchs() -> None:
    draw = torch.Generator().manual_seed(0)
    mu, nu = torch.randn(2, 5, 40, generator=draw, dtype=torch.float64)
    s, t = torch.rand(2, 5, 40, generator=draw, dtype=torch.float64) + 0.01
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mu, s), normal(nu, t)).sum(1).numpy()
    found = bounds.gaussian_kl(*(one.numpy() for one in (mu, s, nu, t)))
    assert np.allclose(found, expected, rtol=1e-10, atol=1e-10)
    assert bounds.gaussian_kl(np.ones(3), 0.3, np.ones(3), 0.3) == 0


def test_the_kl_form_is_below_what_is_relaxed_from_it() -> None:
    error = np.linspace(0, 1, 41)[:, None]
    kl = np.array([0.0, 1.0, 30.0, 1e4])
    arguments = error, kl, 500, 0.05
    tightest = bounds.pac_bayes_kl(*arguments)
    for form in (bounds.mcallester, bounds.pac_bayes_quadratic, bounds.pac_bayes_lambda):
        assert (form(*arguments) >= tightest - 1e-12).all()
    assert (bounds.occam_hoeffding(error, 500, kl, 0.05) >= bounds.occam(error, 500, kl, 0.05) - 1e-12).all()


def test_the_best_trade_off_is_the_best_of_a_grid() -> None:
    grid = np.linspace(0.01, 1.99, 1_981)
    for error in (0.0, 0.03, 0.4):
        found = bounds.pac_bayes_lambda(error, 5, 719, 0.05)
        least = bounds.pac_bayes_lambda(error, 5, 719, 0.05, trade_off=grid).min()
        assert found == pytest.approx(least, rel=1e-5)


def test_hold_out_is_where_the_binomial_says() -> None:
    """P(Binomial(m, bound) <= wrong) = delta."""
    m, wrong, delta = 20, 3, 0.1
    p = float(bounds.hold_out(wrong, m, delta))
    assert sum(comb(m, k) * p**k * (1 - p) ** (m - k) for k in range(wrong + 1)) == pytest.approx(delta, abs=1e-10)
    low = float(bounds.hold_out_lower(wrong, m, delta))
    assert sum(comb(m, k) * low**k * (1 - low) ** (m - k) for k in range(wrong, m + 1)) == pytest.approx(
        delta, abs=1e-10
    )
    assert bounds.hold_out(20, 20, 0.05) == 1
    assert bounds.hold_out_lower(0, 20, 0.05) == 0


def test_covers_count() -> None:
    for n in (1, 2, 79, 80, 100, 120):
        exact = min(1.0, sum(comb(n - 1, k) for k in range(50)) / 2 ** (n - 1))
        assert bounds.separability(n, 50) == pytest.approx(exact, abs=1e-12)


def test_sauers_lemma_is_used_only_while_it_means_something() -> None:
    """Beyond d = 2m the class may label the examples in every way, and a larger d changes nothing."""
    m, delta = 100, 0.05
    dimensions = np.array([1, 10, 100, 150, 199, 200, 201, 10**4, 10**9])
    found = bounds.vc(0.0, m, dimensions, delta)
    assert (np.diff(found) >= 0).all()
    every = sqrt(8 / m * (2 * m * log(2) + log(4 / delta)))
    assert np.allclose(found[-4:], every)
    assert found[1] == pytest.approx(sqrt(8 / m * (10 * log(2 * e * m / 10) + log(4 / delta))))


def test_the_cover_is_no_worse_than_any_radius() -> None:
    p, ball, slope, m, delta = 30, 4.0, 50.0, 5_000, 0.05
    r = np.logspace(-8, 1, 400)
    each = 2 * slope * r + np.sqrt((p * np.log(1 + 2 * ball / r) + np.log(2 / delta)) / (2 * m))
    assert bounds.cover(0.1, m, p, ball, slope, delta) == pytest.approx(0.1 + each.min(), rel=1e-3)


def test_grids() -> None:
    values = np.array([1e-30, 0.3, 1.0, 1.1, 7.0, 1e20])
    up, price = bounds.rounded_up(values)
    down, _ = bounds.rounded_down(values)
    assert (up >= np.maximum(values, 1e-38) * (1 - 1e-9)).all()
    assert (up <= 1.1 * values * (1 + 1e-9)).all()
    assert (down <= values * (1 + 1e-9)).all()
    assert (down >= values / 1.1 * (1 - 1e-9)).all()
    assert up[2] == down[2] == 1
    k = np.arange(-(10**6), 10**6 + 1)
    assert np.exp(-np.log(1.5 * (abs(k) + 1) * (abs(k) + 2))).sum() == pytest.approx(1, abs=1e-5)
    assert price[2] == pytest.approx(log(3))
    assert np.exp(-bounds.variance_price(np.arange(1, 10**6))).sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(UsageError, match="at least 1"):
        bounds.variance_price(0)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_loss_no_confidence_and_no_sample_is_refused(name: str) -> None:
    call = CALLS[name]
    for error in (-0.1, 1.1, np.nan):
        with pytest.raises(UsageError, match=r"in \[0, 1\]"):
            call(error, 100, 0.05)
    for delta in (0.0, 1.0, 1.5, -1.0, np.nan):
        with pytest.raises(UsageError, match="above 0 and below 1"):
            call(0.1, 100, delta)
    for m in (0, -3, 10.5, np.nan):
        with pytest.raises(UsageError, match="whole number"):
            call(0.1, m, 0.05)


@pytest.mark.parametrize("form", ["pac_bayes_kl", "mcallester", "pac_bayes_quadratic", "pac_bayes_lambda"])
def test_too_small_a_sample_is_refused_with_the_reason(form: str) -> None:
    with pytest.raises(UsageError, match="at least 8: below 8 the constant"):
        CALLS[form](0.1, 7, 0.05)


@pytest.mark.parametrize("name", CALLS)
def test_a_bound_falls_with_examples_and_rises_with_error_and_confidence(name: str) -> None:
    call = CALLS[name]
    error = np.linspace(0, 1, 21)
    of_error = np.array([call(one, 400, 0.05) for one in error])
    assert np.isfinite(of_error).all()
    assert (np.diff(of_error) >= -1e-12).all()
    assert (of_error >= error - 1e-12).all()
    of_m = call(0.1, np.array([10, 100, 1_000, 10**5, 10**7]), 0.05)
    assert (np.diff(of_m) <= 1e-12).all()
    assert of_m[-1] < 0.2
    of_delta = call(0.1, 400, np.array([1e-12, 1e-3, 0.05, 0.5]))
    assert (np.diff(of_delta) <= 1e-12).all()


@given(SHARES, st.floats(0, 1e308), st.sampled_from([8, 10, 10**3, 10**9]), st.floats(1e-300, 0.999))
def test_a_bound_is_never_nan(error: float, size: float, m: int, delta: float) -> None:
    found = [
        bounds.finite_class(error, m, size, delta),
        bounds.occam(error, m, size, delta),
        bounds.cover(error, m, 10, size, size, delta),
        bounds.rademacher(error, m, size, delta, margin=1e-9),
        bounds.bartlett(error, m, bounds.spectral_complexity([size, 0.0], [size, size]), 0.0, 3, delta, margin=1e-9),
        bounds.pac_bayes_kl(error, size, m, delta),
        bounds.mcallester(error, size, m, delta),
        bounds.pac_bayes_lambda(error, size, m, delta),
    ]
    assert not np.isnan(found).any()
    assert not np.isnan(bounds.pac_bayes_kl(error, np.inf, m, delta))


def test_spectral_complexity_rises_with_norms_and_is_infinite_with_them() -> None:
    base = bounds.spectral_complexity([1.0, 2.0], [1.0, 1.0])
    assert bounds.spectral_complexity([1.0, 2.0], [1.0, 2.0]) > base
    assert bounds.spectral_complexity([1.0, 2.0], [np.inf, 2.0]) == np.inf
    assert bounds.spectral_complexity([0.0, 2.0], [1.0, 2.0]) == 0
    with pytest.raises(UsageError, match="layers"):
        bounds.spectral_complexity(1.0, 1.0)


def test_any_labels_are_fitted_by_2n_plus_d_weights() -> None:
    x = torch.randn(300, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.randint(10, (300,), generator=torch.Generator().manual_seed(2))
    net = bounds.fitting_network(x, labels)
    assert (net(x) - labels).abs().max() < 1e-6
    assert sum(p.numel() for p in net.parameters()) == 2 * 300 + 7
    numbers = torch.randn(300, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.allclose(bounds.fitting_network(x, numbers)(x), numbers, atol=1e-6)
    assert bounds.fitting_network(x[:1], labels[:1])(x[:1]).item() == pytest.approx(float(labels[0]))


def test_no_network_gives_one_input_two_labels() -> None:
    x = torch.ones(3, 2)
    with pytest.raises(tw.DataError, match="copies"):
        bounds.fitting_network(x, [0.0, 1.0, 0.0])
    with pytest.raises(tw.DataError, match="n inputs"):
        bounds.fitting_network(torch.ones(3), [0.0, 1.0, 0.0])
