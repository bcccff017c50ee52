"""The study of the landscape: its laws against brute force, and quick scale end to end."""

import numpy as np
import pytest
import torch
from scipy import stats
from studies.quick import claims_of

import thalweg as tw
from thalweg.nets import mlp, resnet
from thalweg.studies.landscape import concentration, filters


@pytest.mark.parametrize("dimension", [1, 2, 10, 999, 1_000, 10_000])
def test_the_law_of_distances_is_that_of_the_chi_distribution(dimension: int) -> None:
    wanted = stats.chi.std(dimension) / stats.chi.mean(dimension)
    assert concentration.relative_spread(dimension) == pytest.approx(wanted, rel=1e-5)


def test_the_law_of_volumes() -> None:
    assert concentration.in_shell(2) == pytest.approx(1 - 0.99**2)
    assert concentration.in_shell(10_000) == pytest.approx(1)


def test_rescaling_leaves_the_functions() -> None:
    images = tw.data.digits(image=True).train.inputs[:20]
    population = tw.Population.initialize(lambda: resnet(4), [0])
    other = filters.rescaled(population, 0)
    modules = [one.module(0).train() for one in (population, other)]
    assert not torch.equal(population.theta, other.theta)
    torch.testing.assert_close(modules[0](images), modules[1](images), rtol=1e-2, atol=1e-2)  # eps is not scaled
    dense = tw.Population.initialize(lambda: mlp(64, 16, 10), [0])
    changed = filters.units_rescaled(dense, 0)
    assert not torch.equal(dense.theta, changed.theta)
    x = tw.data.digits().train.inputs[:20]
    torch.testing.assert_close(dense.module(0)(x), changed.module(0)(x), rtol=1e-4, atol=1e-5)


def test_changes_are_the_largest_difference_by_the_larger_range() -> None:
    first = np.array([[[0.0, 1.0], [2.0, 4.0]]])
    assert filters.changes(first, first + np.array([[[0, 1.0], [0, 0]]])).tolist() == [0.25]
    assert filters.changes(first, 2 * first).tolist() == [0.5]


def test_quick_scale_decides_or_says_that_it_cannot() -> None:
    assert list(claims_of("landscape")) == [f"LAN{number}" for number in (7, 2, 1, 8, 3, 5, 4, 6)]
