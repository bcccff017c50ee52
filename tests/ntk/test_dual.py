import itertools
import math

import mpmath
import numpy as np
import pytest
import scipy.special
import torch
from ntk.gaussian_integrals import mean, mean_product

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.ntk.dual import bivariate
from thalweg.ntk.dual.piecewise import PiecewiseLinear

CASES = 200


def gaussian_cdf(u):
    return scipy.special.ndtr(u)


def gaussian_density(u):
    return np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)


SMOOTH = {  # phi and phi'
    "erf": (scipy.special.erf, lambda u: 2 / math.sqrt(math.pi) * np.exp(-(u**2))),
    "gelu": (lambda u: u * gaussian_cdf(u), lambda u: gaussian_cdf(u) + u * gaussian_density(u)),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda u: -np.sin(u)),
    "exp": (np.exp, np.exp),
    "square": (np.square, lambda u: 2 * u),
}
BENT = {"relu": (0.0, 1.0), "leaky_relu": (0.3, 1.0), "abs": (-1.0, 1.0), "prelu": (-0.4, 1.0)}
ARGUMENTS = {"leaky_relu": {"negative_slope": 0.3}, "prelu": {"weight": -0.4}}
ALL = [*SMOOTH, *BENT]


def dual_called(name):
    return tw.ntk.dual_of(name, ARGUMENTS.get(name, {}))


def random_pairs(seed, most=3.0):
    """(q, q', rho), a third of them with rho within 10^-k of 1 or -1."""
    rng = np.random.default_rng(seed)
    q, other = rng.uniform(0.05, most, (2, CASES))
    rho = rng.uniform(-1, 1, CASES)
    rho[::3] = (1 - 10.0 ** -rng.uniform(1, 8, len(rho[::3]))) * rng.choice([-1, 1], len(rho[::3]))
    return q, other, rho


def distance_of(q, other, rho):
    """In 50 digits first, then rounded once."""
    with mpmath.workdps(50):
        values = [
            (mpmath.mpf(a) + mpmath.mpf(b)) / 2 - mpmath.mpf(c) * mpmath.sqrt(mpmath.mpf(a) * b)
            for a, b, c in zip(q, other, rho, strict=True)
        ]
    return np.array([float(value) for value in values])


def test_smooth_closed_forms_are_the_integrals():
    q, other, rho = random_pairs(0)
    distance = torch.tensor(distance_of(q, other, rho))
    z = np.arange(-13, 13, 0.125)  # the trapezoid rule, exponentially accurate for entire functions
    weight = np.outer(gaussian_density(z), gaussian_density(z)) * 0.125**2
    for name, (f, slope) in SMOOTH.items():
        dual = dual_called(name)
        away, slopes = dual.pair(torch.tensor(q), torch.tensor(other), distance)
        own = (dual.second_moment(torch.tensor(q)) + dual.second_moment(torch.tensor(other))) / 2
        scale = float(max(1.0, (dual.derivative(torch.tensor(q)) + own).max()))
        for i in range(CASES):
            x, y, c = math.sqrt(q[i]), math.sqrt(other[i]), math.sqrt((1 - rho[i]) * (1 + rho[i]))
            u, v = x * z[:, None], y * (rho[i] * z[:, None] + c * z[None, :])
            assert abs(float(own[i] - away[i]) - (weight * f(u) * f(v)).sum()) < 1e-12 * scale, (name, i)
            assert abs(float(slopes[i]) - (weight * slope(u) * slope(v)).sum()) < 1e-12 * scale, (name, i)


def polar(negative, positive, q, other, rho):
    """E phi(u) phi(v) and E phi'(u) phi'(v) of a homogeneous phi, as an integral over the angle of (u, v)."""
    angle = math.acos(rho)
    kinks = [-math.pi / 2, math.pi / 2, angle - math.pi / 2, angle + math.pi / 2]
    edges = np.unique(np.concatenate([[-math.pi, math.pi], [(k + math.pi) % (2 * math.pi) - math.pi for k in kinks]]))
    places, weights = np.polynomial.legendre.leggauss(40)
    total, slopes = 0.0, 0.0
    for a, b in itertools.pairwise(edges):
        at = (a + b) / 2 + (b - a) / 2 * places
        u, v = np.cos(at), np.cos(at - angle)
        f, g = (np.where(one > 0, positive, negative) for one in (u, v))
        total += (weights * f * u * g * v).sum() * (b - a) / 2 / math.pi
        slopes += (weights * f * g).sum() * (b - a) / 2 / (2 * math.pi)
    return math.sqrt(q * other) * total, slopes


@pytest.mark.parametrize("name", BENT)
def test_bent_closed_forms_are_the_integrals_over_the_angle(name):
    q, other, rho = random_pairs(1)
    dual = dual_called(name)
    away, slopes = dual.pair(torch.tensor(q), torch.tensor(other), torch.tensor(distance_of(q, other, rho)))
    own = (dual.second_moment(torch.tensor(q)) + dual.second_moment(torch.tensor(other))) / 2
    for i in range(CASES):
        product, slope = polar(*BENT[name], q[i], other[i], rho[i])
        assert abs(float(own[i] - away[i]) - product) < 1e-12 * float(own[i])
        lost = 1e-16 * q.max() / q.min() / math.sqrt((1 - rho[i]) * (1 + rho[i]))  # of rho, by rounding the distance
        assert abs(float(slopes[i]) - slope) < 1e-12 + lost


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("q", [0.02, 1.0, 3.7])
def test_own_moments_are_the_integrals(name, q):
    if name in SMOOTH:
        f, slope = SMOOTH[name]
    else:
        negative, positive = BENT[name]
        f, slope = (lambda u: np.where(u > 0, positive, negative) * u), (lambda u: np.where(u > 0, positive, negative))
    dual, at = dual_called(name), torch.tensor(q, dtype=torch.float64)
    assert float(dual.mean(at)) == pytest.approx(mean(f, q, (0.0,)), rel=1e-12, abs=1e-14)
    assert float(dual.second_moment(at)) == pytest.approx(mean(lambda u: f(u) ** 2, q, (0.0,)), rel=1e-12)
    assert float(dual.derivative(at)) == pytest.approx(mean(lambda u: slope(u) ** 2, q, (0.0,)), rel=1e-12)


