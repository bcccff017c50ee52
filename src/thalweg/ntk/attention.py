"""Attention with infinitely many heads: its kernels from those of its queries, keys and values.

Each of the three is a dense layer on tokens, so the dense rule gives its kernel and its tangent kernel, in whatever
parameterization and with whatever biases; and the output projection is one more dense layer on what comes out here.
The scores are G_ai = query_a . key_i / sqrt(head size), or / head size with tied weights, and

    out_a = sum over i of score(G)_ai value_i

Blocks have shape (n1, n2, tokens, tokens), in the plain form (covariances, no distances) and float64; blocks of
every input with itself, (n, tokens, tokens), are taken as well. Positional encodings are added to the kernels that
queries and keys are made of. Papers: Hron et al. (2020), "Infinite attention", arXiv:2006.10540.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from thalweg.errors import UsageError

__all__ = ["Attended", "ScoreDual", "Tokens", "attended", "elementwise", "identity"]


class ScoreDual(Protocol):
    """Second moments of a scalar function of Gaussian scores, as `thalweg.ntk` has them for every activation.

    >>> from thalweg.ntk.attention import ScoreDual
    >>> hasattr(ScoreDual, "pair")
    True
    """

    def second_moment(self, q: Tensor) -> Tensor:
        """E score(u)^2 for u ~ N(0, q)."""
        ...

    def pair(self, q: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """E (score(u) - score(v))^2 / 2 and E score'(u) score'(v), at distance E (u - v)^2 / 2."""
        ...


@dataclass(frozen=True)
class Tokens:
    """Kernels of the queries, the keys or the values, one channel.

    Args:
        kernel: covariances between tokens of first and second inputs, (n1, n2, T, T'); or (n, T, T).
        tangent: the tangent kernel, of the same shape; None where only the covariance is wanted.
        own: covariances inside each first input, (n1, T, T).
        other: inside each second input, (n2, T', T').

    >>> import torch
    >>> from thalweg.ntk.attention import Tokens
    >>> Tokens.own_block(torch.eye(3).expand(2, 3, 3)).inputs
    1
    """

    kernel: Tensor
    tangent: Tensor | None
    own: Tensor
    other: Tensor

    @classmethod
    def own_block(cls, own: Tensor) -> "Tokens":
        """Every input with itself, (n, T, T), without a tangent kernel.

        >>> import torch
        >>> from thalweg.ntk.attention import Tokens
        >>> Tokens.own_block(torch.eye(3).expand(2, 3, 3)).tangent is None
        True
        """
        return cls(own, None, own, own)

    @property
    def inputs(self) -> int:
        """Dimensions of inputs: 2, or 1 of every input with itself."""
        return self.kernel.dim() - 2

    @property
    def q(self) -> Tensor:
        """Second moments of the first inputs' tokens, to broadcast against (n1, n2, T)."""
        q = self.own.diagonal(dim1=-2, dim2=-1)
        return q if self.inputs == 1 else q[:, None]

    @property
    def other_q(self) -> Tensor:
        """Of the second inputs' tokens."""
        q = self.other.diagonal(dim1=-2, dim2=-1)
        return q if self.inputs == 1 else q[None]


@dataclass(frozen=True)
class Attended:
    """What `elementwise`, `identity` and `softmax` give: the kernels of attention before its output projection.

    Args:
        kernel: (n1, n2, T, T'), or (n1, n2, T) at equal positions.
        tangent: the tangent kernel, of the same shape; None where none was given.
        error: standard error of `kernel`; None where it is exact.
        tangent_error: of `tangent`.

    >>> import torch
    >>> from thalweg.ntk.attention import Tokens, identity
    >>> two = Tokens.own_block(torch.eye(2)[None])
    >>> identity(two, two, two).error is None
    True
    """

    kernel: Tensor
    tangent: Tensor | None
    error: Tensor | None = None
    tangent_error: Tensor | None = None


def attended(block: Tensor, weights: Tensor, other_weights: Tensor) -> Tensor:
    """A block of the values under given attention weights, alpha block alpha'^T.

    With 1 / (head size) and the same weights for queries and keys the scores do not fluctuate: alpha = score(K) with
    the own blocks K (n, T, T) of the queries, row by row, and queries and keys add nothing to the tangent kernel, so
    covariance and tangent kernel are both mapped by this. (Untied, such scores vanish: alpha = score(0).)

    Args:
        block: (n1, n2, T, T'), or (n, T, T) of every input with itself.
        weights: attention weights of the first inputs, (n1, queries, T).
        other_weights: of the second, (n2, queries, T').

    >>> import torch
    >>> from thalweg.ntk.attention import attended
    >>> uniform = torch.full((1, 2, 2), 0.5)
    >>> attended(torch.eye(2).reshape(1, 1, 2, 2), uniform, uniform)
    tensor([[[[0.5000, 0.5000],
              [0.5000, 0.5000]]]])
    """
    if block.dim() == 4:
        weights, other_weights = weights[:, None], other_weights[None]
    return weights @ block @ other_weights.mT


def identity(queries: Tokens, keys: Tokens, values: Tokens) -> Attended:
    """Attention 1 / sqrt(head size) whose scores are used as they are: the sums over tokens collapse.

        kernel[a, b]  = Q_ab <K, V>
        tangent[a, b] = Q_ab (<K, V'> + <K', V>) + Q'_ab <K, V>

    with the kernels Q, K, V of queries, keys and values, a dash for tangent kernels and <., .> over pairs of tokens.
    Cost: T T' a pair of inputs. Arguments as of `elementwise`.

    >>> import torch
    >>> from thalweg.ntk.attention import Tokens, identity
    >>> two = Tokens.own_block(torch.eye(2)[None])
    >>> identity(two, two, two).kernel
    tensor([[[2., 0.],
             [0., 2.]]])
    """
    scale = (keys.kernel * values.kernel).sum((-2, -1), keepdim=True)
    kernel = queries.kernel * scale
    if queries.tangent is None or keys.tangent is None or values.tangent is None:
        return Attended(kernel, None)
    moved = (keys.kernel * values.tangent + keys.tangent * values.kernel).sum((-2, -1), keepdim=True)
    return Attended(kernel, queries.kernel * moved + queries.tangent * scale)


def elementwise(
    queries: Tokens,
    keys: Tokens,
    values: Tokens,
    score: ScoreDual,
    *,
    full: bool = True,
    allowed: Tensor | None = None,
    memory: int = 2**28,
) -> Attended:
    """Attention 1 / sqrt(head size), independent queries and keys, whose score function acts on each score alone.

    G_ai and G'_bj are Gaussian with covariance Q_ab K_ij. With Z = E score(G_ai) score(G'_bj) and Z' of derivatives

        kernel[a, b]  = sum over i, j of Z V_ij
        tangent[a, b] = sum over i, j of Z V'_ij + Z' V_ij (Q'_ab K_ij + Q_ab K'_ij)

    where V, V' are kernel and tangent kernel of the values, and so for queries Q and keys K. Exact for ReLU and abs.

    Args:
        queries: kernels of the queries, (n1, n2, A, B) tokens.
        keys: of the keys, (n1, n2, T, T').
        values: of the values, (n1, n2, T, T').
        score: moments of the function.
        full: every pair of queries (a, b); else only a = b, (n1, n2, A).
        allowed: boolean (A, T), which keys a query may see; scores of others are 0 after the function.
        memory: bytes that intermediate blocks may take; queries are taken in slices.

    Cost: A B T T' evaluations of the moments a pair of inputs; A T T' of equal positions.

    >>> import torch
    >>> from thalweg.ntk.attention import Tokens, elementwise
    >>> class Identity:
    ...     def second_moment(self, q): return q
    ...     def pair(self, q, other, distance): return distance, torch.ones_like(distance)
    >>> two = Tokens.own_block(torch.eye(2, dtype=torch.float64)[None])
    >>> elementwise(two, two, two, Identity(), full=False).kernel
    tensor([[2., 2.]], dtype=torch.float64)
    """
    tangents = None
    if queries.tangent is not None and keys.tangent is not None and values.tangent is not None:
        tangents = (queries.tangent, keys.tangent, values.tangent)
    rows, columns = queries.kernel.shape[-2:]
    if not full and rows != columns:
        msg = f"equal positions of {rows} and {columns} queries do not exist; use full=True."
        raise UsageError(msg)
    cells = keys.kernel.numel() * keys.kernel.element_size() * (columns if full else 1)
    step = max(1, memory // (16 * cells))
    kernels, moved = [], []
    for start in range(0, rows, step):
        chosen = slice(start, min(start + step, rows))
        along = slice(None) if full else chosen
        scores = _Scores.of(queries, keys, chosen, along, full=full)
        distance, slopes = score.pair(scores.q, scores.other_q, scores.distance)
        first, second = score.second_moment(scores.q), score.second_moment(scores.other_q)
        products = (first + second) / 2 - distance
        if allowed is not None:
            seen = _aligned(allowed[chosen].to(products), allowed[along].to(products), full=full)
            products, slopes = products * seen, slopes * seen
        kernels.append(_over_keys(products, values.kernel))
        if tangents is not None:
            of_queries, of_keys, of_values = tangents
            covered, turned = (_queries(block, chosen, full=full) for block in (queries.kernel, of_queries))
            moved.append(
                _over_keys(products, of_values)
                + turned * _over_keys(slopes, values.kernel * keys.kernel)
                + covered * _over_keys(slopes, values.kernel * of_keys)
            )
    dim = queries.inputs
    return Attended(torch.cat(kernels, dim), torch.cat(moved, dim) if tangents is not None else None)


@dataclass(frozen=True)
class _Scores:
    """Moments of the scores: (..., a, b, i, j) of all pairs of queries, (..., a, i, j) of equal ones."""

    q: Tensor
    other_q: Tensor
    distance: Tensor

    @classmethod
    def of(cls, queries: Tokens, keys: Tokens, rows: slice, columns: slice, *, full: bool) -> "_Scores":
        """By distances of queries and keys, so that scores that coincide have exactly the distance 0."""
        q, other_q = queries.q[..., rows], queries.other_q[..., columns]
        query, other_query = (q[..., :, None], other_q[..., None, :]) if full else (q, other_q)
        key, other_key = keys.q[..., :, None], keys.other_q[..., None, :]
        middle = (query + other_query) / 2
        apart = (middle - _queries(queries.kernel, rows, full=full)).clamp(min=0)[..., None, None]
        ends = (key + other_key) / 2
        lead = (slice(None),) * queries.inputs + (None,) * (2 if full else 1)
        key_apart = (ends - keys.kernel).clamp(min=0)[lead]
        query, other_query, middle = query[..., None, None], other_query[..., None, None], middle[..., None, None]
        key, other_key, ends = key[lead], other_key[lead], ends[lead]
        distance = middle * key_apart + ends * apart - apart * key_apart
        distance = distance + (query - other_query) * (key - other_key) / 4
        return cls(*torch.broadcast_tensors(query * key, other_query * other_key, distance))


def _queries(block: Tensor, rows: slice, *, full: bool) -> Tensor:
    """Pairs of queries, the first among `rows`; the equal ones if not full."""
    return block[..., rows, :] if full else block.diagonal(dim1=-2, dim2=-1)[..., rows]


def _aligned(first: Tensor, second: Tensor, *, full: bool) -> Tensor:
    """Products of what (a, i) and (b, j) are allowed."""
    if full:
        return first[:, None, :, None] * second[None, :, None, :]
    return first[:, :, None] * second[:, None, :]


def _over_keys(weights: Tensor, block: Tensor) -> Tensor:
    """The sum over pairs of keys (i, j), for every pair of queries."""
    queries = weights.dim() - block.dim()
    flat = weights.flatten(-2).flatten(-1 - queries, -2)
    return (flat @ block.flatten(-2)[..., None])[..., 0].reshape(weights.shape[:-2])
