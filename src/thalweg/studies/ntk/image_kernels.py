"""The nets of NTK7 whose kernels are compared: fully connected, convolutional with and without pooling, attention."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg import ntk
from thalweg.ntk import Infinite
from thalweg.studies.ntk.setting import BIAS_STD, WEIGHT_STD

# No width enters the limit; these are what the module is written with.
CHANNELS, HEADS, HEAD = 64, 16, 16


def fully_connected(features: int, depth: int = 2) -> nn.Module:
    """Hidden ReLU layers, as many as the depth says, on all pixels."""
    widths = (features, *[CHANNELS] * depth)
    hidden = [layer for sizes in pairwise(widths) for layer in (nn.Linear(*sizes), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(CHANNELS, 1))


def convolutional(shape: tuple[int, ...], window: int, *, pooled: bool) -> nn.Module:
    """Two convolutions of stride 1 with ReLU; then the mean over positions, or all of them side by side."""
    one_d = len(shape) == 1
    layer = partial(nn.Conv1d if one_d else nn.Conv2d, kernel_size=window, padding=window // 2)
    pooling = nn.AdaptiveAvgPool1d(1) if one_d else nn.AdaptiveAvgPool2d(1)
    positions = 1 if pooled else torch.Size(shape).numel()
    return nn.Sequential(
        layer(1, CHANNELS),
        nn.ReLU(),
        layer(CHANNELS, CHANNELS),
        nn.ReLU(),
        *([pooling] if pooled else []),
        nn.Flatten(),
        nn.Linear(CHANNELS * positions, 1),
    )


class PatchAttention(nn.Module):
    """Attention between patches that do not overlap, without their places; then the mean over patches.

    Scores are query . query / head size, of queries that are also keys, so that they do not fluctuate in the limit.
    """

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(1, CHANNELS, patch, stride=patch)
        self.query, self.value = (nn.Linear(CHANNELS, HEADS * HEAD, bias=False) for _ in range(2))
        self.output = nn.Linear(HEADS * HEAD, CHANNELS)
        self.readout = nn.Linear(CHANNELS, 1)

    def forward(self, images: Float[Tensor, "n 1 height width"]) -> Float[Tensor, "n 1"]:
        """One output an image."""
        tokens = torch.relu(self.embedding(images)).flatten(2).transpose(1, 2)
        query, value = (
            layer(tokens).unflatten(-1, (HEADS, HEAD)).transpose(1, 2) for layer in (self.query, self.value)
        )
        weights = torch.softmax(query @ query.transpose(-1, -2) / HEAD, -1)
        seen = (weights @ value).transpose(1, 2).flatten(2)
        return self.readout(torch.relu(self.output(seen)).mean(1))


def limit(module: nn.Module, dtype: torch.dtype = torch.float32) -> Infinite:
    """Its kernels in NTK parameterization: hidden layers as everywhere in this study, the last of weight_std 1."""
    layers = [name for name, one in module.named_modules() if not list(one.children()) and list(one.parameters())]
    stds = dict.fromkeys(layers[:-1], WEIGHT_STD["relu"]) | {layers[-1]: 1.0}
    return ntk.infinite(module, weight_std=stds, bias_std=BIAS_STD, dtype=dtype, progress=None)


def architectures(shape: tuple[int, ...], window: int) -> Mapping[str, Callable[[], nn.Module]]:
    """By name, those that are compared on inputs of this shape; attention on images alone."""
    found: dict[str, Callable[[], nn.Module]] = {
        "fully connected": partial(fully_connected, torch.Size(shape).numel()),
        "convolution, pooled": partial(convolutional, shape, window, pooled=True),
        "convolution, flattened": partial(convolutional, shape, window, pooled=False),
    }
    return found | ({"attention": partial(PatchAttention, 2)} if len(shape) > 1 else {})
