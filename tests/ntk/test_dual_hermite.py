import math

import numpy as np
import pytest
import scipy.special
import torch
from ntk.gaussian_integrals import mean, mean_product

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.ntk.dual.elementwise import BENT, LINEAR, SMOOTH, function_of
from thalweg.ntk.dual.kinks import kinks_of

SMOOTH_ONES = {
    "tanh": {},
    "sigmoid": {},
    "silu": {},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "mish": {},
    "log_sigmoid": {},
    "atan": {},
    "gelu": {"approximate": "tanh"},
}
KINKED = {"elu": (0.0,), "celu": (0.0,), "selu": (0.0,), "hardswish": (-3.0, 3.0)}
PAIRS = [(1.0, 1.0, 0.6), (0.4, 2.0, -0.9), (1.5, 1.4, 0.99)]


def on_arrays(function):
    return lambda u: function(torch.from_numpy(np.ascontiguousarray(u))).numpy()


def slope_of(function):
    """By autograd, on arrays."""

    def slope(u):
        points = torch.from_numpy(np.ascontiguousarray(u)).requires_grad_()
        return torch.autograd.grad(function(points).sum(), points)[0].numpy()

    return slope


def assert_within_its_bounds(dual, function, kinks, pairs=PAIRS):
    """Distances, slopes and own moments against integrals; returns the bounds."""
    f, g = on_arrays(function), slope_of(function)
    for q, other, rho in pairs:
        a, b = (torch.tensor(one, dtype=torch.float64) for one in (q, other))
        away, slopes = dual.pair(a, b, (a + b) / 2 - rho * torch.sqrt(a * b))
        own = (mean(lambda u: f(u) ** 2, q, kinks) + mean(lambda u: f(u) ** 2, other, kinks)) / 2
        rounding = 1e-12 * max(1.0, own)
        assert abs(own - float(away) - mean_product(f, f, q, other, rho, kinks)) < dual.error + rounding
        assert abs(float(slopes) - mean_product(g, g, q, other, rho, kinks)) < dual.slope_error + rounding
        assert float(dual.mean(a)) == pytest.approx(mean(f, q, kinks), abs=1e-13)
        assert float(dual.second_moment(a)) == pytest.approx(mean(lambda u: f(u) ** 2, q, kinks), rel=1e-12)
        assert float(dual.derivative(a)) == pytest.approx(mean(lambda u: g(u) ** 2, q, kinks), rel=1e-12)
    return dual.error, dual.slope_error


@pytest.mark.parametrize("kind", SMOOTH_ONES)
def test_smooth_activations_are_within_their_certified_error(kind):
    dual = tw.ntk.dual_of(kind, SMOOTH_ONES[kind])
    bounds = assert_within_its_bounds(dual, function_of(kind, SMOOTH_ONES[kind]), (0.0,))
    assert max(bounds) < 1e-10


@pytest.mark.parametrize("kind", KINKED)
def test_kinked_activations_are_within_the_error_that_they_print(kind):
    dual = tw.ntk.dual_of(kind, {})
    error, slope_error = assert_within_its_bounds(dual, function_of(kind, {}), KINKED[kind])
    assert 1e-12 < error < 1e-4
    assert 1e-10 < slope_error < 1e-2


@pytest.mark.parametrize("name", ["erf", "gelu", "sin", "cos", "relu", "abs", "leaky_relu"])
def test_the_series_of_a_closed_form_is_within_its_certified_error(name):
    closed = tw.ntk.dual_of(name, {})
    series = tw.ntk.hermite(function_of(name, {}), name)
    generator = torch.Generator().manual_seed(0)
    q = torch.exp(torch.randn(30, 1, dtype=torch.float64, generator=generator) / 2)
    rho = 2 * torch.rand(30, 30, dtype=torch.float64, generator=generator) - 1
    rho[::2] = 1 - 10.0 ** (-8 * torch.rand(15, 30, dtype=torch.float64, generator=generator))
    distance = (q + q.T) / 2 - rho * torch.sqrt(q * q.T)
    (away, slope), (exact, steep) = (dual.pair(q, q.T, distance) for dual in (series, closed))
    assert float((away - exact).abs().max()) < series.error + 1e-13
    assert float((slope - steep).abs().max()) < series.slope_error + 1e-13
    assert series.error < 1e-7


def test_the_certified_error_is_no_formality():
    """With few terms the error is large, the bound covers it, and is not a thousand times too wide."""
    closed, series = tw.ntk.dual_of("erf", {}), tw.ntk.hermite(torch.erf, "erf", terms=8)
    q = torch.tensor([0.5, 2.0, 6.0], dtype=torch.float64)
    distance = (q[:, None] + q) / 2 - 0.95 * torch.sqrt(q[:, None] * q)
    (away, slope), (exact, steep) = (dual.pair(q[:, None], q, distance) for dual in (series, closed))
    worst = float((away - exact).abs().max())
    assert 1e-4 < worst < series.error < 1000 * worst
    assert float((slope - steep).abs().max()) < series.slope_error


