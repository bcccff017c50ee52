"""The multilayer perceptron whose factors stand in its formula, so that its width has a limit."""

import math
from collections import OrderedDict
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from thalweg.errors import UsageError
from thalweg.nets.activations import activation_named
from thalweg.nets.sizes import check_sizes


class ScaledLinear(nn.Linear):
    """A linear layer whose weights and biases start as N(0, 1), with factors in its formula; see `ntk_mlp`.

        z = weight_scale W x + bias_scale b

    >>> import torch
    >>> from thalweg.nets import ScaledLinear
    >>> layer, x = ScaledLinear(4, 3, weight_scale=0.5, bias_scale=0.1), torch.ones(2, 4)
    >>> bool(torch.allclose(layer(x), 0.5 * x @ layer.weight.T + 0.1 * layer.bias))
    True

    Args:
        in_features, out_features: what it reads, and how many it makes.
        weight_scale: factor on the weights' part.
        bias_scale: factor on the bias; at 0 the layer has none.
    """

    def __init__(self, in_features: int, out_features: int, *, weight_scale: float, bias_scale: float) -> None:
        super().__init__(in_features, out_features, bias=bias_scale > 0)
        self.weight_scale, self.bias_scale = weight_scale, bias_scale

    def reset_parameters(self) -> None:
        """Draw all numbers anew from N(0, 1)."""
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.normal_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        # The weights' factor is on what goes in or comes out, whichever is smaller.
        if self.in_features <= self.out_features or not self.weight_scale:
            bias = None if self.bias is None else self.bias * self.bias_scale
            return F.linear(input * self.weight_scale, self.weight, bias)
        bias = None if self.bias is None else self.bias * (self.bias_scale / self.weight_scale)
        return F.linear(input, self.weight, bias) * self.weight_scale

    def extra_repr(self) -> str:
        """Its sizes and factors."""
        return f"{super().extra_repr()}, weight_scale={self.weight_scale:.4g}, bias_scale={self.bias_scale:.4g}"


def ntk_mlp(
    *widths: int,
    activation: str = "relu",
    weight_std: float = 2**0.5,
    bias_std: float = 0.1,
    readout_power: float = 0.5,
) -> nn.Sequential:
    """A perceptron in NTK parameterization: (batch, widths[0]) -> (batch, widths[-1]).

        hidden:  z = weight_std W x / sqrt(fan_in) + bias_std b
        output:  z = fan_in^(1/2 - readout_power) (W x / sqrt(fan_in) + bias_std b)

    with all W and b drawn from N(0, 1) (Jacot, Gabriel & Hongler, 2018, arXiv:1806.07572). As the hidden layers grow,
    outputs become Gaussian and the tangent kernel becomes a constant, at any learning rate that does not depend on
    the width: the net trains as if it were linear in its parameters. With readout_power = 1, the mean-field
    parameterization, outputs are smaller by sqrt(fan_in) and the kernel by fan_in; at a learning rate larger by fan_in
    the first step is as large as before, but features move at any width (Mei, Montanari & Nguyen, 2018,
    arXiv:1804.06561; Yang & Hu, 2021, arXiv:2011.14522).

    Layers are named as in `mlp`. What such a net is at the start has size 1 off the data, which training on few
    examples never removes; `centered` takes it away.

    Args:
        widths: of the input, every hidden layer, and the output.
        activation: as in `mlp`.
        weight_std: of the hidden layers' weights: sqrt(2) keeps the size of signals through ReLU, and about 1.5 is
            right for tanh.
        bias_std: of all biases; at 0 there are none.
        readout_power: p above, at least 0: 0.5 is NTK parameterization, 1 mean-field.

    Raises:
        UsageError: a size below 1, or a factor that is negative or not finite.

    Parameters: as of `mlp`.

    >>> import torch
    >>> import thalweg as tw
    >>> net = tw.nets.ntk_mlp(64, 512, 10)
    >>> net
    Sequential(
      (hidden1): ScaledLinear(in_features=64, out_features=512, bias=True, weight_scale=0.1768, bias_scale=0.1)
      (activation1): ReLU()
      (output): ScaledLinear(in_features=512, out_features=10, bias=True, weight_scale=0.04419, bias_scale=0.1)
    )
    """
    if len(widths) < 2:
        msg = f"ntk_mlp needs the width of its input and of its output, for example ntk_mlp(64, 512, 10); got {widths}."
        raise UsageError(msg)
    check_sizes("ntk_mlp", {f"widths[{i}]": width for i, width in enumerate(widths)})
    factors = {"weight_std": weight_std, "bias_std": bias_std, "readout_power": readout_power}
    for name, value in factors.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            msg = f"ntk_mlp needs {name} to be a number of at least 0, such as 0.1; got {value!r}."
            raise UsageError(msg)
    activation_named(activation)  # also where no hidden layer asks for it
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (fan_in, fan_out) in enumerate(pairwise(widths[:-1]), start=1):
        scale = weight_std / math.sqrt(fan_in)
        layers[f"hidden{number}"] = ScaledLinear(fan_in, fan_out, weight_scale=scale, bias_scale=bias_std)
        layers[f"activation{number}"] = activation_named(activation)
    fan_in, smaller = widths[-2], widths[-2] ** (0.5 - readout_power)
    scale = smaller / math.sqrt(fan_in)
    layers["output"] = ScaledLinear(fan_in, widths[-1], weight_scale=scale, bias_scale=smaller * bias_std)
    return nn.Sequential(layers)
