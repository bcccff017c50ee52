"""Attention of infinitely many heads, against nested loops, integrals, derivatives and random draws."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from duals_by_angle import Linear, Rectifier
from features_at_positions import gram, random_values
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.attention import Attended, Tokens, attended, elementwise, identity
from thalweg.ntk.attention_softmax import softmax

RELU, ABS = Rectifier(0, 1), Rectifier(-1, 1)


def tokens(seed: int, count: int = 4) -> Tokens:
    """Kernels of two and three inputs of `count` tokens each, and any tangent kernel."""
    x, y = random_values(2, (count,), seed), random_values(3, (count,), seed + 1)
    tangent = torch.randn(2, 3, count, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    own, other = (torch.stack([gram(one[None], one[None])[0, 0] for one in values]) for values in (x, y))
    return Tokens(gram(x, y), tangent, own, other)


def own_tokens(given: Tokens) -> Tokens:
    return Tokens.own_block(given.own)


@pytest.fixture
def three() -> tuple[Tokens, Tokens, Tokens]:
    return tokens(0), tokens(10), tokens(20)


def by_angle(q: float, other: float, rho: float, function) -> float:
    """E f(u) f(v) for f linear on either side of 0: the radius has mean square 2, the angle Legendre's rule."""
    apart = math.acos(rho)
    kinks = sorted(math.remainder(side + sign * math.pi / 2, 2 * math.pi) for side in (0.0, apart) for sign in (-1, 1))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = 0.0
    for start, stop in zip(kinks, [*kinks[1:], kinks[0] + 2 * math.pi], strict=True):
        angle = (start + stop) / 2 + (stop - start) / 2 * nodes
        total += (stop - start) / 2 * float(np.sum(weights * function(np.cos(angle)) * function(np.cos(angle - apart))))
    return total / math.pi * math.sqrt(q * other)


@pytest.mark.parametrize(
    ("score", "function"), [(RELU, lambda u: np.maximum(u, 0)), (ABS, np.abs)], ids=["relu", "abs"]
)
def test_moments_that_the_tests_use(score, function):
    for q, other, rho in [(1.0, 2.0, 0.3), (0.5, 0.1, -0.8), (3.0, 3.0, 0.999)]:
        covariance = rho * math.sqrt(q * other)
        q_, other_, distance = (torch.tensor(x, dtype=torch.float64) for x in (q, other, (q + other) / 2 - covariance))
        half = (score.second_moment(q_) + score.second_moment(other_)) / 2 - score.pair(q_, other_, distance)[0]
        assert float(half) == pytest.approx(by_angle(q, other, rho, function), rel=1e-12)
        step = 1e-5
        slope = (by_angle(q, other, rho + step, function) - by_angle(q, other, rho - step, function)) / (
            2 * step * math.sqrt(q * other)
        )
        assert float(score.pair(q_, other_, distance)[1]) == pytest.approx(slope, rel=1e-4)


def nested_loops(queries: Tokens, keys: Tokens, values: Tokens, score, allowed: Tensor | None = None) -> Attended:
    """The recursion over all (a, b, i, j), one number at a time."""
    kernel, tangent = torch.zeros_like(queries.kernel), torch.zeros_like(queries.kernel)
    for x, y in product(range(kernel.shape[0]), range(kernel.shape[1])):
        for a, b in product(range(kernel.shape[2]), range(kernel.shape[3])):
            for i, j in product(range(keys.kernel.shape[2]), range(keys.kernel.shape[3])):
                if allowed is not None and not (allowed[a, i] and allowed[b, j]):
                    continue
                q = queries.own[x, a, a] * keys.own[x, i, i]
                other = queries.other[y, b, b] * keys.other[y, j, j]
                covariance = queries.kernel[x, y, a, b] * keys.kernel[x, y, i, j]
                distance, slope = score.pair(q, other, (q + other) / 2 - covariance)
                moment = (score.second_moment(q) + score.second_moment(other)) / 2 - distance
                moved = queries.tangent[x, y, a, b] * keys.kernel[x, y, i, j]
                moved = moved + queries.kernel[x, y, a, b] * keys.tangent[x, y, i, j]
                kernel[x, y, a, b] += moment * values.kernel[x, y, i, j]
                tangent[x, y, a, b] += moment * values.tangent[x, y, i, j] + slope * values.kernel[x, y, i, j] * moved
    return Attended(kernel, tangent)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("score", [RELU, ABS], ids=["relu", "abs"])
