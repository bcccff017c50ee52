"""Elementwise nonlinearities by name."""

import torch
from torch import Tensor, nn

from thalweg.errors import unknown_name


class Square(nn.Module):
    """x squared, for which modular addition has an exact solution (Gromov, arXiv:2301.02679)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise; the shape stays."""
        return x * x


class Erf(nn.Module):
    """The error function, for which the kernels of an infinitely wide layer are arcsines (Williams, 1997)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise; the shape stays."""
        return torch.erf(x)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "erf": Erf,
    "square": Square,
    "identity": nn.Identity,
}


def activation_named(name: str) -> nn.Module:
    """A fresh module of that activation."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()
