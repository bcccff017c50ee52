"""The one-layer transformer that groks modular arithmetic."""

from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.nets.sizes import check_sizes
from thalweg.nets.transformer import Transformer


class ModularTransformer(Transformer):
    """A transformer that answers at the last position only; see `modular_transformer`.

    >>> import torch
    >>> import thalweg as tw
    >>> net = tw.nets.modular_transformer(7, width=16)
    >>> net(torch.zeros(2, 3, dtype=torch.int64)).shape
    torch.Size([2, 7])
    """

    def forward(self, tokens: Int64[Tensor, "batch 3"]) -> Float[Tensor, "batch p"]:
        """Logits of the answer."""
        return self.output(self.states(tokens)[..., -1, :])


def modular_transformer(
    p: int,
    width: int = 128,
    heads: int = 4,
    depth: int = 1,
    *,
    norm: str = "none",
    activation: str = "relu",
) -> ModularTransformer:
    """Tokens (a, b, =) of `thalweg.data.modular(p, encoding="tokens")`, (batch, 3), -> logits (batch, p).

    One block without normalization, ReLU, learnt positions and an untied output layer, as Nanda et al.
    (arXiv:2301.05217); unlike theirs its attention has biases and its output no logit for "=". Starts as
    `transformer` does.

    Args:
        p: the modulus; the vocabulary is p + 1.
        width, heads, depth: of the blocks; the perceptron has 4 * width units.
        norm: "none", "pre" or "post".
        activation: as in `mlp`.

    Raises:
        UsageError: heads do not divide the width, or a size is below 1.

    >>> import thalweg as tw
    >>> net = tw.nets.modular_transformer(7, width=16)
    >>> sum(p.numel() for p in net.parameters())
    3504
    """
    check_sizes("modular_transformer", {"p": p})
    return ModularTransformer(p + 1, p, 3, width, heads, depth, norm=norm, activation=activation, dropout=0.0)
