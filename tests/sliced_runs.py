"""A small run, and whether two are the same: what tests of slices share."""

import torch

import thalweg as tw
from thalweg import optim, sweep
from thalweg.randomness import generator

_DRAW = generator(0, "test slices")
X, Y = torch.randn(48, 6, generator=_DRAW), torch.randint(0, 3, (48,), generator=_DRAW)
RECIPE = tw.Recipe(optim.Momentum(sweep.values([0.05, 0.1]), 0.9), 12, 8, evaluate=4, snapshot=3)


def problem(**options):
    return tw.Problem(lambda: tw.nets.mlp(6, 5, 3), (X, Y), **options)


def assert_same(one, other):
    """All arrays of two runs, NaN included."""
    theirs = other.state.tensors()
    for name, tensor in one.state.tensors().items():
        assert tensor.dtype == theirs[name].dtype, name
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0, equal_nan=True, msg=name)
    assert one.step == other.step
    assert one.history.metrics.keys() == other.history.metrics.keys()
    assert list(one.axes) == list(other.axes)
