"""Networks of several widths as one population."""

import itertools

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.generalization.double_descent import over_widths
from thalweg.generalization.double_descent.nested import BESIDE, columns_within, together, widened
from thalweg.guard import default_dtype


def _problem(width: int) -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, width, width, 10), tw.data.digits())


def test_a_widened_network_is_the_narrow_one() -> None:
    narrow, wide = _problem(3), _problem(7)
    small = narrow.initialize([4, 5])
    large, mask = widened(small, wide)
    x = tw.data.digits().test.inputs[:20]
    for member in range(2):
        torch.testing.assert_close(large.module(member)(x), small.module(member)(x))
    assert int(mask.sum()) == narrow.layout.parameters
    assert torch.equal(large.theta[:, columns_within(narrow.layout, wide.layout)], small.theta)
    assert large.theta[:, ~mask].count_nonzero() == 0


def test_widths_that_train_together_come_to_what_each_comes_to_alone() -> None:
    settings = {"n": 60, "layers": 2, "steps": 40, "batch_size": 20, "seeds": [600, 601], "evaluate": 4}
    both = over_widths(tw.data.digits(), [5, 9], progress=None, **settings)
    for place, width in enumerate([5, 9]):
        alone = over_widths(tw.data.digits(), [width], progress=None, **settings)
        assert both.networks[place].layout.parameters == alone.networks[0].layout.parameters
        torch.testing.assert_close(both.networks[place].theta, alone.networks[0].theta, rtol=1e-3, atol=1e-4)
        for name in ("wrong", "test loss", "Brier score", "train wrong"):
            np.testing.assert_allclose(both[name][place], alone[name][0], rtol=1e-2, atol=5e-3)


RULES = {name: rule(5e-3) for name, rule in tw.optim.RULES.items()} | {
    "muon by rms": tw.optim.Muon(5e-3, scale="rms"),
    "centralized": tw.optim.Centralized(tw.optim.Adam(5e-3)),
    "of torch": tw.optim.TorchOptimizer(5e-3, lambda parameters: torch.optim.Adafactor(parameters)),
}


@pytest.mark.parametrize("name", RULES)
def test_under_every_rule_a_width_comes_to_what_it_comes_to_alone(name: str) -> None:
    settings = {"n": 40, "layers": 2, "steps": 8, "batch_size": 20, "seeds": [600], "evaluate": 1}
    settings["optimizer"] = RULES[name]
    both = over_widths(tw.data.digits(), [5, 9], progress=None, **settings).networks[0].theta
    alone = over_widths(tw.data.digits(), [5], progress=None, **settings).networks[0].theta
    assert float((both - alone).norm() / alone.norm()) < 1e-4


def test_networks_are_in_the_default_dtype_around_the_call() -> None:
    with default_dtype(torch.float64):
        curve = over_widths(tw.data.digits(), [3], n=20, steps=4, batch_size=10, seeds=[600], evaluate=1, progress=None)
    assert curve.networks[0].theta.dtype is torch.float64
    assert np.isfinite(curve["test loss"]).all()


def test_sizes_are_put_together_in_the_least_time() -> None:
    def cost(groups: list[slice]) -> float:
        return sum(BESIDE + (one.stop - one.start) * parameters[one.stop - 1] * examples for one in groups)

    parameters, examples = [300, 700, 900, 4_000, 9_000, 30_000], 400
    ways = []
    for cuts in itertools.chain.from_iterable(itertools.combinations(range(1, 6), count) for count in range(6)):
        ways.append([slice(a, b) for a, b in itertools.pairwise([0, *cuts, 6])])
    assert len(ways) == 32
    assert cost(together(parameters, examples)) == min(map(cost, ways))
    assert together([5], 10) == [slice(0, 1)]
