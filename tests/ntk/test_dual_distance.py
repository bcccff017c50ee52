import math

import mpmath
import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import ModelError

DUALS = {
    "relu": ("relu", {}),
    "leaky_relu": ("leaky_relu", {"negative_slope": 0.2}),
    "abs": ("abs", {}),
    "erf": ("erf", {}),
    "gelu": ("gelu", {}),
    "sin": ("sin", {}),
    "cos": ("cos", {}),
    "exp": ("exp", {}),
    "square": ("square", {}),
    "identity": ("mul", {"other": 1.5}),
    "tanh": ("tanh", {}),
    "silu": ("silu", {}),
    "selu": ("selu", {}),
    "hardtanh": ("hardtanh", {}),
    "softshrink": ("softshrink", {}),
}


def dual_called(name):
    return tw.ntk.dual_of(*DUALS[name])


def relu_recursion(q, other, distance, depth):
    """Distances of a ReLU net with weights of variance 2, in 50 digits."""
    q, other, distance = (mpmath.mpf(float(one)) for one in (q, other, distance))
    lengths, mean, found = mpmath.sqrt(q * other), (q + other) / 2, []
    for _ in range(depth):
        angle = mpmath.acos(min((mean - distance) / lengths, mpmath.mpf(1)))
        product = lengths / mpmath.pi * (mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle))
        distance = mean - product
        found.append(distance)
    return found


def classic_recursion(q, other, distance, depth):
    """The same by covariances and an arc cosine, as other packages do."""
    lengths, mean = torch.sqrt(q * other), (q + other) / 2
    covariance = mean - distance
    for _ in range(depth):
        angle = torch.acos((covariance / lengths).clamp(-1, 1))
        covariance = lengths / math.pi * (torch.sin(angle) + (math.pi - angle) * torch.cos(angle))
    return mean - covariance