def test_elementwise_equals_nested_loops(score, causal):
    """Also with fewer queries than keys, in slices, and at equal positions only."""
    queries, keys, values = tokens(0, 3), tokens(10), tokens(20)
    allowed = torch.ones(3, 4).tril().bool() if causal else None
    truth = nested_loops(queries, keys, values, score, allowed)
    for memory in (2**28, 1):
        found = elementwise(queries, keys, values, score, allowed=allowed, memory=memory)
        equal = elementwise(queries, keys, values, score, full=False, allowed=allowed, memory=memory)
        for one, at_equal, expected in [
            (found.kernel, equal.kernel, truth.kernel),
            (found.tangent, equal.tangent, truth.tangent),
        ]:
            torch.testing.assert_close(one, expected, rtol=0, atol=1e-12)
            torch.testing.assert_close(at_equal, expected.diagonal(dim1=-2, dim2=-1), rtol=0, atol=1e-12)


def test_identity_collapses(three):
    """The sum over all keys equals the closed form, and the nested loops."""
    found = identity(*three)
    for other in (elementwise(*three, Linear()), nested_loops(*three, Linear())):
        torch.testing.assert_close(found.kernel, other.kernel, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.tangent, other.tangent, rtol=0, atol=1e-12)


def test_identity_is_the_published_formula():
    """sigma_OV^2 sigma_QK^2 (4 K <K, K> + 2 K <K, T> + T <K, K>), with the output projection's kernel."""
    given = tokens(0)
    inputs, tangent = given.kernel, given.tangent
    projected = replace(given, tangent=inputs + tangent)  # a dense layer in NTK parameterization, weight_std 1
    found = identity(projected, projected, projected)
    square, mixed = (inputs**2).sum((-2, -1), keepdim=True), (inputs * tangent).sum((-2, -1), keepdim=True)
    truth = 4 * inputs * square + 2 * inputs * mixed + tangent * square
    torch.testing.assert_close(found.kernel + found.tangent, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["identity", "elementwise"])
def test_own_blocks(three, kind):
    """Every input with itself, as a block of its own."""

    def evaluated(*given: Tokens) -> Tensor:
        return (identity(*given) if kind == "identity" else elementwise(*given, ABS)).kernel

    own = evaluated(*map(own_tokens, three))
    crossed = evaluated(*(Tokens(_pairs(one.own), None, one.own, one.own) for one in three))
    torch.testing.assert_close(own, torch.stack([crossed[n, n] for n in range(2)]), rtol=0, atol=1e-12)


def _pairs(own: Tensor) -> Tensor:
    """A block of pairs whose equal inputs have the given own kernels."""
    block = torch.zeros(len(own), len(own), *own.shape[1:], dtype=own.dtype)
    for n, one in enumerate(own):
        block[n, n] = one
    return block


def shifted(given: Tokens, step: float) -> Tokens:
    return replace(given, kernel=given.kernel + step * given.tangent)


@pytest.mark.parametrize("kind", ["identity", "relu", "abs"])
def test_tangent_kernel_is_the_derivative_along_the_tangent_kernels(three, kind):
    """Price's theorem: of E f(u) g(v) by their covariance is E f'(u) g'(v), in the direction of the tangents."""

    def evaluated(step: float) -> Tensor:
        given = [shifted(one, step) for one in three]
        return (
            identity(*given) if kind == "identity" else elementwise(*given, {"relu": RELU, "abs": ABS}[kind])
        ).kernel

    found = identity(*three) if kind == "identity" else elementwise(*three, {"relu": RELU, "abs": ABS}[kind])
    derivative = (evaluated(1e-6) - evaluated(-1e-6)) / 2e-6
    torch.testing.assert_close(found.tangent, derivative, rtol=1e-6, atol=1e-6)


def test_order_of_tokens_does_not_matter(three):
    order = torch.tensor([2, 0, 3, 1])
    moved = [replace(one, kernel=one.kernel[:, :, order], own=one.own[:, order][:, :, order]) for one in three]
    moved = [replace(one, tangent=None) for one in moved]
    torch.testing.assert_close(elementwise(*moved, RELU).kernel, elementwise(*three, RELU).kernel[:, :, order])


