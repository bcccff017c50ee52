"""The perceptron that groks modular arithmetic."""

from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.nets.activations import activation_named
from thalweg.nets.sizes import check_sizes


class ModularMLP(nn.Module):
    """output(activation(first[a] + second[b])) of a pair of tokens; see `modular_mlp`.

    >>> import torch
    >>> import thalweg as tw
    >>> net = tw.nets.modular_mlp(7, width=16)
    >>> net(torch.zeros(2, 3, dtype=torch.int64)).shape
    torch.Size([2, 7])
    """

    def __init__(self, p: int, width: int, activation: str) -> None:
        super().__init__()
        self.first, self.second = nn.Embedding(p, width), nn.Embedding(p, width)
        self.activation = activation_named(activation)
        self.output = nn.Linear(width, p, bias=False)
        for embedding in (self.first, self.second):
            nn.init.uniform_(embedding.weight, -((2 * p) ** -0.5), (2 * p) ** -0.5)

    def forward(self, tokens: Int64[Tensor, "*batch tokens"]) -> Float[Tensor, "*batch p"]:
        """Logits of the answer."""
        return self.output(self.activation(self.first(tokens[..., 0]) + self.second(tokens[..., 1])))


def modular_mlp(p: int, width: int = 256, *, activation: str = "relu") -> ModularMLP:
    """Tokens (a, b, =) of `thalweg.data.modular(p, encoding="tokens")`, (batch, 3), -> logits (batch, p).

        logits = W f(A[a] + B[b])

    It is `mlp(2 * p, width, p, bias=False)` on one-hot pairs, with the same distribution at the start, uniform in
    +-1/sqrt(fan_in); but rows are looked up instead of multiplied by zeros, which saves half of a step. With the
    activation "square" there is an exact solution (Gromov, 2023, arXiv:2301.02679).

    Args:
        p: the modulus.
        width: hidden units.
        activation: as in `mlp`.

    >>> import thalweg as tw
    >>> net = tw.nets.modular_mlp(7, width=16)
    >>> sum(p.numel() for p in net.parameters())
    336
    """
    check_sizes("modular_mlp", {"p": p, "width": width})
    return ModularMLP(p, width, activation)
