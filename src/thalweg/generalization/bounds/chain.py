"""Whether a model is one layer after the other, as the bounds by norms of its layers are stated, and which they are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from thalweg.errors import ModelError
from thalweg.generalization.bounds.windows import slope_of_average, windows_over
from thalweg.population import Problem
from thalweg.population.structure.operation import Operation, kinds

# Of elementwise functions with f(0) = 0: the largest slope.
_SLOPES = {
    **dict.fromkeys(kinds("relu relu6 hardtanh tanh elu selu sin softsign hardswish leaky_relu"), 1.0),
    "selu": 1.7581,
    "hardswish": 1.5,
    "gelu": 1.1290,
    "silu": 1.0999,
    "erf": 2 / math.sqrt(math.pi),
}
_KINKED = kinds("relu leaky_relu")  # positively homogeneous, with one kink
_MOVES = kinds(
    "alias alpha_dropout clone contiguous detach dropout dropout1d dropout2d feature_dropout flatten moveaxis movedim "
    "permute reshape squeeze swapaxes t to transpose unflatten unsqueeze view"
)
_AVERAGES = kinds("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d avg_pool2d avg_pool3d")
_MEANS = kinds("mean")
_MAXIMA = kinds("max_pool1d max_pool2d max_pool3d")
_CONVOLUTIONS = kinds("conv1d conv2d conv3d")
_REASONS = {
    "add": "it adds two branches, as residual networks do",
    "cat": "it joins branches",
    "mul": "it multiplies branches, as gates do",
    "matmul": "it multiplies values with values, as attention does",
    "bmm": "it multiplies values with values, as attention does",
    "scaled_dot_product_attention": "attention multiplies values with values",
    "embedding": "it looks its inputs up",
    "batch_norm": "normalization divides by what it measured; fold it into the layer before it",
    "layer_norm": "normalization divides by the length of its input",
    "group_norm": "normalization divides by the length of its input",
    "sigmoid": "it is not 0 at 0",
    "softplus": "it is not 0 at 0",
}


@dataclass(frozen=True)
class ChainLayer:
    """A linear or convolutional layer.

    Args:
        weight, bias: names of the tensors; None without a bias.
        taps: positions of the input that one of the output reads: 1 of a linear layer.
        reads: how many positions of the output read one of the input, at most: fewer than taps where the stride is
            above 1.
        groups: of channels.
        channels, positions: of the output.
        inputs: numbers that it reads.
        size: of the weight.
    """

    weight: str
    bias: str | None
    taps: int
    reads: int
    groups: int
    channels: int
    positions: int
    inputs: int
    size: int

    @property
    def units(self) -> int:
        """Numbers that it computes."""
        return self.channels * self.positions


@dataclass(frozen=True)
class Chain:
    """Layers in order, with what is between them.

    Args:
        layers: at least one.
        slopes: behind every layer, the largest of its activation, times that of pooling: 1 of none, and of pooling
            whose windows do not give anything more weight than it had.
        kinked: whether all activations are ReLU or leaky ReLU, and no maximum is taken.
    """

    layers: tuple[ChainLayer, ...]
    slopes: tuple[float, ...]
    kinked: bool

    @property
    def biased(self) -> bool:
        """Whether any layer has a bias: then all are matrices of inputs with a 1 behind."""
        return any(layer.bias is not None for layer in self.layers)

    @property
    def width(self) -> int:
        """Of the widest layer, inputs and outputs included."""
        return max(max(layer.units, layer.inputs) for layer in self.layers) + self.biased


def chain_of(problem: Problem) -> Chain:
    """The layers of a problem's model, where it is one layer after the other.

    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.chain import chain_of
    >>> chain = chain_of(tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits()))
    >>> [layer.weight for layer in chain.layers], chain.kinked, chain.width
    (['hidden1.weight', 'output.weight'], True, 65)

    Raises:
        ModelError: it is not, or cannot be traced; the operation is named, and why.
    """
    structure = problem.structure
    if len(structure.inputs) != 1 or len(structure.outputs) != 1:
        msg = f"{_UNSTATED} the model reads {len(structure.inputs)} tensors and returns {len(structure.outputs)}."
        raise ModelError(msg)
    layers: list[ChainLayer] = []
    slopes: list[float] = []
    kinked, now = True, structure.inputs[0]
    sizes: dict[str, tuple[int, ...]] = {one.name: one.shape for one in structure.operations}
    data = {*sizes, *structure.inputs}
    for one in structure.operations:
        read = [name for name in one.inputs if name in data]
        if one.kind.startswith("_assert") or not one.shapes:
            continue
        if read != [now]:
            raise _refusal(one, _REASONS.get(one.kind, "it reads what is not the layer before it"))
        if one.kind == "linear" or one.kind in _CONVOLUTIONS:
            layers.append(_layer(one, structure.shapes, sizes.get(now)))
            slopes.append(1.0)
        elif one.kind in _SLOPES:
            if not layers:
                raise _refusal(one, "it comes before the first layer")
            slopes[-1] *= _slope(one)
            kinked &= one.kind in _KINKED
        elif one.kind in _MAXIMA:
            if windows_over(one, len(one.shape) - 2) > 1:
                raise _refusal(one, "its windows overlap")
            kinked = False
        elif one.kind in _AVERAGES:
            if not layers:
                raise _refusal(one, "it comes before the first layer")
            if one.arguments.get("divisor_override"):
                raise _refusal(one, "it divides by a number of its own")
            slopes[-1] *= slope_of_average(one, sizes.get(now, one.shape))
        elif one.kind not in (*_MOVES, *_MEANS):
            raise _refusal(one, _REASONS.get(one.kind, "it is no layer, activation with f(0) = 0, or pooling"))
        now = one.name
    if not layers or now != structure.outputs[0]:
        msg = f"{_UNSTATED} the model has no linear or convolutional layer on the way to its output."
        raise ModelError(msg)
    return Chain(tuple(layers), tuple(slopes), kinked)


_UNSTATED = "Bounds by norms of layers are stated for networks of one layer after the other, and here"


def _refusal(operation: Operation, why: str) -> ModelError:
    return ModelError(f"{_UNSTATED} {operation} is in the way: {why}.")


def _layer(one: Operation, shapes: Mapping[str, tuple[int, ...]], before: tuple[int, ...] | None) -> ChainLayer:
    weight, bias = one.arguments["weight"], one.arguments.get("bias")
    if weight not in one.parameters or (bias is not None and bias not in one.parameters):
        raise _refusal(one, "its weight is computed from others")
    shape = shapes[weight]
    taps = math.prod(shape[2:])
    after = one.shape[2:] if one.kind in _CONVOLUTIONS else one.shape[1:-1]
    inputs = math.prod(before[1:]) if before else shape[1]
    groups = int(one.arguments.get("groups", 1))
    return ChainLayer(
        weight=str(weight),
        bias=None if bias is None else str(bias),
        taps=taps,
        reads=windows_over(one, len(shape) - 2, shape[2:]) if one.kind in _CONVOLUTIONS else 1,
        groups=groups,
        channels=shape[0],
        positions=math.prod(after),
        inputs=inputs,
        size=math.prod(shape),
    )


def _slope(one: Operation) -> float:
    if one.kind == "leaky_relu":
        return max(1.0, abs(float(one.arguments.get("negative_slope", 0.01))))
    if one.kind == "elu":
        return max(1.0, abs(float(one.arguments.get("alpha", 1.0))))
    if one.kind == "hardtanh" and not one.arguments.get("min_val", -1.0) <= 0 <= one.arguments.get("max_val", 1.0):
        raise _refusal(one, "it is not 0 at 0")
    return _SLOPES[one.kind]
