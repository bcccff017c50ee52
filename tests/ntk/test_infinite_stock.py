"""Stock modules as they are initialized: the limit against the mean of finite networks, by a z-test of every entry.

Beside its standard error a mean may differ by what a finite width leaves, 1.5 % of the largest entry.
"""

import json
from pathlib import Path

import pytest
import torch
from modules_of_limits import STOCK
from torch import Tensor, nn
from torch.func import functional_call, jacrev

import thalweg as tw
from thalweg.randomness import global_stream

NETWORKS = 24
BIAS = 0.015  # of finite width, relative to the largest entry
LARGEST = 5.0  # standard errors


def tangent(module: nn.Module, inputs: Tensor) -> Tensor:
    """Theta of one network, by its Jacobian."""
    parameters = {name: one.detach() for name, one in module.named_parameters()}
    jacobian = jacrev(lambda p: functional_call(module, p, (inputs,))[:, 0])(parameters)
    rows = torch.cat([one.reshape(len(inputs), -1) for one in jacobian.values()], 1)
    return (rows @ rows.T).double()


def kernels(make, inputs: Tensor) -> Tensor:
    found = []
    for seed in range(NETWORKS):
        with global_stream(seed, "test"), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            found.append(tangent(make(), inputs))
    return torch.stack(found)


@pytest.mark.parametrize("name", STOCK)
def test_the_limit_is_the_mean_of_finite_networks(name):
    stock = STOCK[name]
    with global_stream(0, "test"):
        module = stock.make()
    limit = tw.ntk.infinite(module, parameterization="as_initialized", progress=None).kernels(stock.inputs)
    measured = kernels(stock.make, stock.inputs)
    error = measured.std(0) / NETWORKS**0.5
    apart = (measured.mean(0) - limit.ntk).abs() - BIAS * limit.ntk.max()
    assert float((apart / error).max()) < LARGEST
    assert float(error.max() / limit.ntk.max()) < 0.06  # the networks say something


def test_other_kernels_are_told_apart():
    """The test can fail: the same networks against the limit without biases, and of another activation."""
    stock = STOCK["relu"]
    measured = kernels(stock.make, stock.inputs)
    error = measured.std(0) / NETWORKS**0.5
    other = tw.ntk.infinite(STOCK["gelu"].make(), parameterization="as_initialized", progress=None).ntk(stock.inputs)
    apart = (measured.mean(0) - other).abs() - BIAS * other.max()
    assert float((apart / error).max()) > LARGEST


def test_recorded_means_of_many_networks_lie_near_their_limits():
    """Distance and ball together below 5 %, for every module here."""
    recorded = json.loads((Path(__file__).parent / "recorded" / "stock_limits.json").read_text())
    assert set(recorded) == {*STOCK, "deep"}
    for name, row in recorded.items():
        assert row["nngp"] + row["nngp ball"] < 0.05, name
        assert row["ntk"] + row["ntk ball"] < 0.05, name
