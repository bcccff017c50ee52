"""The Boolean functions that random networks are."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.guard import guarded
from thalweg.randomness import generator

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu_, "tanh": torch.tanh_}
_AT_ONCE = 1_000
_MOST_BITS = 16


@torch.no_grad()
@guarded
def random_functions(
    nets: int,
    *,
    bits: int = 7,
    widths: Sequence[int] = (40, 40),
    activation: str = "relu",
    weight_std: float = math.sqrt(2),
    bias_std: float = 0.1,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """The functions {0, 1}^bits to {0, 1} of so many random perceptrons: (nets, 2^bits), inputs in counting order.

        f(x) = 1 where W3 a(W2 a(W1 x + b1) + b2) + b3 > 0,    W ~ N(0, weight_std^2 / inputs),    b ~ N(0, bias_std^2)

    >>> from thalweg.generalization import simplicity
    >>> found = simplicity.random_functions(1_000, seed=1)
    >>> found.shape, bool(0.2 < found.mean() < 0.8)
    ((1000, 128), True)

    Args:
        nets: how many.
        bits: of the input, at most 16.
        widths: of the hidden layers.
        activation: "relu" or "tanh".
        weight_std, bias_std: of the draw. With ReLU, sqrt(2) and 0.1; with tanh 1 and 0.2 is ordered and 8 and 0.2
            chaotic.
        seed: of the streams (seed, "random functions"), one for each thousand nets, so that fewer nets are the first.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: 2^bits forward passes a net, stacked: 100,000 nets of 7-40-40-1 take three to six seconds of one core.

    Paper: Valle-Perez, Camargo & Louis (2018), arXiv:1805.08522.
    """
    check_count("random_functions nets", nets)
    check_count("random_functions bits", bits)
    check_choice("random_functions activation", activation, _ACTIVATIONS)
    if bits > _MOST_BITS:
        msg = f"random_functions bits must be at most {_MOST_BITS}, of which there are 2^bits inputs; got {bits}."
        raise UsageError(msg)
    for number, width in enumerate(widths):
        check_count(f"random_functions widths[{number}]", width)
    for name, value in {"weight_std": weight_std, "bias_std": bias_std}.items():
        check_type(f"random_functions {name}", value, (int, float), "a standard deviation")
        if not 0 <= value < math.inf:
            msg = f"random_functions {name} must be finite and not negative; got {value}."
            raise UsageError(msg)
    sizes = [bits, *widths, 1]
    inputs = boolean_inputs(bits)
    found = []
    for number in range(math.ceil(nets / _AT_ONCE)):
        draw = generator(seed, "random functions", number)
        values = inputs.expand(_AT_ONCE, -1, -1)
        for layer, (fan_in, width) in enumerate(pairwise(sizes)):
            weights = torch.randn(_AT_ONCE, fan_in, width, generator=draw).mul_(weight_std / math.sqrt(fan_in))
            biases = torch.randn(_AT_ONCE, 1, width, generator=draw).mul_(bias_std)
            values = torch.baddbmm(biases, values, weights)
            if layer + 2 < len(sizes):
                values = _ACTIVATIONS[activation](values)
        found.append((values[..., 0] > 0).numpy().astype(np.uint8))
    return np.concatenate(found)[:nets]


def boolean_inputs(bits: int) -> Tensor:
    """All rows of so many bits in counting order, the first bit the largest: (2^bits, bits), of 0.0 and 1.0."""
    numbers = torch.arange(2**bits)
    return ((numbers[:, None] >> torch.arange(bits - 1, -1, -1)) & 1).float()
