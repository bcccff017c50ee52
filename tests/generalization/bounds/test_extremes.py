"""Inequalities where numbers end: a bound is a number or infinite, and what cannot be meant is refused."""

from math import comb

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import nn

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.generalization import bounds
from thalweg.generalization.bounds.posterior import Gaussian

SMALLEST = 5e-324


@pytest.mark.parametrize("delta", [0.05, 1e-7, 2.6e-13, 1e-40])
@pytest.mark.parametrize("m", [10, 499, 500, 1_000, 66_334_470])
def test_hold_out_inverts_the_binomial_at_any_confidence(m: int, delta: float) -> None:
    """Libraries have returned nearly 1 for 0 of 1,000 at 1e-7, and jumped between 75 and 76 of many."""
    k = np.array([k for k in (0, 1, 2, 17, 75, 76) if 2 * k <= m])
    high, low = bounds.hold_out(k, m, delta), bounds.hold_out_lower(k, m, delta)
    assert binom.logcdf(k, m, high) == pytest.approx(np.full(len(k), np.log(delta)), rel=1e-6)
    some = k > 0
    assert binom.logsf(k[some] - 1, m, low[some]) == pytest.approx(np.full(some.sum(), np.log(delta)), rel=1e-6)
    assert (low[~some] == 0).all()
    assert (np.diff(high) > 0).all()
    assert high[0] == pytest.approx(-np.expm1(np.log(delta) / m), rel=1e-9)


@pytest.mark.parametrize(
    ("mean", "std", "prior_std", "expected"),
    [
        (0.0, 1e-200, 1.0, 200 * np.log(10) - 0.5),
        (0.0, 1.0, 1e200, 200 * np.log(10) - 0.5),
        (0.0, 1e200, 1.0, np.inf),
        (1e200, 1.0, 1.0, np.inf),
        (np.inf, 1.0, 1.0, np.inf),
        (np.nan, 1.0, 1.0, np.inf),
        (0.0, np.nan, 1.0, np.inf),
        (0.0, np.inf, np.inf, np.inf),
        (0.0, 1 + 1e-9, 1.0, 1e-18),
    ],
)
def test_the_divergence_of_gaussians_is_a_number_or_infinite(mean, std, prior_std, expected) -> None:
    assert bounds.gaussian_kl([mean], std, [0.0], prior_std) == pytest.approx(expected, rel=1e-6)


def test_a_posterior_that_diverged_is_infinitely_far_and_leaves_the_others() -> None:
    ones = torch.ones(4, 3)
    mean, std = torch.zeros(4, 3), torch.ones(4, 3)
    mean[1, 0], std[2, 0], std[3, 0] = torch.nan, torch.nan, 0.0
    found = Gaussian(mean, std).kl(Gaussian(torch.zeros(4, 3), ones))
    assert found.tolist() == [0.0, np.inf, np.inf, np.inf]


def test_sizes_at_the_ends_give_no_nan_and_no_warning() -> None:
    assert bounds.linear_complexity(0.0, [np.inf, 1.0]) == np.inf
    assert bounds.linear_complexity(1.0, [1e200]) == np.inf
    assert bounds.bartlett(0.0, 100, 1.0, 1.0, 10, 0.05, margin=1e-320) == np.inf
    assert bounds.bartlett_generous(0.0, 100, 1.0, 1.0, margin=1e-320) == np.inf
    assert bounds.spectral_complexity([1e200] * 3, [1e-200] * 3) == pytest.approx(3**1.5 * 1e200)
    assert bounds.spectral_complexity([1e-300] * 3, [1e300] * 3) == pytest.approx(3**1.5 * 1e-300)
    assert bounds.spectral_complexity([2.0, 3.0], [0.0, 0.0]) == 0
    assert bounds.pac_bayes_quadratic(0.5, 1e308, 8, 0.05) > 1e306
    assert bounds.pac_bayes_lambda(0.5, 1.0, 8, 0.05, trade_off=1e-320) == np.inf


def test_a_confidence_next_to_certainty_has_a_bound() -> None:
    found = [
        bounds.pac_bayes_kl(0.1, 3.0, 10**6, SMALLEST),
        bounds.mcallester(0.1, 3.0, 10**6, SMALLEST),
        bounds.monte_carlo(0.1, 10**6, SMALLEST),
        bounds.rademacher(0.1, 10**6, 0.0, SMALLEST),
        bounds.bartlett(0.1, 10**6, 0.0, 0.0, 3, SMALLEST, margin=1.0),
        bounds.vc(0.1, 10**6, 1, SMALLEST),
        bounds.cover(0.1, 10**6, 1, 0.0, 0.0, SMALLEST),
        bounds.hold_out(10**5, 10**6, SMALLEST),
    ]
    assert all(0.1 < one < 0.3 for one in found)


def test_counts_are_whole() -> None:
    with pytest.raises(UsageError, match="weights must be a whole number, at least 1; got nan"):
        bounds.relu_dimension([np.nan], [1])  # type: ignore[list-item]
    with pytest.raises(UsageError, match=r"outputs must be a whole number, at least 1; got 0\.5"):
        bounds.rademacher(0.1, 100, 0.1, 0.05, outputs=0.5)
    with pytest.raises(UsageError, match="draws must be a whole number, at least 1; got 0"):
        bounds.monte_carlo(0.1, 0, 0.05)


