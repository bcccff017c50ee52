"""Families that need trainings: on random labels they say nothing, on true ones they do, and overlap is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import gammaln

import thalweg as tw
from thalweg.data import Data, Examples
from thalweg.errors import ModelError, UsageError
from thalweg.generalization import bounds
from thalweg.generalization.bounds import Certificate
from thalweg.generalization.bounds.gibbs import gibbs_wrong
from thalweg.generalization.bounds.posterior import Gaussian, optimized
from thalweg.generalization.bounds.straight_through import Placed, on_levels, ternary_bits
from thalweg.progress import ignore

SEEDS = [500, 501]
DIGITS = tw.data.digits().subset(train=800, test=300)


def recipe(rate: float, steps: int) -> tw.Recipe:
    return tw.Recipe(tw.optim.Adam(rate), steps=steps, batch_size=100, evaluate=1)


def certificates(problem: tw.Problem, seeds: list[int]) -> dict[str, Certificate]:
    quiet: dict[str, Any] = {"seeds": seeds, "progress": None}
    return {
        "half": bounds.half_prior(problem, recipe(3e-3, 250), sigmas=[0.03], draws=100, **quiet),
        "free": bounds.data_free(problem, recipe(0.02, 250), prior_stds=[0.6], draws=100, **quiet),
        "subspace": bounds.random_subspace(problem, recipe(0.1, 200), 100, 3, steps=[1.0], **quiet),
        "linear": bounds.quantized_linear(problem, recipe(0.02, 200), **quiet),
    }


def test_on_random_labels_every_bound_is_that_of_a_guess() -> None:
    labels = torch.randint(10, (300,), generator=torch.Generator().manual_seed(1))
    data = Data(Examples(torch.as_tensor(DIGITS.train.inputs)[:300], labels), classes=10)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 20, 10), data)
    for name, found in certificates(problem, SEEDS).items():
        assert (found["bound"] >= 0.9).all(), name


def test_on_true_labels_they_say_something_and_test_examples_do_not_contradict() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 20, 10), DIGITS)
    found = certificates(problem, SEEDS)
    assert (found["half"]["bound"] < 0.4).all()
    for name, one in found.items():
        assert (one["bound"] < 0.9).all(), name
        assert not one["contradicted"].any(), name
        assert (one["bound by candidate"] >= one["error by candidate"]).all()
        assert (one["bound"] == one["bound by candidate"].min(0)).all()
        assert one.figure().png()[:4] == b"\x89PNG"
    assert {one.row.about for one in found.values()} == {"networks drawn around it", "the quantized network"}


def test_the_prior_did_not_see_the_bounds_examples() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), DIGITS)
    quick = recipe(0.01, 5)
    with pytest.raises(UsageError, match=r"share .* of 400 examples, so the prior saw"):
        bounds.half_prior(
            problem, quick, prior=tw.Sample("train", 400), bound=tw.Sample("train", 400, seed=1), progress=None
        )
    train = problem.data.train
    assert isinstance(train, Examples)
    first, second = train.select(torch.arange(400)), train.select(torch.arange(399, 800))
    with pytest.raises(UsageError, match="share 1 of 401"):
        bounds.half_prior(problem, quick, prior=first, bound=second, progress=None)
    with pytest.raises(UsageError, match="together, or neither"):
        bounds.half_prior(problem, quick, prior=first, progress=None)
    with pytest.raises(UsageError, match="twice in a row"):
        bounds.half_prior(problem, quick, examples=[[1, 1, 2, 3]], progress=None)


def test_given_samples_are_used_as_given() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), DIGITS)
    train = problem.data.train
    assert isinstance(train, Examples)
    first, second = train.select(torch.arange(300)), train.select(torch.arange(300, 400))
    found = bounds.half_prior(
        problem, recipe(0.01, 60), prior=first, bound=second, sigmas=[0.001], draws=20, seeds=[500], progress=None
    )
    assert found.reading.sample_size == found.row.examples == 100
    only = tw.Problem(lambda: tw.nets.mlp(64, 10), Data(first, classes=10))
    run = tw.train(only, recipe(0.01, 60), seeds=[500], progress=None)
    error = 1 - float(tw.evaluate(problem, run.final, second)["accuracy"])
    assert found["error"][0] == pytest.approx(error, abs=0.01)


def test_each_seed_may_have_its_own_examples() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), DIGITS)
    table = torch.arange(800).view(2, 400)
    found = bounds.half_prior(
        problem, recipe(0.01, 60), examples=table, sigmas=[0.01], draws=20, seeds=SEEDS, progress=None
    )
    assert found.row.examples == 200
    assert (found["bound"] < 0.7).all()


def test_a_union_over_candidates_is_paid() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), DIGITS)
    few, many = (
        bounds.random_subspace(problem, recipe(0.1, 20), 20, 2, steps=steps, seeds=[500], progress=None)
        for steps in ([1.0], [1.0, 2.0, 3.0, 4.0])
    )
    assert few["bits"][0, 0] == 40
    assert many["bits"][0, 0] == 42
    assert many["error by candidate"][0] == pytest.approx(few["error by candidate"][0], abs=0.02)  # but for rounding
    assert many["bound by candidate"][0] > few["bound by candidate"][0]


def test_what_may_fail_in_all_holds_the_part_of_the_draws() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), DIGITS)
    with pytest.raises(UsageError, match="leaves nothing for the bound"):
        bounds.data_free(problem, recipe(0.01, 5), delta=0.05, monte_carlo_delta=0.05, progress=None)
    with pytest.raises(UsageError, match="above 0 and below 1"):
        bounds.random_subspace(problem, recipe(0.01, 5), 10, 2, delta=1.0, progress=None)


def test_arguments_that_cannot_be_meant() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), DIGITS)
    swept = tw.Recipe(tw.optim.Adam(tw.sweep.values([0.1, 0.2])), steps=5)
    with pytest.raises(UsageError, match="leave sweeps out"):
        bounds.half_prior(problem, swept, progress=None)
    with pytest.raises(UsageError, match="standard deviations above 0"):
        bounds.half_prior(problem, recipe(0.1, 5), sigmas=[0.0], progress=None)
    with pytest.raises(UsageError, match="each by itself"):
        bounds.data_free(problem, tw.Recipe(tw.optim.Muon(0.1), steps=5), progress=None)
    with pytest.raises(UsageError, match="bits for each"):
        bounds.random_subspace(problem, recipe(0.1, 5), [10, 20], [2], progress=None)
    with pytest.raises(UsageError, match="codes"):
        bounds.quantized_linear(problem, recipe(0.1, 5), codes=["octal"], progress=None)
    regression = tw.data.gaussian_linear(20, 3, test=0)
    numbers = tw.Problem(lambda: torch.nn.Linear(3, 1), regression, "squared_error")
    with pytest.raises(ModelError, match="share of wrong answers"):
        bounds.half_prior(numbers, recipe(0.1, 5), progress=None)


def test_sigma_is_a_standard_deviation() -> None:
    """One weight w = 1 on inputs 1 with target yes: a draw w + sigma e is wrong where e < -1/sigma."""
    x = torch.ones(4, 1)
    problem = tw.Problem(lambda: torch.nn.Linear(1, 1, bias=False), (x, torch.ones(4, 1)), "logistic")
    at = problem.initialize(1).with_theta(torch.ones(1, 1))
    found = gibbs_wrong(problem, at, torch.tensor([[0.5]]), problem.data.train, draws=4_000, seeds=[0], stream="test")
    expected = 0.02275  # Phi(-2); with the variance in its place Phi(-1 / sqrt 0.5) = 0.079
    assert abs(found[0] - expected) < 4 * (expected / 4_000) ** 0.5


def test_the_posterior_is_trained_to_a_smaller_bound() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), DIGITS)
    population = problem.initialize(SEEDS)
    theta = population.theta
    prior = Gaussian(theta, theta.new_full((2, 1), 1.0))
    start = Gaussian(theta, theta.new_full((2, 1), 0.05))
    found = optimized(
        problem, population, prior, start, recipe(0.03, 150), m=800, delta=0.05, classes=10, shaped=True, seeds=SEEDS,
        rows=None, label="test", told=ignore,
    )  # fmt: skip
    bound = []
    for one in (start, found):
        error = gibbs_wrong(
            problem, population.with_theta(one.mean), one.std, problem.data.train, draws=30, seeds=SEEDS, stream="test"
        )
        bound.append(bounds.pac_bayes_quadratic(error, one.kl(prior), 800, 0.05))
    assert (bound[1] < 0.6 * bound[0]).all()


def test_levels_lie_evenly_around_zero() -> None:
    for count in (2, 3, 4, 8):
        found = on_levels(torch.linspace(-9, 9, 1_001)[None], torch.tensor([[count]])).unique()
        assert len(found) == count
        assert torch.allclose(found, -found.flip(0))
        assert torch.allclose(found.diff(), torch.ones(count - 1))


def test_ternary_codes_satisfy_kraft() -> None:
    """All codes of three numbers: the sum of 2^-bits is at most 1."""
    every = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 5)
    assert (2.0 ** -ternary_bits(every)).sum() == pytest.approx(1, abs=1e-12)
    counts = np.array([2, 2, 1])
    exact = (gammaln(6) - gammaln(counts + 1).sum()) / np.log(2) + np.log2(21)
    assert ternary_bits(torch.tensor([[-1.0, -1.0, 0.0, 0.0, 1.0]]))[0] == pytest.approx(exact)


def test_costs_are_said_beforehand() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), DIGITS)
    cost = bounds.half_prior_cost(problem, recipe(0.1, 10), seeds=2, sigmas=[0.1], posterior=recipe(0.1, 5), draws=50)
    found = bounds.half_prior(
        problem, recipe(0.1, 10), seeds=2, sigmas=[0.1], posterior=recipe(0.1, 5), draws=50, progress=None
    )
    assert found.cost == cost
    assert cost.steps == 2 * (10 + 5)
    assert cost.draws == 2 * 2 * (50 + 50)


def test_a_hold_out_bound_is_smaller_than_pac_bayes_by_the_same_half() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 20, 10), DIGITS)
    given: dict[str, Any] = {"seeds": SEEDS, "progress": None}
    counted = bounds.half_hold_out(problem, recipe(3e-3, 250), **given)
    noisy = bounds.half_prior(problem, recipe(3e-3, 250), sigmas=[0.01], draws=50, **given)
    assert counted["bound"] == pytest.approx(noisy["hold-out bound"])
    assert noisy.network is not None
    for name in ("bound", "held-out error", "contradicted"):
        np.testing.assert_array_equal(noisy.network[name], counted[name])
    assert noisy.network.cost == counted.cost
    assert (counted["bound"] < noisy["bound"]).all()
    assert counted.row.about == "the network"
    assert not counted["contradicted"].any()


def test_how_many_examples_a_bound_needs() -> None:
    found = bounds.examples_needed(lambda m: bounds.finite_class(0.0, m, 1_000.0, 0.05), 0.5, least=1)
    assert found == int(np.ceil((1_000 + np.log(20)) / (2 * 0.25)))
    assert bounds.examples_needed(lambda m: 0.0) == 8
    with pytest.raises(UsageError, match="may never be"):
        bounds.examples_needed(lambda m: 2.0)


def test_codes_become_weights_by_the_matrix_of_their_seed() -> None:
    draw = torch.Generator().manual_seed(0)
    base, codes = torch.randn(6, 7, generator=draw), torch.randn(6, 4, generator=draw)
    maps, scale = torch.randn(3, 4, 7, generator=draw), torch.rand(6, 1, generator=draw)
    placed, out, gradient = Placed(base, scale, maps), torch.empty(6, 7), torch.randn(6, 7, generator=draw)
    placed.weights(codes, out)
    pulled = placed.pulled(gradient)
    for member in range(6):
        own = scale[member] * maps[member % 3]
        assert torch.allclose(out[member], base[member] + codes[member] @ own, atol=1e-6)
        assert torch.allclose(pulled[member], own @ gradient[member], atol=1e-6)


def test_each_seed_is_looked_at_on_its_own_test_examples() -> None:
    """Of one set of examples for both: each seed is trained on some, and tested on others."""
    whole = DIGITS.train
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), Data(whole, whole, classes=10))
    orders = torch.stack([torch.randperm(800, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS])
    mine, others = orders[:, :500], orders[:, 500:]
    quiet: dict[str, Any] = {"seeds": SEEDS, "examples": mine, "progress": None}
    families = (
        lambda **own: bounds.half_hold_out(problem, recipe(0.02, 60), **quiet, **own),
        lambda **own: bounds.half_prior(problem, recipe(0.02, 60), sigmas=[0.001], draws=20, **quiet, **own),
        lambda **own: bounds.data_free(problem, recipe(0.02, 60), prior_stds=[1.0], draws=20, **quiet, **own),
        lambda **own: bounds.random_subspace(problem, recipe(0.1, 60), 50, 3, steps=[1.0], **quiet, **own),
        lambda **own: bounds.quantized_linear(problem, recipe(0.02, 60), codes=["sign"], **quiet, **own),
    )
    for family in families:
        found = family(test_examples=others)
        again = family(test_examples=others[:, :1])
        np.testing.assert_array_equal(found["bound"], again["bound"])
        assert (found["held-out error"] != again["held-out error"]).any()
    alone = tw.Problem(lambda: tw.nets.mlp(64, 10), Data(whole, classes=10))
    with pytest.raises(UsageError, match="has none"):
        bounds.half_hold_out(alone, recipe(0.02, 5), test_examples=others, **quiet)