def test_given_weights_are_a_map_of_tokens():
    given = tokens(0)
    weights, others = (3 * one.softmax(-1) for one in (given.own, given.other))
    found = attended(given.kernel, weights, others)
    truth = torch.zeros_like(found)
    for x, y, a, b, i, j in product(range(2), range(3), *(range(4),) * 4):
        truth[x, y, a, b] += weights[x, a, i] * given.kernel[x, y, i, j] * others[y, b, j]
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-12)
    torch.testing.assert_close(attended(given.own, weights, weights)[1], weights[1] @ given.own[1] @ weights[1].T)


def assert_close_by(found: Tensor, truth: Tensor, error: Tensor, floor: float = 1e-12, ratio: float = 6) -> None:
    """Within so many standard errors, of which there are few degrees of freedom."""
    deviation = (found - truth).abs() / (error + floor)
    assert deviation.max() < ratio, deviation.max()


def softmax_of_two(queries: Tokens, keys: Tokens, values: Tokens) -> Tensor:
    """By Gauss-Hermite: the weight of the first of two tokens is a logistic function of the scores' difference."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()

    def contrast(block: Tensor) -> float:
        return float(block[0, 0] - block[0, 1] - block[1, 0] + block[1, 1])

    truth = torch.zeros_like(queries.kernel)
    for x, y, a, b in product(*(range(n) for n in truth.shape)):
        variance = float(queries.own[x, a, a]) * contrast(keys.own[x])
        other = float(queries.other[y, b, b]) * contrast(keys.other[y])
        covariance = float(queries.kernel[x, y, a, b]) * contrast(keys.kernel[x, y])
        u = math.sqrt(variance) * nodes[:, None]
        rest = math.sqrt(other - covariance**2 / variance)
        v = covariance / math.sqrt(variance) * nodes[:, None] + rest * nodes[None]
        first, second = 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(-v))
        for i, j in product(range(2), range(2)):
            moment = np.einsum("s,t,st->", weights, weights, (first, 1 - first)[i] * (second, 1 - second)[j])
            truth[x, y, a, b] += float(values.kernel[x, y, i, j]) * moment
    return truth


def test_softmax_of_two_tokens_is_a_double_integral():
    """Its tangent kernel is the integral's derivative along the tangent kernels of queries, keys and values."""
    three = [tokens(seed, 2) for seed in (0, 10, 20)]
    found = softmax(*three, samples=256)
    assert_close_by(found.kernel, softmax_of_two(*three), found.error, ratio=8)
    above, below = (softmax_of_two(*(shifted(one, step) for one in three)) for step in (1e-5, -1e-5))
    assert_close_by(found.tangent, (above - below) / 2e-5, found.tangent_error, ratio=8)
    assert found.error.max() < 0.01 * found.kernel.abs().max()
    assert found.tangent_error.max() < 0.01 * found.tangent.abs().max()


