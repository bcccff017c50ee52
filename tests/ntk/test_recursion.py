"""Kernels over depth: against `infinite`, the closed form of one layer, batches, and bad input."""

import math

import pytest
import torch

from thalweg import nets, ntk
from thalweg.errors import DataError, ModelError, UsageError

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "tanh"])
def test_it_is_what_infinite_says_of_modules_of_these_depths(activation):
    found = ntk.over_depth(X, Y, activation=activation, weight_std=1.3, bias_std=0.2, depths=[1, 3])
    for depth, nngp, theta in zip(found.depths, found.nngp, found.ntk, strict=True):
        module = nets.mlp(6, *(4,) * depth, 1, activation=activation).double()
        stds = {f"hidden{layer}": 1.3 for layer in range(1, depth + 1)} | {"output": 1.0}
        limit = ntk.infinite(module, weight_std=stds, bias_std=0.2, dtype=torch.float64, progress=None)
        one = limit.kernels(X, Y)
        torch.testing.assert_close(nngp, one.nngp, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(theta, one.ntk, rtol=1e-8, atol=1e-8)


def test_one_relu_layer_is_its_arc_cosine_kernel():
    one = torch.nn.functional.normalize(X, dim=1)
    angle = torch.arccos((one @ one.T).clamp(-1, 1))
    along = (angle.sin() + (math.pi - angle) * angle.cos()) / math.pi
    share = (math.pi - angle) / math.pi
    gram = X @ X.T / 6
    sizes = X.square().mean(1).sqrt()
    found = ntk.over_depth(X, weight_std=2**0.5, bias_std=0.0, depths=[1])
    nngp = sizes[:, None] * sizes * along
    torch.testing.assert_close(found.nngp[0], nngp, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.ntk[0], nngp + gram * share, rtol=1e-6, atol=1e-7)


def test_a_batch_is_its_entries_alone_also_of_biases():
    stds, biases = torch.tensor([1.0, 1.5]), torch.tensor([0.0, 0.3])
    inputs = torch.stack([X, 2 * X])
    found = ntk.over_depth(inputs, activation="erf", weight_std=stds, bias_std=biases, depths=[1, 4])
    for place in range(2):
        alone = ntk.over_depth(
            inputs[place], activation="erf", weight_std=float(stds[place]), bias_std=float(biases[place]), depths=[1, 4]
        )
        torch.testing.assert_close(found.ntk[:, place], alone.ntk)
    shared = ntk.over_depth(X, activation="gelu", weight_std=1.0, bias_std=biases, depths=[2])
    assert shared.ntk.shape == (1, 2, 5, 5)
    assert not torch.allclose(shared.ntk[0, 0], shared.ntk[0, 1])


def test_deep_kernels_go_to_their_limits_and_stay_symmetric():
    x = torch.nn.functional.normalize(X, dim=1)
    found = ntk.over_depth(x, weight_std=2**0.5, bias_std=0.0, depths=[2_000])
    torch.testing.assert_close(found.ntk, found.ntk.mT)
    assert 10 ** float(ntk.scores.condition_number(found.ntk[0]).log10) == pytest.approx((5 + 3) / 3, rel=0.01)


def test_bad_input_is_named():
    def over(inputs=X, others=None, depths=(1,), weight_std=1.0, activation="relu"):
        return ntk.over_depth(
            inputs, others, activation=activation, weight_std=weight_std, bias_std=0.1, depths=list(depths)
        )

    for depths in ((), (0,), (2, 1), (1, 1), (1.5,)):
        with pytest.raises(UsageError, match="ascend"):
            over(depths=depths)
    with pytest.raises(UsageError, match="weight_std"):
        over(weight_std=-1.0)
    with pytest.raises(UsageError, match="must fit"):
        over(others=torch.ones(2, 7))
    with pytest.raises(UsageError, match="must fit"):
        over(weight_std=torch.ones(4), inputs=torch.stack([X, X]))
    with pytest.raises(DataError, match="finite"):
        over(inputs=torch.full((2, 3), math.nan))
    with pytest.raises(ModelError):
        over(activation="softmax")
