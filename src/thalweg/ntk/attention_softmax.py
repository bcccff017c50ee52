"""Softmax attention with infinitely many heads: no closed form, an average over scores with its standard error."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.attention import Attended, Tokens
from thalweg.randomness import generator, stream_key

__all__ = ["softmax"]

LARGEST = 21_201  # dimensions that torch's Sobol sequences have
RESOLUTION = 2.0**-31  # half of their step
JITTER, LARGEST_JITTER = 1e-12, 1e-5  # of the largest variance, for factors of covariances that are singular


def softmax(
    queries: Tokens,
    keys: Tokens,
    values: Tokens,
    *,
    samples: int = 1024,
    scrambles: int = 8,
    seed: int = 0,
    allowed: Tensor | None = None,
    memory: int = 2**26,
) -> Attended:
    """Attention whose weights are the softmax of G_ai = query_a . key_i / sqrt(head size), queries and keys untied.

    The scores of two inputs are jointly Gaussian, G = A Z B^T with A A^T the covariance of all their queries and
    B B^T that of all their keys. With weights alpha, alpha' and the Jacobians J of the softmax,

        kernel[a, b]  = E sum over i, j of alpha_ai V_ij alpha'_bj
        tangent[a, b] = E sum over i, j of alpha_ai V'_ij alpha'_bj
                      + E sum over i, j, k, l of V_ij J_aik J'_bjl (Q'_ab K_kl + Q_ab K'_kl)

    (Q, K, V and their tangent kernels Q', K', V' as in `elementwise`), estimated by scrambled Sobol sequences; the
    standard errors come from independent scrambles. A pair's numbers do not depend on the other inputs of a call.

    Args:
        queries: kernels of the queries; `keys` and `values`: of the keys and values.
        samples: points of each sequence, a power of 2.
        scrambles: independent sequences, at least 2.
        seed: of the scrambles.
        allowed: boolean (A, T), which keys a query may see; each at least one.
        memory: bytes that intermediate blocks may take; samples are taken in slices.

    Raises:
        UsageError: fewer than two scrambles, samples that are no power of 2, or a query that sees no key.

    Cost: about 20 T^3 multiplications a sample and pair of inputs. With more than 21,201 normals a sample
    (72 tokens an input have 20,736) the points are random ones instead. A call draws its points anew, so give it many
    pairs.

    >>> import torch
    >>> from thalweg.ntk.attention import Tokens
    >>> from thalweg.ntk.attention_softmax import softmax
    >>> one = Tokens.own_block(torch.ones(1, 1, 1, dtype=torch.float64))
    >>> softmax(one, one, one, samples=16).kernel  # one token attends to itself
    tensor([[[1.]]], dtype=torch.float64)
    """
    _check(samples, scrambles, allowed)
    tangents = None
    if queries.tangent is not None and keys.tangent is not None and values.tangent is not None:
        tangents = (queries.tangent, keys.tangent, values.tangent)
    query_factors, key_factors = _Factors.of(queries), _Factors.of(keys)
    shape = (query_factors.size, key_factors.size)
    pairs = max(1, queries.kernel.shape[:-2].numel())
    step = max(1, memory // (8 * 12 * pairs * shape[0] * shape[1]))
    kernels, moved = [], []
    for scramble in range(scrambles):
        kernel = torch.zeros_like(queries.kernel)
        tangent = torch.zeros_like(queries.kernel)
        for normals in _normals(samples, shape, seed, scramble, step):
            normals = normals.to(kernel)
            alpha = _weights(query_factors.first, normals, key_factors.first, allowed)
            other = alpha
            if query_factors.second is not None and key_factors.second is not None:
                other = _weights(query_factors.second, normals, key_factors.second, allowed)
            kernel += _joined(_mapped(alpha, values.kernel), other)
            if tangents is not None:
                of_queries, of_keys, of_values = tangents
                by_queries = _softened(alpha, other, values.kernel, keys.kernel)
                by_keys = _softened(alpha, other, values.kernel, of_keys)
                tangent += _joined(_mapped(alpha, of_values), other)
                tangent += of_queries * by_queries + queries.kernel * by_keys
        kernels.append(kernel / samples)
        moved.append(tangent / samples)
    found, error = _summary(kernels)
    if tangents is None:
        return Attended(found, None, error)
    tangent, tangent_error = _summary(moved)
    return Attended(found, tangent, error, tangent_error)


@dataclass(frozen=True)
class _Factors:
    """Factors of the joint covariance of two inputs' tokens: of the first, (n1, 1, T, T), and the rows below it.

    The second input's rows are (n1, n2, T', T + T'); None of every input with itself, where they are the first's.
    """

    first: Tensor
    second: Tensor | None

    @property
    def size(self) -> int:
        """Normals that they take."""
        return (self.first if self.second is None else self.second).shape[-1]

    @classmethod
    def of(cls, tokens: Tokens) -> "_Factors":
        if tokens.inputs == 1:
            return cls(_factor(tokens.kernel, tokens.kernel), None)
        first = _factor(tokens.own, tokens.own)[:, None]
        shared = torch.linalg.solve_triangular(first, tokens.kernel, upper=False).mT
        other = tokens.other[None].expand(len(tokens.own), -1, -1, -1)
        return cls(first, torch.cat([shared, _factor(other - shared @ shared.mT, other)], -1))


def _factor(covariance: Tensor, size: Tensor) -> Tensor:
    """A Cholesky factor; singular ones get as little more on the diagonal as they need, by the diagonal of `size`."""
    largest = size.diagonal(dim1=-2, dim2=-1).amax(-1).clamp(min=torch.finfo(covariance.dtype).tiny)
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    jitter = torch.full_like(largest, JITTER)
    while bool((jitter < LARGEST_JITTER).all()):
        factor, info = torch.linalg.cholesky_ex(covariance + (jitter * largest)[..., None, None] * eye)
        if not bool(info.any()):
            return factor
        jitter = torch.where(info > 0, jitter * 10, jitter)
    msg = "the kernels of queries or keys are no covariances: not finite, or not positive semi-definite."
    raise UsageError(msg)


def _weights(query: Tensor, normals: Tensor, key: Tensor, allowed: Tensor | None) -> Tensor:
    """Attention weights (..., A, T, samples) of scores query Z key^T, from normals (rows, columns, samples)."""
    rows, columns = query.shape[-1], key.shape[-1]
    corner = normals[:rows, :columns]
    mixed = query.flatten(0, -2) @ corner.flatten(1)
    scores = _mapped(mixed.reshape(*query.shape[:-1], *corner.shape[1:]), key.mT)
    if allowed is not None:
        scores = scores.masked_fill(~allowed[..., None], -torch.inf)
    return scores.softmax(-2)


def _mapped(weights: Tensor, block: Tensor) -> Tensor:
    """The sum over i of weights (..., A, I, samples) and a block (..., I, J)."""
    return block.mT[..., None, :, :] @ weights


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """The sum over keys and samples, (..., A, B)."""
    return first.flatten(-2) @ second.flatten(-2).mT


def _each_sample(first: Tensor, second: Tensor) -> Tensor:
    """The sum over keys alone, (..., A, B, samples)."""
    total = first[..., :, None, 0, :] * second[..., None, :, 0, :]
    for key in range(1, first.shape[-2]):
        total.addcmul_(first[..., :, None, key, :], second[..., None, :, key, :])
    return total


def _softened(alpha: Tensor, other: Tensor, values: Tensor, keys: Tensor) -> Tensor:
    """The sum over samples and i, j, k, l of V_ij J_aik J'_bjl K_kl, with J_aik = alpha_ai (1[i = k] - alpha_ak)."""
    left_values, left_keys = _mapped(alpha, values), _mapped(alpha, keys)
    right_values, right_keys = _mapped(other, values.mT), _mapped(other, keys.mT)
    total = _joined(_mapped(alpha, values * keys) - left_values * left_keys, other)
    total = total - _joined(alpha, right_values * right_keys)
    return total + (_each_sample(left_values, other) * _each_sample(left_keys, other)).sum(-1)


def _normals(samples: int, shape: tuple[int, int], seed: int, scramble: int, step: int) -> Iterator[Tensor]:
    """Standard normals (rows, columns, at most `step`) of one scramble; early coordinates are the corner's."""
    rows, columns = shape
    if rows * columns > LARGEST:
        random = generator(seed, "attention", scramble)
        for start in range(0, samples, step):
            yield torch.randn(rows, columns, min(step, samples - start), generator=random, dtype=torch.float64)
        return
    engine = torch.quasirandom.SobolEngine(rows * columns, scramble=True, seed=stream_key(seed, "attention", scramble))
    corner = (torch.arange(rows)[:, None] + torch.arange(columns)).flatten().argsort(stable=True).argsort()
    for start in range(0, samples, step):
        points = engine.draw(min(step, samples - start), dtype=torch.float64)[:, corner] + RESOLUTION
        yield torch.special.ndtri(points).T.reshape(rows, columns, -1)


def _summary(estimates: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The mean of independent estimates and its standard error."""
    stacked = torch.stack(estimates)
    return stacked.mean(0), stacked.std(0) / len(estimates) ** 0.5


def _check(samples: int, scrambles: int, allowed: Tensor | None) -> None:
    if scrambles < 2:
        msg = f"a standard error needs at least 2 scrambles; got {scrambles}."
        raise UsageError(msg)
    if samples < 1 or samples & (samples - 1):
        msg = f"Sobol sequences want a power of 2 of samples, as 512 or 1024; got {samples}."
        raise UsageError(msg)
    if allowed is not None and not bool(allowed.any(-1).all()):
        msg = "every query must be allowed at least one key: a softmax over none is not defined."
        raise UsageError(msg)
