"""A network that shows its loss how long its parameters are."""

import torch
from torch import Tensor, nn


class WithSquaredNorm(nn.Module):
    """A network whose second output is the squared norm of all its parameters, so that a loss can hold weight decay.

        loss(outputs, target) + decay/2 |theta|^2

    Decay that only the optimizer knows is no part of the landscape; this one is part of its gradient and Hessian too.

    >>> import torch
    >>> import thalweg as tw
    >>> net = tw.nets.WithSquaredNorm(tw.nets.mlp(4, 2))
    >>> outputs, squares = net(torch.zeros(3, 4))
    >>> outputs.shape, squares.shape, bool(squares[0] == sum(p.square().sum() for p in net.parameters()))
    (torch.Size([3, 2]), torch.Size([3]), True)

    Args:
        network: any module of one input; its output comes first: (batch, ...), and the squared norm second: (batch,).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The network's outputs, and the squared norm of its parameters for every example."""
        squares = torch.stack([parameter.square().sum() for parameter in self.network.parameters()]).sum()
        return self.network(x), squares.expand(len(x))
