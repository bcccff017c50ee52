"""Gradient noise and the penalty it makes, against gradients of batches that are drawn or all there are."""

import itertools

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.generalization import implicit


def _problem(n: int = 6, model=lambda: tw.nets.mlp(3, 4, 2)) -> tw.Problem:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 3, generator=draw), torch.randint(2, (n,), generator=draw)
    return tw.Problem(model, tw.data.Data(tw.data.Examples(x, y), classes=2), dtype=torch.float64)


def _gradients(problem: tw.Problem, population: tw.Population, rows: list[list[int]]) -> torch.Tensor:
    """Of these batches: (batches, members, parameters)."""
    train = problem.data.train
    made = [tw.population.Batch.of(train, torch.tensor([one])) for one in rows]
    return torch.stack([tw.population.gradient(problem, population, batch) for batch in made])


def test_the_variance_of_batches_is_that_of_all_batches_there_are() -> None:
    problem = _problem()
    population = problem.initialize(2)
    found = implicit.gradient_noise(problem, population, batch_sizes=[1, 2, 3, 6])
    for place, size in enumerate((1, 2, 3, 6)):
        batches = _gradients(problem, population, [list(one) for one in itertools.combinations(range(6), size)])
        spread = ((batches - batches.mean(0)) ** 2).sum(2).mean(0)
        np.testing.assert_allclose(found["batch variance"][place], spread, rtol=1e-9, atol=1e-18)
    whole = _gradients(problem, population, [list(range(6))])[0]
    np.testing.assert_allclose(found["squared gradient"], (whole**2).sum(1), rtol=1e-10)
    np.testing.assert_allclose(found["noise scale"], found["trace"] / found["squared gradient"])
    found.figure()


def test_batches_are_as_noisy_as_the_gradient_below_the_noise_scale() -> None:
    problem, n = _problem(40), 40
    found = implicit.gradient_noise(problem, problem.initialize(2), batch_sizes=range(1, n + 1))
    scale = found["noise scale"]
    for member, size in enumerate(scale / (1 + scale / n)):
        variance = np.interp(size, np.arange(1, n + 1), found["batch variance"][:, member] * np.arange(1, n + 1)) / size
        assert variance == pytest.approx(found["squared gradient"][member])
        assert size < min(scale[member], n)


def test_a_sample_estimates_the_whole_without_bias() -> None:
    problem = _problem(40)
    population = problem.initialize(1)
    whole = implicit.gradient_noise(problem, population, batch_sizes=[5])
    parts = [
        implicit.gradient_noise(problem, population, on=tw.Sample("train", 10, seed), batch_sizes=[5])
        for seed in range(60)
    ]
    for name in ("trace", "squared gradient", "batch variance"):
        values = np.array([part[name].item() for part in parts])
        assert abs(values.mean() - whole[name].item()) < 4 * values.std() / 60**0.5
        assert values.std() > 0


def test_members_do_not_mix_and_a_mask_counts() -> None:
    problem = _problem()
    population = problem.initialize(3)
    found = implicit.gradient_noise(problem, population, batch_sizes=[1])["trace"]
    np.testing.assert_allclose(
        [implicit.gradient_noise(problem, one, batch_sizes=[1])["trace"].item() for one in population], found
    )
    mask = torch.arange(population.theta.shape[1]) < 12
    masked = population.with_mask(mask)
    rows = _gradients(problem, masked, [[k] for k in range(6)])[..., :12]
    expected = ((rows - rows.mean(0)) ** 2).sum((0, 2)) / 5
    np.testing.assert_allclose(implicit.gradient_noise(problem, masked, batch_sizes=[1])["trace"], expected)


def test_the_penalty_is_the_mean_over_all_ways_to_cut_an_epoch() -> None:
    problem, rate = _problem(4), 0.3
    population = problem.initialize(2)
    found = implicit.gradient_penalty(problem, population, rate, batch_size=2)
    whole = _gradients(problem, population, [[0, 1, 2, 3]])[0]
    cuts = [[[0, 1], [2, 3]], [[0, 2], [1, 3]], [[0, 3], [1, 2]]]
    spreads = [((_gradients(problem, population, cut) - whole) ** 2).sum(2).mean(0) for cut in cuts]
    np.testing.assert_allclose(found["batch penalty"], rate / 4 * torch.stack(spreads).mean(0), rtol=1e-9)
    np.testing.assert_allclose(found["gradient penalty"], rate / 4 * (whole**2).sum(1), rtol=1e-9)
    loss = tw.evaluate(problem, population, "train")["loss"]
    np.testing.assert_allclose(
        found["modified loss"], loss.numpy() + found["batch penalty"] + found["gradient penalty"], rtol=1e-12
    )
    full = implicit.gradient_penalty(problem, population, rate)
    assert (full["batch penalty"] == 0).all()
    found.figure()


def test_what_cannot_be_meant_is_refused() -> None:
    problem = _problem()
    population = problem.initialize(1)
    with pytest.raises(UsageError, match="at least 2 examples"):
        implicit.gradient_noise(problem, population, on=tw.Sample("train", 1))
    for sizes in ([], [2, 1], [7], [0]):
        with pytest.raises(UsageError, match="batch_sizes"):
            implicit.gradient_noise(problem, population, batch_sizes=sizes)
    with pytest.raises(UsageError, match="above 0"):
        implicit.gradient_penalty(problem, population, 0.0)
    with pytest.raises(UsageError, match="at most all examples"):
        implicit.sgd_noise_scale(0.1, 10, 11)
    weighted = tw.Problem(problem.model, problem.data, tw.losses.CrossEntropy(class_weights=[1.0, 2.0]))
    with pytest.raises(ModelError, match="weighted"):
        implicit.gradient_noise(weighted, weighted.initialize(1), batch_sizes=[1])
    drops = _problem(model=lambda: torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(3, 2)))
    assert implicit.gradient_noise(drops, drops.initialize(1), batch_sizes=[1])["trace"].item() > 0


def test_where_the_whole_gradient_is_0_the_noise_scale_is_infinite() -> None:
    data = (torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [1.0]]))
    problem = tw.Problem(lambda: tw.nets.mlp(1, 1, bias=False), data, "squared_error")
    start = problem.initialize(1)
    found = implicit.gradient_noise(problem, start.with_theta(torch.zeros_like(start.theta)), batch_sizes=[1])
    assert found["trace"] > 0
    assert found["noise scale"].tolist() == [np.inf]


def test_a_penalty_of_batches_larger_than_the_set_is_refused_by_its_name() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits().subset(train=20))
    with pytest.raises(UsageError, match="gradient_penalty batch_size is at most all 20"):
        implicit.gradient_penalty(problem, problem.initialize(1), 0.1, batch_size=50)
