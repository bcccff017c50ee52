"""Closed forms against simulation of what they are about, and against each other."""

import numpy as np
import pytest

from thalweg.errors import UsageError
from thalweg.generalization.double_descent import (
    ReluFeatures,
    hastie_limit,
    isotropic_norm,
    isotropic_risk,
    least_squares,
    optimal_penalty,
    optimal_ridge_limit,
    over_examples,
    over_inputs,
    over_weak_features,
    random_features_risk,
    weak_features_risk,
)
from thalweg.statistics import standard_error


@pytest.mark.parametrize(("n", "p"), [(30, 10), (30, 25), (30, 36), (30, 90)])
def test_isotropic_risk_and_norm_are_those_of_whole_experiments(n: int, p: int) -> None:
    """With noise, direction and inputs all drawn, by least squares of another library."""
    draw = np.random.default_rng(p)
    risks, norms = [], []
    for _ in range(2_000):
        beta = draw.standard_normal(p)
        beta *= 2 / np.linalg.norm(beta)
        x = draw.standard_normal((n, p))
        found = np.linalg.lstsq(x, x @ beta + 0.5 * draw.standard_normal(n))[0]
        risks.append(((found - beta) ** 2).sum())
        norms.append((found**2).sum())
    for values, exact in (
        (risks, isotropic_risk(n, p, signal=2.0, noise=0.5)),
        (norms, isotropic_norm(n, p, signal=2.0, noise=0.5)),
    ):
        error = standard_error(np.array([values]))[0]
        assert error < 0.1 * exact
        assert abs(np.mean(values) - exact) < 4 * error


def test_curves_are_within_four_standard_errors_of_exact_values_and_wrong_theory_is_not() -> None:
    for curve in (
        over_inputs((10, 50, 90, 95, 105, 110, 200, 1000), draws=200, seed=600),
        over_weak_features((5, 20, 35, 45, 60, 100), draws=400, seed=600),
        over_examples((20, 60, 90, 110, 150), draws=200, seed=600),
    ):
        assert (np.abs(curve.off) < 4).all()
        assert (curve.precision < 0.1).all()
    curve = over_inputs((10, 50, 90, 110, 200), draws=200, seed=600)
    error = standard_error(curve["risk"])
    sizes = curve.reading.coordinate("size")
    for wrong in (
        isotropic_risk(sizes, 100, signal=5**0.5, noise=1.0),  # examples and inputs exchanged
        isotropic_risk(100, sizes, signal=5**0.5, noise=0.0),  # without the noise
    ):
        assert (np.abs(curve["risk"].mean(1) - wrong) > 4 * error).any()


def test_near_the_threshold_medians_are_drawn_and_said() -> None:
    curve = over_inputs((50, 98, 100, 102, 150), draws=20)
    assert curve.far.tolist() == [True, False, False, False, True]
    assert np.isnan(curve.off[1:4]).all()
    figure = curve.figure()
    medians = next(mark for mark in figure.panels[0].marks if mark.label == "median of draws")
    np.testing.assert_allclose(medians.y, np.median(curve["risk"], 1)[1:4])
    assert "infinite" in figure.caption
    assert "infinite" not in over_inputs((50, 150), draws=20).figure().caption


def test_an_axis_says_whether_the_risk_has_the_noise_of_the_target() -> None:
    at = {"draws": 3, "noise": 2.0}
    excess, whole = over_inputs((5,), n=40, **at), over_examples((40,), inputs=5, **at)
    assert (excess.figure().panels[0].y.label, whole.figure().panels[0].y.label) == ("excess risk", "test risk")
    np.testing.assert_allclose(whole["exact risk"], excess["exact risk"] + 4)


def test_infinite_expectations_are_infinite_and_no_noise_has_none() -> None:
    assert np.isinf(isotropic_risk(100, [99, 100, 101])).all()
    assert np.isfinite(isotropic_risk(100, [98, 102])).all()
    assert isotropic_risk(100, [50, 100, 200], signal=2.0, noise=0.0).tolist() == [0.0, 0.0, 2.0]
    assert np.isinf(weak_features_risk(40, [39, 40, 41], 100)).all()


def test_limits_are_those_of_large_sizes() -> None:
    ratios = np.array([0.3, 0.8, 1.25, 3.0])
    finite = isotropic_risk(20_000, 20_000 * ratios, signal=2.0, noise=0.7)
    np.testing.assert_allclose(hastie_limit(ratios, signal=2.0, noise=0.7), finite, rtol=2e-3)
    past = np.linspace(1.05, 10, 2_000)
    risk = hastie_limit(past, signal=5**0.5)
    assert past[risk.argmin()] == pytest.approx(5**0.5 / (5**0.5 - 1), abs=0.01)
    assert risk.min() == pytest.approx(2 * 5**0.5 - 1, abs=1e-4)