def test_what_is_refused_is_said_with_all_its_digits() -> None:
    with pytest.raises(UsageError, match=r"got 1\.000000000001\. Divide"):
        bounds.occam(1 + 1e-12, 100, 10, 0.05)
    with pytest.raises(UsageError, match=r"got nan\. Count as wrong"):
        bounds.occam(np.nan, 100, 10, 0.05)


def test_what_is_no_number_bounds_nothing() -> None:
    row = bounds.BoundRow("mine", np.array([np.nan]), np.array([0.0]), "the network", 100, 0.95)
    assert row.vacuous(10).tolist() == [True]
    with pytest.raises(UsageError, match="NaN neither holds nor fails"):
        bounds.violations([np.nan, 1.0], [0.5, 0.5])
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits().subset(train=20, test=20))
    with pytest.raises(UsageError, match="bound of mine is NaN"):
        bounds.board(problem, problem.initialize(1), more=[row])


def test_trained_networks_are_not_their_own_beginning() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits().subset(train=20, test=20))
    run = tw.train(problem, tw.Recipe(tw.optim.Adam(0.01), steps=3, batch_size=10, evaluate=1), seeds=2)
    with pytest.raises(UsageError, match="before it saw the examples, and here it is the networks themselves"):
        bounds.board(problem, run.final, initial=run.final)


def test_a_model_of_one_class_has_no_margins() -> None:
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(lambda: nn.Linear(4, 1), (x, torch.zeros(20, dtype=torch.long)))
    with pytest.raises(ModelError, match="one output for one class, so that every answer is right"):
        bounds.margins(problem, problem.initialize(1))


@pytest.mark.parametrize("value", [0.0, 1.0, 1e38])
def test_inputs_that_are_all_the_same_have_bounds(value: float) -> None:
    data = (torch.full((30, 4), value), torch.arange(30) % 3)
    problem = tw.Problem(lambda: tw.nets.mlp(4, 3, 3), data)
    found = bounds.board(problem, problem.initialize(2), initial=problem.initialize([9]), draws=2)
    assert not np.isnan(found["bound"]).any()
    assert found["vacuous"][[row.generous is False for row in found.rows]].all()


def test_too_few_examples_are_refused_before_training() -> None:
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(lambda: tw.nets.mlp(4, 3), (x, torch.arange(9) % 3))
    recipe = tw.Recipe(tw.optim.Adam(0.01), steps=10**9, batch_size=2)  # would never end
    with pytest.raises(UsageError, match=r"half_prior bound's m must be .* at least 8"):
        bounds.half_prior(problem, recipe)
    with pytest.raises(UsageError, match=r"data_free m must be .* at least 8"):
        bounds.data_free(problem, recipe, examples=[[0, 1, 2, 3, 4, 5, 6]])


def test_a_posterior_whose_training_diverged_has_the_bound_of_a_guess() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits().subset(train=40, test=20))
    recipe = tw.Recipe(tw.optim.SGD(1e10), steps=10, batch_size=10, evaluate=1)
    assert bounds.data_free(problem, recipe, prior_stds=[1.0], draws=2)["bound"].tolist() == [1.0]


def test_a_network_of_zeros_has_measures() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 4, 10, bias=False), tw.data.digits().subset(train=40, test=20))
    start = problem.initialize(2)
    zero = start.with_theta(torch.zeros_like(start.theta))
    found = bounds.complexity_measures(problem, zero, initial=start, draws=1, sharpness_steps=1)
    assert (found["spectral complexity over margin"] == np.inf).all()
    assert found["stable rank"].tolist() == [0.0, 0.0]


def test_a_mask_is_paid_for_and_so_are_the_ends_of_ranges_in_float64() -> None:
    """A mask that training chose tells as much of the examples as weights do."""
    x = torch.randn(3_000, 4, generator=torch.Generator().manual_seed(0))
    lengths = {}
    for dtype in (torch.float32, torch.float64):
        problem = tw.Problem(lambda: tw.nets.mlp(4, 3), (x, torch.arange(3_000) % 3), dtype=dtype)
        whole = problem.initialize(1)
        whole = whole.with_theta(torch.zeros_like(whole.theta))  # as well with two bits a weight as with more
        masked = whole.with_mask(torch.arange(15) < 5)
        lengths[dtype] = [length_of(bounds.board(problem, one)) for one in (whole, masked)]
    for whole, masked in lengths.values():
        assert masked == pytest.approx(whole - 10 * 2 + np.log2(16) + np.log2(comb(15, 5)), abs=0.01)
    assert lengths[torch.float64][0] - lengths[torch.float32][0] == pytest.approx(2 * 2 * 32, abs=0.01)


def test_a_prior_with_the_mask_that_training_chose_is_paid_for() -> None:
    x = torch.randn(3_000, 4, generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(lambda: tw.nets.mlp(4, 3), (x, torch.arange(3_000) % 3))
    start = problem.initialize(1)
    zero, mask = start.with_theta(torch.zeros_like(start.theta)), torch.arange(15) < 5
    rows = [
        bounds.board(problem, one, initial=zero, draws=20).row("PAC-Bayes, from the initialization")
        for one in (start.with_mask(mask), start.with_theta(start.theta * mask))
    ]
    assert rows[0].bound > rows[1].bound + 0.001
    assert rows[0].error == pytest.approx(rows[1].error, abs=0.05)


def length_of(board: bounds.Board) -> float:
    """Bits of the network with quantized weights, by its bound of what it errs."""
    row = board.row("Occam, quantized weights")
    return float((bounds.binary_kl(row.error, row.bound)[0] * row.examples + np.log(0.05)) / np.log(2))
