"""The rank correlation's interval: its coverage by simulation, and its ends."""

import math

import numpy as np
import pytest
from scipy import stats

from thalweg.errors import UsageError
from thalweg.statistics import rank_correlation


def test_the_estimate_is_scipys() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 6, 20), draw.integers(0, 6, 20)
    assert rank_correlation(x, y).estimate == pytest.approx(stats.kendalltau(x, y).statistic)


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_it_covers_the_truth(rho: float) -> None:
    draw, true, held = np.random.default_rng(1), 2 / math.pi * math.asin(rho), 0
    for _ in range(150):
        x = draw.standard_normal(12)
        y = rho * x + math.sqrt(1 - rho**2) * draw.standard_normal(12)
        found = rank_correlation(x, y)
        held += found.low <= true <= found.high
    assert held >= 0.88 * 150  # 94 %, less three errors


def test_the_sign_of_the_score_turns_it() -> None:
    draw = np.random.default_rng(2)
    x = draw.standard_normal(15)
    y = x + draw.standard_normal(15)
    one, other = rank_correlation(x, y), rank_correlation(-x, y)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert -1 <= one.low < one.estimate < one.high <= 1


@pytest.mark.parametrize("sign", [1, -1])
def test_agreement_in_all_pairs_leaves_doubt(sign: int) -> None:
    found = rank_correlation(np.arange(8), sign * np.arange(8.0))
    assert found.estimate == sign
    near = rank_correlation(np.arange(8), [1, 0, 2, 3, 4, 5, 6, 7])
    assert (found.low, found.high) == pytest.approx(sorted((sign, sign * near.low)))


@pytest.mark.parametrize("n", [5, 8, 16])
def test_at_the_end_of_that_doubt_agreement_is_rare(n: int) -> None:
    draw, rho = np.random.default_rng(3), math.sin(math.pi / 2 * rank_correlation(np.arange(n), np.arange(n)).low)
    x, noise = draw.standard_normal((2, 20_000, n))
    agree = (x.argsort(1) == (rho * x + math.sqrt(1 - rho**2) * noise).argsort(1)).all(1)
    assert agree.mean() < 0.025 + 3 * (0.025 / 20_000) ** 0.5


def test_what_is_not_finite_is_left_out_and_too_few_have_no_interval() -> None:
    found = rank_correlation([1, 2, 3, 4, 5, math.nan], [1, 2, 4, 3, 5, 0])
    assert found.n == 5
    assert not rank_correlation([1, 2, 3], [1, 3, 2]).known
    assert not rank_correlation(np.ones(9), np.arange(9)).known
    with pytest.raises(UsageError, match="as many scores as outcomes"):
        rank_correlation([1, 2], [1, 2, 3])