def test_the_sign_has_a_distance_and_no_tangent_kernel():
    dual = tw.ntk.dual_of("sign", {})
    q, other, rho = random_pairs(2)
    away, slopes = dual.pair(torch.tensor(q), torch.tensor(other), torch.tensor(distance_of(q, other, rho)))
    expected = 1 - 2 / math.pi * np.arcsin(rho)
    np.testing.assert_allclose(away.numpy()[np.abs(rho) < 0.9], expected[np.abs(rho) < 0.9], rtol=1e-12)
    np.testing.assert_allclose(slopes.numpy()[1], 2 / math.pi / math.sqrt(q[1] * other[1] * (1 - rho[1] ** 2)))
    with pytest.raises(ModelError, match="squared derivative is infinite"):
        dual.derivative(torch.ones(1))


PIECEWISE = {
    "hardtanh": ("hardtanh", {}, lambda u: np.clip(u, -1, 1), (-1.0, 1.0)),
    "relu6": ("relu6", {}, lambda u: np.clip(u, 0, 6), (0.0, 6.0)),
    "clamp": ("clamp", {"min": -0.5, "max": 2}, lambda u: np.clip(u, -0.5, 2), (-0.5, 2.0)),
    "clamp from below": ("clamp", {"min": 0.3}, lambda u: np.maximum(u, 0.3), (0.3,)),
    "clamp from above": ("clamp", {"max": 0.3}, lambda u: np.minimum(u, 0.3), (0.3,)),
    "hardsigmoid": ("hardsigmoid", {}, lambda u: np.clip(u / 6 + 0.5, 0, 1), (-3.0, 3.0)),
    "softshrink": ("softshrink", {"lambd": 0.4}, lambda u: u - np.clip(u, -0.4, 0.4), (-0.4, 0.4)),
}


@pytest.mark.parametrize("case", PIECEWISE)
@pytest.mark.parametrize(("q", "other", "rho"), [(1.0, 1.0, 0.6), (0.7, 2.5, -0.8), (3.0, 2.9, 0.95)])
def test_piecewise_linear_duals_are_the_integrals(case, q, other, rho):
    kind, arguments, f, kinks = PIECEWISE[case]
    dual = tw.ntk.dual_of(kind, arguments)

    def slope(u):
        return (f(u + 1e-6) - f(u - 1e-6)) / 2e-6

    a, b = (torch.tensor(one, dtype=torch.float64) for one in (q, other))
    away, slopes = dual.pair(a, b, (a + b) / 2 - rho * torch.sqrt(a * b))
    product = float((dual.second_moment(a) + dual.second_moment(b)) / 2 - away)
    assert product == pytest.approx(mean_product(f, f, q, other, rho, kinks), abs=dual.error)
    assert float(slopes) == pytest.approx(mean_product(slope, slope, q, other, rho, kinks), abs=1e-6)  # by differences
    assert float(dual.mean(a)) == pytest.approx(mean(f, q, kinks), abs=1e-12)
    assert float(dual.second_moment(a)) == pytest.approx(mean(lambda u: f(u) ** 2, q, kinks), abs=1e-12)
    assert float(dual.derivative(a)) == pytest.approx(mean(lambda u: slope(u) ** 2, q, kinks), abs=1e-8)


def test_one_knot_at_zero_is_relu():
    q, other, rho = (torch.tensor(one) for one in random_pairs(3))
    distance = torch.tensor(distance_of(q.numpy(), other.numpy(), rho.numpy()))
    ours, theirs = PiecewiseLinear("one knot", (0.0,), (1.0,)), tw.ntk.dual_of("relu", {})
    for one, two in zip(ours.pair(q, other, distance), theirs.pair(q, other, distance), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", ["hardtanh", "relu6", "softshrink"])
def test_piecewise_linear_errors_are_below_the_bound_they_give(case, monkeypatch):
    kind, arguments, _, _ = PIECEWISE[case]
    dual = tw.ntk.dual_of(kind, arguments)
    rng = np.random.default_rng(0)
    q = np.exp(3 * rng.normal(size=600))
    other = q * np.exp(10.0 ** -rng.uniform(0, 9, size=600) * rng.normal(size=600))
    rho = (1 - 10.0 ** -rng.uniform(0, 10, size=600)) * rng.choice([1, 1, -1], size=600)
    given = torch.tensor(q), torch.tensor(other), torch.tensor(distance_of(q, other, rho))
    found = dual.pair(*given)
    bivariate._rule.cache_clear()
    for name, number in (("LEFT", 22), ("RIGHT", 20), ("RATIO", 3.0), ("NODES", 20)):
        monkeypatch.setattr(bivariate, name, number)
    exact = dual.pair(*given)
    bivariate._rule.cache_clear()
    for one, two, bound in zip(found, exact, (dual.error, dual.slope_error), strict=True):
        assert 1e-12 < float((one - two).abs().max()) < bound