def test_large_variances_take_more_terms():
    dual = tw.ntk.dual_of("tanh", {})
    terms = []
    for q in (0.1, 1.0, 10.0):
        one = torch.tensor(q, dtype=torch.float64)
        dual.pair(one, one, one / 2)
        terms.append(dual._tables(one)[0].needed(dual.goal))
    assert terms[0] < terms[1] < terms[2] < 1024
    assert dual.error < 1e-9


def test_two_activations_in_a_row_and_float32():
    def function(u):
        return torch.relu(torch.tanh(u) - 0.3)

    dual = tw.ntk.hermite(function, "relu after tanh")
    kink = math.atanh(0.3)
    assert kinks_of(function) == pytest.approx((kink,), abs=1e-9)
    error, _ = assert_within_its_bounds(dual, function, (kink,), PAIRS[:2])
    assert error < 1e-5
    q = torch.tensor([0.5, 1.0])
    for value in dual.pair(q[:, None], q, (q[:, None] - q).abs()):
        assert value.dtype == torch.float32


@pytest.mark.parametrize(
    ("function", "places"),
    [
        (torch.tanh, ()),
        (lambda u: torch.tanh(50 * u), ()),
        (torch.relu, (0.0,)),
        (torch.nn.functional.hardswish, (-3.0, 3.0)),
        (lambda u: torch.relu(u - 1.2345) + torch.nn.functional.relu6(u), (0.0, 1.2345, 6.0)),
    ],
)
def test_kinks_are_found(function, places):
    assert kinks_of(function) == pytest.approx(places, abs=1e-9)


@pytest.mark.parametrize("function", [torch.sign, torch.round, lambda u: torch.where(u > 0.5, u, 0.0)])
def test_functions_that_jump_are_refused(function):
    with pytest.raises(ModelError, match="jumps"):
        tw.ntk.hermite(function, "steps").second_moment(torch.ones(2))


def test_functions_that_are_not_finite_are_refused():
    with pytest.raises(ModelError, match="not finite"):
        tw.ntk.hermite(torch.log, "log").second_moment(torch.ones(2))


@pytest.mark.parametrize("kind", [*SMOOTH, *BENT, *LINEAR])
def test_every_known_operation_has_a_dual_with_its_own_moments(kind):
    arguments = {
        "mul": {"other": 1.7},
        "multiply": {"other": -0.5},
        "div": {"other": 3},
        "divide": {"other": 3.0},
        "true_divide": {"other": 3.0},
        "add": {"other": 2, "alpha": 3},
        "sub": {"other": 0.5},
        "subtract": {"other": 0.5},
        "rsub": {"other": 2.0, "alpha": 1.5},
        "clamp": {"min": -1.0, "max": 0.5},
        "clamp_min": {"min": -1.0},
        "clamp_max": {"max": 1.0},
        "elu": {"alpha": 0.7},
    }.get(kind, {})
    dual, f = tw.ntk.dual_of(kind, {"input": "u", **arguments}), on_arrays(function_of(kind, arguments))
    q = torch.tensor(0.6, dtype=torch.float64)
    z = np.linspace(-12, 12, 400_001)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    values = f(math.sqrt(0.6) * z)
    gradients = np.gradient(values, math.sqrt(0.6) * (z[1] - z[0]))
    assert float(dual.mean(q)) == pytest.approx((weight * values).sum(), rel=1e-7, abs=1e-7)
    assert float(dual.second_moment(q)) == pytest.approx((weight * values**2).sum(), rel=1e-7)
    assert float(dual.derivative(q)) == pytest.approx((weight * gradients**2).sum(), rel=1e-4)
    away, slope = dual.pair(q, q, 0 * q)
    assert float(away) == pytest.approx(0.0, abs=1e-14)
    assert float(slope) == pytest.approx(float(dual.derivative(q)), abs=max(1e-9, dual.slope_error))


def test_tables_are_made_once_for_the_same_variances():
    calls = []

    def function(u):
        calls.append(u.numel())
        return torch.tanh(u)

    dual = tw.ntk.hermite(function, "tanh")
    q = torch.tensor([0.5, 1.0], dtype=torch.float64)
    first = dual.pair(q[:, None], q, (q[:, None] + q) / 2)
    before = len(calls)
    second = dual.pair(q[:, None], q, (q[:, None] + q) / 2)
    assert len(calls) == before
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_erfc_is_one_minus_erf():
    dual, q = tw.ntk.dual_of("erfc", {}), torch.tensor(0.8, dtype=torch.float64)
    expected = mean(lambda u: scipy.special.erfc(u) ** 2, 0.8)
    assert float(dual.second_moment(q)) == pytest.approx(expected, rel=1e-12)
