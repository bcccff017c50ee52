"""The multilayer perceptron."""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from thalweg.errors import UsageError
from thalweg.nets.activations import activation_named
from thalweg.nets.sizes import check_sizes


def mlp(*widths: int, activation: str = "relu", bias: bool = True) -> nn.Sequential:
    """Linear layers with an activation between them: (batch, widths[0]) -> (batch, widths[-1]).

    Layers are hidden1, hidden2, ..., output. They start as torch starts `nn.Linear`: weights and biases
    uniform in +-1/sqrt(fan_in) (LeCun et al., Efficient BackProp, 1998, up to a factor).

    Args:
        widths: of the input, every hidden layer, and the output; `mlp(64, 10)` is linear.
        activation: relu, gelu, silu, tanh, sigmoid, softplus, erf, square or identity.
        bias: whether layers have one.

    Parameters: the sum over layers of fan_in * fan_out (+ fan_out).

    >>> import thalweg as tw
    >>> net = tw.nets.mlp(64, 32, 10)
    >>> sum(p.numel() for p in net.parameters())
    2410
    """
    if len(widths) < 2:
        msg = f"mlp needs the width of its input and of its output, for example mlp(64, 128, 10); got {widths}."
        raise UsageError(msg)
    check_sizes("mlp", {f"widths[{i}]": width for i, width in enumerate(widths)})
    activation_named(activation)  # also where no hidden layer asks for it
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (fan_in, fan_out) in enumerate(pairwise(widths[:-1]), start=1):
        layers[f"hidden{number}"] = nn.Linear(fan_in, fan_out, bias=bias)
        layers[f"activation{number}"] = activation_named(activation)
    layers["output"] = nn.Linear(widths[-2], widths[-1], bias=bias)
    return nn.Sequential(layers)
