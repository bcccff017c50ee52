"""Lempel-Ziv against a literal implementation; the prior of networks against planted functions without one."""

import math

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.generalization import simplicity
from thalweg.generalization.simplicity.random_functions import boolean_inputs


def literal_words(row: list[int]) -> int:
    """By the definition, on text."""
    text = "".join(map(str, row))
    start, words = 0, 0
    while start < len(text):
        length = 1
        while start + length <= len(text) and text[start : start + length] in text[: start + length - 1]:
            length += 1
        words, start = words + 1, start + length
    return words


@pytest.mark.parametrize("n", [1, 2, 7, 32, 128, 300])
def test_words_are_those_of_the_definition(n: int) -> None:
    draw = np.random.default_rng(n)
    rows = (draw.random((60, n)) < draw.random((60, 1))).astype(int)
    rows[:5] = np.tile([0, 1, 1, 0, 1], n)[:n]
    assert simplicity.lempel_ziv_words(rows).tolist() == [literal_words(row) for row in rows.tolist()]


def test_complexity_reads_both_directions_and_constants_have_one_word() -> None:
    rows = np.random.default_rng(0).integers(0, 2, (20, 64))
    expected = [3 * (literal_words(row) + literal_words(row[::-1])) for row in rows.tolist()]
    assert np.allclose(simplicity.complexity(rows), expected)
    assert simplicity.complexity(np.ones((1, 128), bool)).tolist() == [7.0]
    assert np.array_equal(simplicity.complexity(rows), simplicity.complexity(rows[:, ::-1]))


def test_random_functions_are_those_of_the_formula() -> None:
    found = simplicity.random_functions(3, bits=3, widths=[5], activation="tanh", weight_std=2.0, bias_std=0.5, seed=4)
    draw = tw.randomness.generator(4, "random functions", 0)
    w1 = torch.randn(1000, 3, 5, generator=draw) * 2 / math.sqrt(3)
    b1 = torch.randn(1000, 1, 5, generator=draw) * 0.5
    w2 = torch.randn(1000, 5, 1, generator=draw) * 2 / math.sqrt(5)
    b2 = torch.randn(1000, 1, 1, generator=draw) * 0.5
    x = boolean_inputs(3)
    assert x[5].tolist() == [1.0, 0.0, 1.0]
    for net in range(3):
        values = torch.tanh(x @ w1[net] + b1[net]) @ w2[net] + b2[net]
        assert found[net].tolist() == (values[:, 0] > 0).int().tolist()
    assert np.array_equal(simplicity.random_functions(1_200)[:1_000], simplicity.random_functions(1_000))


@pytest.mark.parametrize(("activation", "weight", "bias"), [("relu", math.sqrt(2), 0.1), ("tanh", 1.0, 0.2)])
def test_random_nets_prefer_simple_functions(activation: str, weight: float, bias: float) -> None:
    functions = simplicity.random_functions(20_000, activation=activation, weight_std=weight, bias_std=bias, seed=500)
    found = simplicity.function_prior(functions)
    assert found.slope.high < -0.02
    assert found.ratio.high < 0.9
    assert 50 < len(found["complexity"]) < 300
    assert found.slope.n == found.slope_without_balance.n == 10_000  # the nets that are resampled
    dots, alone, balanced = found.probabilities("nets").panels[0].marks
    assert np.abs(dots.x - found["complexity"]).max() < 1.75  # half a step between complexities
    for line, slope in ((alone, found.slope_without_balance), (balanced, found.slope)):
        assert np.diff(line.y) / np.diff(line.x) == pytest.approx(slope.estimate)
    shown = found.complexities().panels[0].marks
    assert [int(one.heights.sum()) for one in shown] == [1_000, 1_000]
    assert len(found.figure().panels) == 2


def test_functions_of_a_biased_coin_have_a_slope_only_without_their_balance() -> None:
    draw = np.random.default_rng(3)
    functions = draw.random((100_000, 128)) < draw.beta(0.05, 0.05, (100_000, 1))
    found = simplicity.function_prior(functions)
    assert found.slope.low < 0 < found.slope.high
    assert found.slope_without_balance.high < 0
    assert abs(found.ratio.estimate - 1) < 0.02


def test_uniform_functions_are_no_simpler_than_shuffled_ones() -> None:
    functions = np.random.default_rng(2).integers(0, 2, (1_000, 128))
    found = simplicity.function_prior(functions)
    assert abs(found.ratio.estimate - 1) < 0.02
    assert math.isnan(found.slope.estimate)
    assert "too few" in found.slope.method
    assert [mark.label for mark in found.probabilities().panels[0].marks] == ["functions"]
    assert len(found["complexity"]) == 0


def test_what_are_no_functions_is_refused() -> None:
    with pytest.raises(tw.UsageError, match="needs bits, 0 and 1; got numbers from -1 to 1"):
        simplicity.complexity([[-1, 1]])
    with pytest.raises(tw.UsageError, match="table"):
        simplicity.lempel_ziv_words([0, 1])
    with pytest.raises(tw.UsageError, match="two halves"):
        simplicity.function_prior([[0, 1]])
    with pytest.raises(tw.UsageError, match="at most 16"):
        simplicity.random_functions(10, bits=20)