def noisy_pairs(noise, dtype, count=24):
    """Variances and distances of inputs and noisy copies of them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 64, dtype=torch.float64, generator=generator)
    step = noise * torch.randn(count, 64, dtype=torch.float64, generator=generator)
    q, other, distance = x.square().mean(1), (x + step).square().mean(1), step.square().mean(1) / 2
    return q.to(dtype), other.to(dtype), distance.to(dtype)


def worst(found, expected):
    return max(abs(float((mpmath.mpf(float(a)) - b) / b)) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-3, 1e-4])
def test_float32_distances_keep_their_digits_where_the_classic_form_has_none(noise):
    relu, depth = dual_called("relu"), 20
    q, other, distance = noisy_pairs(noise, torch.float32)
    with mpmath.workdps(50):
        exact = [relu_recursion(*one, depth)[-1] for one in zip(q, other, distance, strict=True)]
        classic = worst(classic_recursion(q, other, distance, depth), exact)
        for _ in range(depth):
            distance = 2 * relu.pair(q, other, distance)[0]
        assert distance.dtype == torch.float32
        assert worst(distance, exact) < 5e-6
    if noise == 1e-4:
        assert classic > 10


@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-5])
def test_float64_distances_agree_with_fifty_digits_through_a_hundred_layers(noise):
    relu = dual_called("relu")
    q, other, distance = noisy_pairs(noise, torch.float64, count=4)
    with mpmath.workdps(50):
        exact = [relu_recursion(*one, 100) for one in zip(q, other, distance, strict=True)]
        for layer in range(100):
            distance = 2 * relu.pair(q, other, distance)[0]
            assert worst(distance, [one[layer] for one in exact]) < 1e-13


def erf_products(q, other, covariance):
    """E phi(u) phi(v) and E phi'(u) phi'(v)."""
    area = (1 + 2 * q) * (1 + 2 * other)
    value = 2 / mpmath.pi * mpmath.asin(2 * covariance / mpmath.sqrt(area))
    return value, 4 / mpmath.pi / mpmath.sqrt(area - 4 * covariance**2)


def gelu_products(q, other, covariance):
    """E phi(u) phi(v) and E phi'(u) phi'(v)."""
    whole = (1 + q) * (1 + other)
    wide = mpmath.sqrt(whole - covariance**2)
    arc = mpmath.atan2(covariance, wide)
    rest = (covariance**2 + q * other * wide**2) / (whole * wide)
    value = covariance / 4 + (covariance * arc + rest) / (2 * mpmath.pi)
    steep = covariance / wide * (1 / wide**2 + (1 - q * other) / whole + 1)
    return value, mpmath.mpf(1) / 4 + (arc + steep) / (2 * mpmath.pi)


@pytest.mark.parametrize(("name", "products"), [("erf", erf_products), ("gelu", gelu_products)])
@pytest.mark.parametrize("alike", [1.0, 1e-3, 1e-6])
def test_erf_and_gelu_keep_their_digits_near_coincident_inputs(name, products, alike):
    rng, dual = np.random.default_rng(0), dual_called(name)
    q = torch.tensor(np.exp(rng.normal(size=100)))
    other = q * torch.tensor(np.exp(alike * rng.normal(size=100)))
    nearness = torch.tensor(10.0 ** -rng.uniform(0, 12, size=100))
    distance = (torch.sqrt(q) - torch.sqrt(other)) ** 2 / 2 + torch.sqrt(q * other) * nearness
    for dtype, bound in ((torch.float64, 1e-13), (torch.float32, 5e-6)):
        rounded = distance.to(dtype)
        away, slope = dual.pair(q, other, rounded)
        assert away.dtype == slope.dtype == dtype
        with mpmath.workdps(50):
            for i in range(len(q)):
                a, b, d = (mpmath.mpf(float(one[i])) for one in (q, other, rounded))
                product, steep = products(a, b, (a + b) / 2 - d)
                exact = (products(a, a, a)[0] + products(b, b, b)[0]) / 2 - product
                if isinstance(exact, mpmath.mpc) or d < (mpmath.sqrt(a) - mpmath.sqrt(b)) ** 2 / 2:
                    continue  # rounding made the distance shorter than lengths allow
                given = 2 * torch.finfo(dtype).eps * steep * d  # what rounding the distance alone may change
                assert abs(mpmath.mpf(float(away[i])) - exact) < bound * exact + given
                assert abs(mpmath.mpf(float(slope[i])) - steep) < bound


@pytest.mark.parametrize("name", DUALS)
def test_coincident_inputs_have_no_distance_and_the_derivative_of_one(name):
    dual, q = dual_called(name), torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    away, slope = dual.pair(q, q, torch.zeros_like(q))
    assert float(away.abs().max()) < 1e-15
    assert float((slope - dual.derivative(q)).abs().max()) < dual.slope_error + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", DUALS)
def test_zero_inputs_and_distances_beyond_the_possible_give_numbers(name, dtype):
    dual = dual_called(name)
    q, other = torch.tensor([0.0, 0.5, 2.0], dtype=dtype), torch.tensor([0.0, 0.5, 1.0], dtype=dtype)
    most = (q[:, None] + other) / 2 + torch.sqrt(q[:, None] * other)
    for distance in (most * 1.001, (q[:, None] - other).abs() * 0.0, -1e-3 * torch.ones(3, 3, dtype=dtype)):
        for value in dual.pair(q[:, None], other, distance):
            assert value.dtype == dtype
            assert value.shape == (3, 3)
            assert bool(torch.isfinite(value).all())
    apart = dual.pair(q[:1], other, other / 2)[0]  # a pre-activation that is always zero, and others
    zero = dual.second_moment(q[:1]) - dual.mean(q[:1]) ** 2
    expected = (dual.second_moment(q[:1]) + dual.second_moment(other)) / 2 - dual.mean(q[:1]) * dual.mean(other)
    assert float(zero.abs().max()) < 1e-6
    torch.testing.assert_close(apart, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", DUALS)
def test_pairs_broadcast_and_are_symmetric(name):
    dual, q = dual_called(name), torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
    distance = (q[:, None] + q) / 2 - 0.4 * torch.sqrt(q[:, None] * q)
    away, slope = dual.pair(q[:, None], q[None, :], distance)
    for value, single in zip((away, slope), dual.pair(q[1], q[2], distance[1, 2]), strict=True):
        torch.testing.assert_close(value, value.T, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(value[1, 2], single, rtol=1e-9, atol=1e-9)
    swapped = dual.pair(q[None, :, None], q[:, None, None], distance[:, :, None].expand(3, 3, 2))
    torch.testing.assert_close(swapped[0][..., 1], away, rtol=1e-13, atol=1e-13)


def kernels(dual, inputs):
    """The next distances and slopes of inputs, shape (n, d)."""
    q = inputs.square().mean(1)
    distance = (inputs[:, None] - inputs[None]).square().mean(2) / 2
    return dual.pair(q[:, None], q[None, :], distance)


@pytest.mark.parametrize("name", [name for name in DUALS if name != "selu"])  # 256 terms, thrice
def test_gradients_are_right_and_finite_at_coincident_and_zero_inputs(name):
    dual = dual_called(name)
    inputs = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def between(first, second):
        q, other, distance = first.square().mean(), second.square().mean(), (first - second).square().mean() / 2
        return dual.pair(q, other, distance)

    given = tuple(one.clone().requires_grad_() for one in inputs)
    assert torch.autograd.gradcheck(between, given, atol=1e-6)
    coincident = torch.cat([inputs, inputs[:1], -inputs[:1], torch.zeros(1, 3, dtype=torch.float64)]).requires_grad_()
    for which in range(2) if name != "identity" else range(1):
        (gradient,) = torch.autograd.grad(kernels(dual, coincident)[which].sum(), coincident)
        assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "tanh"])
def test_second_derivatives_away_from_coincident_inputs(name):
    dual = dual_called(name)
    q, other, distance = (torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (0.8, 1.3, 0.6))
    assert torch.autograd.gradgradcheck(lambda a, b, c: dual.pair(a, b, c), (q, other, distance), atol=1e-6)


def test_what_has_no_dual_is_named_with_what_to_write():
    with pytest.raises(ModelError, match=r"'softmax' has no infinite-width limit.*thalweg.ntk.hermite"):
        tw.ntk.dual_of("softmax", {"dim": 1})
    with pytest.raises(ModelError, match="jumps"):
        tw.ntk.dual_of("hardshrink", {}).derivative(torch.ones(1))
    weight = torch.ones(8)
    with pytest.raises(ModelError, match="'prelu' reads a second tensor"):
        tw.ntk.dual_of("prelu", {"weight": weight})
