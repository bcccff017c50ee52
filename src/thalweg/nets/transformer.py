"""A small decoder-only transformer language model."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg.errors import ModelError, UsageError, unknown_name
from thalweg.nets.activations import activation_named
from thalweg.nets.sizes import check_sizes

_NORMS = ("pre", "post", "none")


class Attention(nn.Module):
    """Causal multi-head attention: softmax(Q K^T / sqrt(width / heads)) V, then a projection.

    Args:
        width: of the residual stream; `heads` divides it.
        heads: attended to in parallel.
        dropout: on the attention weights, in training mode.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """Position t sees positions up to t."""
        query, key, value = self._split(self.query(x)), self._split(self.key(x)), self._split(self.value(x))
        dropout = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        return self.projection(heads.transpose(-3, -2).flatten(-2))

    def _split(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch heads length part"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


class Block(nn.Module):
    """Attention and a two-layer perceptron, each added to the residual stream.

    norm "pre":  x + f(norm(x))    (Radford et al. 2019; Xiong et al. 2020)
    norm "post": norm(x + f(x))    (Vaswani et al. 2017)
    norm "none": x + f(x)
    """

    def __init__(self, width: int, heads: int, *, norm: str, activation: str, dropout: float) -> None:
        super().__init__()
        self.norm = norm
        self.norm_attention = nn.Identity() if norm == "none" else nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.norm_perceptron = nn.Identity() if norm == "none" else nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.activation = activation_named(activation)
        self.contract = nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """The residual stream after this block."""
        if self.norm == "post":
            x = self.norm_attention(x + self.drop(self.attention(x)))
            return self.norm_perceptron(x + self.drop(self._perceptron(x)))
        x = x + self.drop(self.attention(self.norm_attention(x)))
        return x + self.drop(self._perceptron(self.norm_perceptron(x)))

    def _perceptron(self, x: Tensor) -> Tensor:
        return self.contract(self.activation(self.expand(x)))


class Transformer(nn.Module):
    """Embeddings, blocks and a linear layer to the logits; see `transformer`.

    Args:
        vocabulary: tokens that can be read.
        outputs: logits at every position.
        context: positions there are embeddings for.
        width, heads, depth, norm, activation, dropout: of the blocks.

    >>> import torch
    >>> import thalweg as tw
    >>> net = tw.nets.transformer(vocabulary=10, context=8, width=16)
    >>> net(torch.zeros(2, 8, dtype=torch.int64)).shape
    torch.Size([2, 8, 10])
    """

    def __init__(
        self,
        vocabulary: int,
        outputs: int,
        context: int,
        width: int,
        heads: int,
        depth: int,
        *,
        norm: str,
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        _check(vocabulary, outputs, context, width, heads, depth, norm, dropout)
        self.context, self.width = context, width
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, norm=norm, activation=activation, dropout=dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.output = nn.Linear(width, outputs, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=width**-0.5)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def states(self, tokens: Int64[Tensor, "batch length"]) -> Float[Tensor, "batch length width"]:
        """The residual stream that the output layer reads."""
        length = tokens.shape[-1]
        if length > self.context:
            msg = f"The transformer reads at most {self.context} tokens, its context; got {length}."
            raise ModelError(msg)
        positions = self.position(torch.arange(length, device=tokens.device))
        x = self.drop((self.embedding(tokens) + positions) * self.width**0.5)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, tokens: Int64[Tensor, "batch length"]) -> Float[Tensor, "batch length outputs"]:
        """Logits of the next token at every position."""
        return self.output(self.states(tokens))


def transformer(
    vocabulary: int,
    context: int,
    width: int = 64,
    heads: int = 4,
    depth: int = 2,
    *,
    norm: str = "pre",
    tied: bool = False,
    dropout: float = 0.0,
) -> Transformer:
    """A decoder-only language model: tokens (batch, length <= context) -> logits (batch, length, vocabulary).

    Learnt positions, GELU, a perceptron of 4 * width, no bias in the output layer (Radford et al., GPT-2,
    2019). Linear layers start Xavier-uniform with zero biases and embeddings normal with variance 1 / width,
    scaled by sqrt(width) where they are read (Vaswani et al., arXiv:1706.03762), for both norms alike: so
    started, gradients near the output are large with post-norm and not with pre-norm, which is why post-norm
    needs warmup (Xiong et al., arXiv:2002.04745).

    Args:
        vocabulary: number of tokens.
        context: the longest sequence.
        width: of the residual stream, a multiple of heads.
        heads: per layer.
        depth: blocks.
        norm: "pre" (and once before the output) or "post".
        tied: whether the output layer is the embedding (Press and Wolf, arXiv:1608.05859).
        dropout: on embeddings, attention weights and the two branches, in training mode.

    Parameters: (vocabulary + context) * width + depth * (12 width^2 + 13 width), and vocabulary * width
    unless tied, and 2 * width with pre-norm.

    Raises:
        UsageError: heads do not divide the width, or a size is below 1.
        ModelError: when called on a sequence longer than the context.

    >>> import thalweg as tw
    >>> net = tw.nets.transformer(vocabulary=10, context=8, width=16)
    >>> sum(p.numel() for p in net.parameters())
    7040
    """
    if norm not in ("pre", "post"):
        raise unknown_name("norm", norm, ("pre", "post"))
    net = Transformer(
        vocabulary, vocabulary, context, width, heads, depth, norm=norm, activation="gelu", dropout=dropout
    )
    if tied:
        net.output.weight = net.embedding.weight
    return net


def _check(
    vocabulary: int, outputs: int, context: int, width: int, heads: int, depth: int, norm: str, dropout: float
) -> None:
    sizes = {"vocabulary": vocabulary, "outputs": outputs, "context": context, "width": width, "heads": heads}
    check_sizes("transformer", sizes | {"depth": depth})
    if norm not in _NORMS:
        raise unknown_name("norm", norm, _NORMS)
    if width % heads:
        larger = -(-width // heads) * heads
        msg = f"The heads share the width, but {heads} heads do not divide width={width}; try {larger}."
        raise UsageError(msg)
    if not 0 <= dropout < 1:
        msg = f"dropout is a probability from 0 to below 1; got {dropout}."
        raise UsageError(msg)
