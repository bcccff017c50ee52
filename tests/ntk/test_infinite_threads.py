"""Tiles that several threads compute, and what depends on two lengths alone."""

import pytest
import torch

import thalweg as tw
from thalweg.ntk.dual.gelu import GELU
from thalweg.ntk.dual.smooth import smooth


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_kernels_are_the_same_by_any_number_of_threads(threads):
    draw = torch.Generator().manual_seed(0)
    inputs, told = torch.randn(400, 5, generator=draw), []
    for activation in ("relu", "tanh"):
        net = tw.nets.mlp(5, 64, 64, 1, activation=activation)
        limit = tw.ntk.infinite(net, weight_std=1.4, bias_std=0.1, progress=told.append)
        found = limit.kernels(inputs)
        apart = limit.kernels(inputs[:3], inputs[-100:])
        assert torch.equal(found.nngp, found.nngp.T)
        assert torch.get_num_threads() == threads
        torch.testing.assert_close(found.nngp[:3, -100:], apart.nngp, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.ntk[:3, -100:], apart.ntk, rtol=1e-5, atol=1e-5)
        assert (found.activation_error == 0) == (activation == "relu")
    assert max(one.done for one in told) == max(one.total for one in told) > 1


@pytest.mark.parametrize("spread", [1e-6, 0.3, 0.9])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_gelu_in_float32_has_the_digits_of_float64(spread, scale):
    draw = torch.Generator().manual_seed(1)
    first = scale * (1 + spread * torch.rand(60, generator=draw)) ** 2
    second = scale * (1 + spread * torch.rand(50, generator=draw)) ** 2
    q, other = first[:, None], second[None]
    distance = (q.sqrt() - other.sqrt()) ** 2 / 2 + (q * other).sqrt() * torch.rand(60, 50, generator=draw)
    assert smooth(lambda a, b: (a.sqrt() - b.sqrt()) ** 2, q, other, distance.shape) is not None
    found = GELU().pair(q, other, distance)
    wanted = GELU().pair(q.double(), other.double(), distance.double())
    for one, right in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), right, rtol=5e-6, atol=2e-6)


def test_interpolation_in_two_lengths_is_exact_for_smooth_functions_and_refuses_wide_ranges():
    x = torch.linspace(1.0, 2.0, 50, dtype=torch.float64)
    y = torch.linspace(1.1, 1.9, 60, dtype=torch.float64)

    def function(q, other):
        return (q.sqrt() - other.sqrt()) ** 2 / (q + other.sqrt())

    q, other = x[:, None] ** 2, y[None] ** 2
    found = smooth(function, q, other, torch.Size((50, 60)))
    assert float((found - function(q, other)).abs().max()) < 1e-9
    assert smooth(function, 9 * q, other / 9, torch.Size((50, 60))) is None
    assert smooth(function, q[:5], other, torch.Size((5, 60))) is None
    assert smooth(function, 0 * q, other, torch.Size((50, 60))) is None
