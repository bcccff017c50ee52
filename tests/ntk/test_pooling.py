"""Linear maps on positions, against the same maps of features."""

import pytest
import torch
import torch.nn.functional as F
from features_at_positions import distances, gram, random_values, second_moments
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.pooling import (
    AxisMaps,
    Mean,
    PositionMap,
    WindowMeans,
    adaptive,
    pooled,
    pooled_mean,
    pooled_q,
    spreads,
)
from thalweg.ntk.spatial import Window, windowed

UNEVEN = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 0.3, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
FLIP = torch.eye(5, dtype=torch.float64).flip(0)
MAPS = {
    "mean": Mean(2),
    "windows": WindowMeans(Window.of((2, 2), stride=2)),
    "overlapping windows": WindowMeans(Window.of((3, 2), stride=(1, 2))),
    "padded windows": WindowMeans(Window.of((3, 3), stride=2, padding=1)),
    "padded windows of the inside": WindowMeans(Window.of((3, 3), stride=2, padding=1), count_include_pad=False),
    "ceil": WindowMeans(Window.of((2, 2), stride=3, padding=1), ceil_mode=True),
    "ceil of the inside": WindowMeans(Window.of((3, 3), stride=2, padding=1), count_include_pad=False, ceil_mode=True),
    "adaptive": adaptive((4, 5), (3, 2)),
    "any": AxisMaps((UNEVEN, FLIP)),
}


def pooled_values(name: str, values: Tensor) -> Tensor:
    """The map of features (n, 4, 5, features), by torch."""
    channels = values.movedim(-1, 1)
    by = MAPS[name]
    if isinstance(by, WindowMeans):
        window = by.window
        result = F.avg_pool2d(channels, window.size, window.stride, window.before, by.ceil_mode, by.count_include_pad)
    elif name == "adaptive":
        result = F.adaptive_avg_pool2d(channels, (3, 2))
    elif name == "mean":
        result = channels.mean((2, 3), keepdim=True)
    else:
        result = torch.einsum("cs,nfst,dt->nfcd", UNEVEN, channels, FLIP)
    return result.movedim(1, -1)


def own_distances(values: Tensor) -> Tensor:
    return torch.stack([distances(one[None], one[None])[0, 0] for one in values])


@pytest.mark.parametrize("name", MAPS)
def test_equals_the_map_of_features(name):
    by: PositionMap = MAPS[name]
    x, y = random_values(2, (4, 5), 0), random_values(3, (4, 5), 1)
    u, v = pooled_values(name, x), pooled_values(name, y)
    qx, qy = second_moments(x), second_moments(y)
    sx, sy = spreads(own_distances(x), by), spreads(own_distances(y), by)

    torch.testing.assert_close(pooled(gram(x, y), by), gram(u, v), rtol=0, atol=1e-12)
    torch.testing.assert_close(pooled_q(qx, sx, by), second_moments(u), rtol=0, atol=1e-12)
    torch.testing.assert_close(pooled(distances(x, y), by, qx, qy, sx, sy), distances(u, v), rtol=0, atol=1e-12)
    torch.testing.assert_close(pooled(own_distances(x), by, qx, qx, sx, sx), own_distances(u), rtol=0, atol=1e-12)
    torch.testing.assert_close(pooled_mean(x[..., 0], by), u[..., 0], rtol=0, atol=1e-12)


def test_windows_of_convolution_and_pooling_differ():
    """Convolution shares the offset between both inputs, pooling takes every pair of cells."""
    block = gram(random_values(1, (4, 5), 2), random_values(1, (4, 5), 3))
    window = Window.of((2, 2), stride=2)
    assert not torch.allclose(pooled(block, WindowMeans(window)), windowed(block, window, full=True))
    one = Window.of((1, 1), stride=2)
    torch.testing.assert_close(pooled(block, WindowMeans(one)), windowed(block, one, full=True))


def test_mean_of_a_circular_convolution_knows_no_shift():
    window = Window.of((3, 3), padding=1, circular=True)
    x, y = random_values(1, (4, 5), 4), random_values(1, (4, 5), 5)
    kernels = [
        pooled(windowed(gram(one, y).square(), window, full=True), Mean(2)) for one in (x, x.roll((3, 1), (1, 2)))
    ]
    torch.testing.assert_close(*kernels, rtol=0, atol=1e-12)


def test_three_axes():
    x, y = random_values(2, (2, 4, 3), 6), random_values(2, (2, 4, 3), 7)
    by = WindowMeans(Window.of((1, 2, 3), stride=(1, 2, 1)))
    u, v = (F.avg_pool3d(one.movedim(-1, 1), (1, 2, 3), (1, 2, 1)).movedim(1, -1) for one in (x, y))
    torch.testing.assert_close(pooled(gram(x, y), by), gram(u, v), rtol=0, atol=1e-12)


def test_what_is_missing_is_named():
    with pytest.raises(UsageError, match=r"full block over 2 spatial axes has 4 dimensions.*\(2, 4, 4\)"):
        pooled(torch.zeros(2, 2, 4, 4)[0], Mean(2))
    with pytest.raises(UsageError, match="a distance needs q, other, spread and other_spread"):
        pooled(torch.zeros(2, 2, 4, 4), Mean(1), torch.zeros(2, 4), torch.zeros(2, 4))