def test_the_best_ridge_is_the_best_and_has_its_limit() -> None:
    draw, n = np.random.default_rng(0), 400
    for ratio in (0.5, 1.0, 2.0):
        p = int(ratio * n)
        squares = np.linalg.svd(draw.standard_normal((n, p)), compute_uv=False) ** 2
        best = float(optimal_penalty(p, signal=5**0.5))

        def risk(penalty: float, squares: np.ndarray = squares, p: int = p) -> float:
            bias = ((penalty / (squares + penalty)) ** 2).sum() + (p - len(squares))
            return 5 * bias / p + (squares / (squares + penalty) ** 2).sum()

        assert risk(best) < min(risk(0.9 * best), risk(1.1 * best))
        assert risk(best) == pytest.approx(float(optimal_ridge_limit(ratio, signal=5**0.5)), rel=0.02)
    values = optimal_ridge_limit([0.5, 1.0, 2.0], signal=5**0.5)
    np.testing.assert_allclose(values, [0.742, 1.791, 3.108], atol=1e-3)


@pytest.mark.parametrize("penalty", [0.0, 0.05])
def test_random_relu_features_have_the_risk_of_their_theory(penalty: float) -> None:
    """Of inputs, features and examples that are hundreds; sizes this small are a few per cent off the limit."""
    d, n, fresh = 60, 180, 400
    for number in (60, 900, 360):
        risks = []
        for seed in range(30):
            draw = np.random.default_rng(seed)
            x = draw.standard_normal((n + fresh, d))
            x *= np.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True)
            beta = draw.standard_normal(d)
            truth = x @ beta / np.linalg.norm(beta)
            phi = ReluFeatures(d, number, seed)(x)
            fit = least_squares(phi[:n], truth[:n] + 0.5 * draw.standard_normal(n))
            risks.append(((fit.ridge_predict(phi[n:], [n * penalty / d])[0] - truth[n:]) ** 2).mean())
        exact = float(random_features_risk(number / d, n / d, noise=0.5, penalty=penalty))
        error = standard_error(np.array([risks]))[0]
        assert abs(np.mean(risks) - exact) < 4 * error + 0.05 * exact
    for wrong in ({"noise": 0.0, "penalty": penalty}, {"noise": 0.5, "penalty": penalty + 0.2}):
        assert abs(np.mean(risks) - float(random_features_risk(number / d, n / d, **wrong))) > 4 * error + 0.05 * exact


def test_random_features_peak_where_they_are_as_many_as_examples() -> None:
    at = np.array([2.0, 2.9, 2.99, 3.01, 3.1, 4.0])
    risk = random_features_risk(at, 3.0, noise=0.5)
    assert (np.diff(risk[:3]) > 0).all()
    assert (np.diff(risk[3:]) < 0).all()
    assert np.isinf(random_features_risk(3.0, 3.0))
    small = random_features_risk(at, 3.0, noise=0.5, penalty=1e-9)
    np.testing.assert_allclose(small, risk, rtol=1e-2)
    assert np.isfinite(random_features_risk(3.0, 3.0, noise=0.5, penalty=0.1))


def test_more_examples_hurt_without_a_penalty_alone() -> None:
    curve = over_examples((60, 80, 100, 200), draws=20, seed=600)
    assert (curve["risk"].argmax(0) == 2).all()
    assert (np.diff(curve["ridge risk"], axis=0) < 0).all()
    clean = over_examples((60, 80, 100, 200), noise=0.0, draws=20, seed=600)
    assert (clean["risk"].argmax(0) == 0).all()
    np.testing.assert_allclose(clean["risk"][2:], 0, atol=1e-12)


def test_bad_input_is_said() -> None:
    with pytest.raises(UsageError, match="whole numbers, n of at least 1"):
        isotropic_risk(10.5, 3)
    with pytest.raises(UsageError, match="uses p of 100 inputs; got p = 101"):
        weak_features_risk(40, 101, 100)
    with pytest.raises(UsageError, match="noise must be finite and not negative"):
        hastie_limit(0.5, noise=-1.0)
    with pytest.raises(UsageError, match="ratio p/n is above 0"):
        optimal_ridge_limit(0.0)
    with pytest.raises(UsageError, match="signal above 0"):
        optimal_penalty(10, signal=0.0)
    with pytest.raises(UsageError, match="above 0"):
        random_features_risk(0.0, 1.0)
    with pytest.raises(UsageError, match="ascend"):
        over_inputs([20, 10])
