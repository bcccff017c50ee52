"""A network minus what it was at the start."""

import copy
from typing import Any

from torch import nn

from thalweg.arguments import in_words


class Centered(nn.Module):
    """The outputs of a network minus those of a frozen copy of it; see `centered`.

    >>> import torch
    >>> import thalweg as tw
    >>> net = tw.nets.Centered(tw.nets.mlp(4, 3, 2))
    >>> sorted({name.split(".")[0] for name, one in net.named_parameters() if one.requires_grad})
    ['network']
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.initial = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """f(x) - f_0(x)."""
        return self.network(*inputs, **named) - self.initial(*inputs, **named)

    def train(self, mode: bool = True) -> "Centered":
        """Training mode of the network; the frozen copy stays in evaluation mode."""
        super().train(mode)
        self.initial.eval()
        return self


@in_words
def centered(network: nn.Module) -> Centered:
    """The network minus what it is now: f(x) - f_0(x), which is 0 before training.

    A wide net starts as a random function of size 1, and where training examples are far it stays that function. Its
    predictions then are worse than those of its kernel, for no reason of the width; minus the start they are compared
    alike (Chizat, Oyallon & Bach, 2019, arXiv:1812.07956, start at 0 by a second copy with the opposite sign, which
    is trained as well). Gradients, Hessian and tangent kernel stay those of the network.

    In a population every member has a start of its own, kept beside its parameters as frozen ones.

    Args:
        network: a module that returns one tensor. Its present parameters, and whatever else it holds, are the start.

    Cost: an evaluation more, without gradients, at every call; twice the memory of the parameters.

    >>> import torch
    >>> import thalweg as tw
    >>> net = tw.nets.centered(tw.nets.ntk_mlp(4, 8, 2))
    >>> net(torch.ones(1, 4)).tolist()
    [[0.0, 0.0]]
    >>> with torch.no_grad():
    ...     _ = net.network.output.bias.add_(1)
    >>> bool(torch.allclose(net(torch.ones(1, 4)), torch.tensor(0.1)))
    True
    """
    return Centered(network)
