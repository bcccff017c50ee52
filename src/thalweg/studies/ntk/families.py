"""Small networks of several architectures in NTK parameterization, whose last layer is a linear readout of features."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg import ntk
from thalweg.nets import ScaledLinear, ntk_mlp
from thalweg.randomness import generator

BIAS_STD, OUTPUTS, INPUTS = 0.1, 4, 4
WEIGHT_STD = {"relu": 2**0.5, "tanh": 1.5, "gelu": 1.5}


class ScaledConv(nn.Conv2d):
    """A convolution 3 x 3 with zeros around, whose numbers start as N(0, 1): weight_std W x / sqrt(fan_in) + bias."""

    def __init__(self, channels: int, made: int) -> None:
        super().__init__(channels, made, 3, padding=1)
        self.scale = WEIGHT_STD["relu"] / math.sqrt(9 * channels)

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, made, height, width)."""
        assert self.bias is not None
        return self._conv_forward(input * self.scale, self.weight, self.bias * BIAS_STD)


class Attention(nn.Module):
    """Softmax attention of as many heads as a head has channels, before its output projection.

    Scores are q . k / sqrt(size); tied, with keys that are the queries, q . q / size, which do not fluctuate in the
    limit (untied they would vanish).
    """

    def __init__(self, channels: int, heads: int, *, tied: bool) -> None:
        super().__init__()
        self.heads, self.tied = heads, tied
        self.query, self.value = (linear(channels, heads * heads, bias_std=0.0) for _ in range(2))
        if not tied:
            self.key = linear(channels, heads * heads, bias_std=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, channels) to (batch, tokens, heads x size)."""
        query, values = self._split(self.query(x)), self._split(self.value(x))
        keys = query if self.tied else self._split(self.key(x))
        scores = query @ keys.mT / (self.heads if self.tied else math.sqrt(self.heads))
        return (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, self.heads).transpose(1, 2)


class Mean(nn.Module):
    """Over positions or tokens."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """Those dimensions go."""
        return x.mean(self.dims)


def linear(channels: int, made: int, weight_std: float = 1.0, bias_std: float = BIAS_STD) -> ScaledLinear:
    """A layer whose numbers start as N(0, 1)."""
    return ScaledLinear(channels, made, weight_scale=weight_std / math.sqrt(channels), bias_scale=bias_std)


def perceptron(width: int, activation: str, layers: int) -> nn.Sequential:
    """8 inputs, so many hidden layers."""
    std = WEIGHT_STD[activation]
    return ntk_mlp(8, *[width] * layers, OUTPUTS, activation=activation, weight_std=std, bias_std=BIAS_STD)


def convnet(width: int, *, pooled: bool) -> nn.Sequential:
    """Two convolutions of images 2 x 4 x 4; then global average pooling, or all positions apart."""
    end = Mean(2, 3) if pooled else nn.Flatten()
    body = (ScaledConv(2, width), nn.ReLU(), ScaledConv(width, width), nn.ReLU(), end)
    return nn.Sequential(*body, linear(width if pooled else 16 * width, OUTPUTS))


def transformer(heads: int, *, tied: bool) -> nn.Sequential:
    """A layer on each of 4 tokens of 8 numbers, with twice as many channels as heads; attention; the mean of tokens."""
    return nn.Sequential(
        linear(8, 2 * heads), Attention(2 * heads, heads, tied=tied), Mean(1), linear(heads * heads, OUTPUTS)
    )


@dataclass(frozen=True)
class Case:
    """Networks of one architecture.

    Args:
        name: in words.
        family: "FC", "CNN" or "attention".
        build: a network of a width; its last layer is the readout.
        shape: of one input.
    """

    name: str
    family: str
    build: Callable[[int], nn.Sequential]
    shape: tuple[int, ...]

    def inputs(self, seed: int) -> Tensor:
        """Random ones of one norm, any two of correlation near 1/2: (INPUTS, ...)."""
        random = torch.randn(INPUTS + 1, *self.shape, generator=generator(seed, f"ntk6 {self.family}"))
        mixed = (random[1:] + random[:1]).flatten(1)
        return (mixed * math.sqrt(mixed.shape[1]) / mixed.norm(dim=1, keepdim=True)).reshape(INPUTS, *self.shape)

    def limit(self, inputs: Tensor) -> ntk.Kernels:
        """Both analytic kernels, read off a network, which are the same whatever its width is."""
        module = self.build(64)
        stds = {
            name: math.sqrt(layer.weight[0].numel())
            for name, layer in module.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)
        }
        read = ntk.infinite(
            module,
            weight_std=stds,
            bias_std=1.0,
            parameterization="as_initialized",
            dtype=torch.float64,
            progress=None,
        )
        return read.kernels(inputs)

    def doubt(self, inputs: Tensor, limit: ntk.Kernels) -> tuple[float, float]:
        """How far the analytic kernels may be from exact ones: 0, but for softmax of scores that fluctuate.

        There it is the distance to a finer integral, and twice the standard error of that.
        """
        if self.name != SOFTMAX:
            return 0.0, 0.0
        tokens = inputs.double()
        block = torch.einsum("nid,mjd->nmij", tokens, tokens) / tokens.shape[-1] + BIAS_STD**2
        own = block.diagonal(dim1=0, dim2=1).permute(2, 0, 1)
        each = ntk.attention.Tokens(block, 2 * block, own, own)
        fine = ntk.attention_softmax.softmax(each, each, each)
        assert fine.tangent is not None
        assert fine.error is not None
        assert fine.tangent_error is not None
        kernel, error, tangent, tangent_error = (
            one.mean((2, 3)) for one in (fine.kernel, fine.error, fine.tangent, fine.tangent_error)
        )
        nngp = kernel + BIAS_STD**2
        return (
            float((limit.nngp - nngp).norm() + 2 * error.norm()),
            float((limit.ntk - nngp - tangent).norm() + 2 * (error + tangent_error).norm()),
        )


SOFTMAX = "attention, 1/sqrt(d)"
CASES = (
    Case("FC, ReLU, 3 layers", "FC", lambda width: perceptron(width, "relu", 3), (8,)),
    Case("FC, tanh, 2 layers", "FC", lambda width: perceptron(width, "tanh", 2), (8,)),
    Case("FC, GELU, 2 layers", "FC", lambda width: perceptron(width, "gelu", 2), (8,)),
    Case("CNN, flattened", "CNN", lambda width: convnet(width, pooled=False), (2, 4, 4)),
    Case("CNN, pooled", "CNN", lambda width: convnet(width, pooled=True), (2, 4, 4)),
    Case("attention, 1/d, tied", "attention", lambda width: transformer(width, tied=True), (4, 8)),
    Case(SOFTMAX, "attention", lambda width: transformer(width, tied=False), (4, 8)),
)
