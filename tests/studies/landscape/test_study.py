"""The study of the landscape: its parts against ground truth, and its verdicts at quick scale."""

import numpy as np
import pytest
import torch
from scipy import stats
from studies.quick import claims_of

import thalweg as tw
from thalweg.nets import mlp, resnet
from thalweg.studies.landscape import concentration, filters

VERDICTS = {
    "LAN7": "holds",
    "LAN2": "holds",
    "LAN1": "holds",
    "LAN8": "holds",
    "LAN3": "holds",
    "LAN5": "undecided",
    "LAN4": "holds",
    "LAN6": "holds",
}


@pytest.mark.parametrize("dimension", [2, 10, 1_000])
def test_distances_and_volumes_are_those_of_their_laws(dimension: int) -> None:
    pairs = 20_000
    spread, inside = concentration.measured(dimension, pairs, 0)
    distances = stats.chi(dimension)
    # the standard error of a relative spread r is at most r sqrt(1/(2 n) + r^2/n) of a nearly normal sample
    exact = distances.std() / distances.mean()
    assert abs(spread - exact) < 4 * exact * np.sqrt((0.5 + exact**2) / pairs)
    volume = 1 - (1 - concentration.SHELL) ** dimension
    count = concentration.points_of(dimension)
    assert abs(inside / count - volume) <= 4 * np.sqrt(volume * (1 - volume) / count)
    assert volume * count >= concentration.IN_SHELL * 0.99


def test_a_spread_is_relative() -> None:
    distances = torch.tensor([1.0, 2.0, 3.0])
    assert concentration.spread_of(distances) == concentration.spread_of(5 * distances) == 0.5


def test_rescaling_leaves_the_functions() -> None:
    images = tw.data.digits(image=True).train.inputs[:20]
    problem = tw.Problem(lambda: resnet(4), tw.data.digits(image=True))
    population = problem.initialize(1)
    other = filters.filters_rescaled(problem, population, 0)
    for mode in (True, False):
        modules = [one.module(0).train(mode) for one in (population, other)]
        torch.testing.assert_close(modules[0](images), modules[1](images), rtol=1e-2, atol=1e-2)  # eps is not scaled
    assert not torch.equal(population.theta, other.theta)
    plain = tw.Problem(lambda: mlp(64, 16, 10), tw.data.digits())
    dense = plain.initialize(1)
    changed = filters.units_rescaled(plain, dense, 0)
    assert not torch.equal(dense.theta, changed.theta)
    x = tw.data.digits().train.inputs[:20]
    torch.testing.assert_close(dense.module(0)(x), changed.module(0)(x), rtol=1e-4, atol=1e-5)


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("landscape")
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    assert not [name for name, claim in found.items() if "shortfall" in claim]