def test_softmax_agrees_with_random_scores():
    """Drawn from their joint covariance, which is a product of those of queries and keys."""
    queries, keys, values = tokens(0, 3), tokens(10, 3), tokens(20, 3)
    found = softmax(queries, keys, values, samples=256)

    def joint(given: Tokens) -> Tensor:
        return torch.cat(
            [torch.cat([given.own[0], given.kernel[0, 0]], 1), torch.cat([given.kernel[0, 0].T, given.other[0]], 1)]
        )

    covariance = torch.kron(joint(queries), joint(keys)) + 1e-12 * torch.eye(36, dtype=torch.float64)
    draws = torch.randn(40_000, 36, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    scores = (draws @ torch.linalg.cholesky(covariance).T).reshape(-1, 6, 6)
    alpha, other = scores[:, :3, :3].softmax(-1), scores[:, 3:, 3:].softmax(-1)
    sampled = alpha @ values.kernel[0, 0] @ other.mT
    error = (sampled.var(0) / len(sampled) + found.error[0, 0] ** 2).sqrt()
    assert_close_by(found.kernel[0, 0], sampled.mean(0), error)


def test_softmax_tangent_kernel_is_the_derivative():
    """Of an estimate by other points, of three tokens."""
    three = [_first_pair(tokens(seed, 3)) for seed in (0, 10, 20)]
    found = softmax(*three, samples=1024)
    above, below = (softmax(*(shifted(one, step) for one in three), samples=8192, seed=1) for step in (1e-3, -1e-3))
    derivative = (above.kernel - below.kernel) / 2e-3
    torch.testing.assert_close(found.tangent, derivative, rtol=0, atol=0.02 * float(found.tangent.abs().max()))


def _first_pair(given: Tokens) -> Tokens:
    return Tokens(given.kernel[:1, :1], given.tangent[:1, :1], given.own[:1], given.other[:1])


def test_softmax_without_scores_is_the_mean_over_tokens(three):
    queries, keys, values = three
    flat = replace(queries, kernel=0 * queries.kernel, own=0 * queries.own, other=0 * queries.other)
    found = softmax(flat, keys, values, samples=16)
    mean = values.kernel.mean((-2, -1), keepdim=True).expand_as(found.kernel)
    torch.testing.assert_close(found.kernel, mean, rtol=1e-5, atol=1e-5)
    assert found.error.max() < 1e-5


def test_softmax_of_own_blocks_and_of_coinciding_inputs(three):
    """Covariances of an input with itself are singular; the estimate is that of its own block."""
    one = [Tokens(given.own[:1, None], None, given.own[:1], given.own[:1]) for given in three]
    crossed = softmax(*one, samples=256)
    own = softmax(*map(own_tokens, three), samples=256)
    assert_close_by(crossed.kernel[0, 0], own.kernel[0], crossed.error[0, 0] + own.error[0])
    assert torch.linalg.eigvalsh(own.kernel).min() > 0
    torch.testing.assert_close(own.kernel, own.kernel.mT, rtol=0, atol=1e-12)


def test_softmax_of_a_pair_does_not_depend_on_the_others(three):
    whole = softmax(*three, samples=64)
    pair = [Tokens(one.kernel[1:, 2:], one.tangent[1:, 2:], one.own[1:], one.other[2:]) for one in three]
    alone = softmax(*pair, samples=64, memory=1)
    torch.testing.assert_close(alone.kernel, whole.kernel[1:, 2:], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(alone.tangent, whole.tangent[1:, 2:], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(softmax(*three, samples=64, seed=1).kernel, whole.kernel, rtol=1e-6)


def test_causal_softmax(three):
    """The first query sees itself alone; the last sees all."""
    found = softmax(*three, samples=64, allowed=torch.ones(4, 4).tril().bool())
    free = softmax(*three, samples=64)
    torch.testing.assert_close(found.kernel[..., 0, 0], three[2].kernel[..., 0, 0])
    torch.testing.assert_close(found.kernel[..., 3, 3], free.kernel[..., 3, 3])
    torch.testing.assert_close(found.tangent[..., 0, 0], three[2].tangent[..., 0, 0])
    assert not torch.allclose(found.kernel[..., 1, 1], free.kernel[..., 1, 1], rtol=1e-2)


def test_many_tokens_take_random_points():
    given = Tokens.own_block(torch.eye(150, dtype=torch.float64)[None])
    found = softmax(given, given, given, samples=2, scrambles=2)
    assert bool(found.kernel.isfinite().all())
    assert found.kernel.diagonal(dim1=1, dim2=2).min() > 1 / 150


def test_what_is_wrong_is_named(three):
    with pytest.raises(UsageError, match="at least 2 scrambles; got 1"):
        softmax(*three, scrambles=1)
    with pytest.raises(UsageError, match=r"power of 2 of samples.*got 1000"):
        softmax(*three, samples=1000)
    with pytest.raises(UsageError, match="at least one key"):
        softmax(*three, allowed=torch.zeros(4, 4).bool())
    with pytest.raises(UsageError, match="no covariances"):
        softmax(replace(three[0], own=-three[0].own), *three[1:])
    short = replace(three[0], kernel=three[0].kernel[..., :2], tangent=None, other=three[0].other[:, :2, :2])
    with pytest.raises(UsageError, match="equal positions of 4 and 2 queries"):
        elementwise(short, *three[1:], RELU, full=False)
