"""The trace of every member's matrix, with its standard error."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError, check_choice, check_count
from thalweg.guard import guarded
from thalweg.progress import Watcher, automatic
from thalweg.randomness import generator
from thalweg.results import Result
from thalweg.spectra.operator import Operator
from thalweg.spectra.result import Array, Measurement
from thalweg.spectra.symmetry import Product, Vectors
from thalweg.statistics import standard_error

METHODS = ("xtrace", "hutchinson", "hutch++")
Found = tuple[Array, Array, int]  # the mean, its standard error, (members,) each, and over how many samples
_GROUPS = 32  # of vectors that the jackknife deletes, at most


@dataclass(frozen=True, eq=False)
class Trace(Result):
    """What `trace` found.

    Args:
        reading: "trace" and "mean eigenvalue" (member), the trace over the number of active entries, with their
            standard errors; NaN where a member is not finite.
    """


@guarded
def trace(
    A: Operator,
    *,
    method: str = "xtrace",
    products: int = 32,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Trace:
    """The trace of every member's matrix, unbiased, with its standard error.

    - "hutchinson": the mean of v^T A v over random vectors v of +1 and -1 (Hutchinson, 1990,
      doi:10.1080/03610919008812866). Its variance is 2 (|A|_F^2 - the squares of the diagonal) / products.
    - "hutch++": exact on the range of a sketch by a third of the products, Hutchinson's on the rest (Meyer et al.,
      2021, arXiv:2010.09649).
    - "xtrace": the mean over i of the estimates that sketch with all vectors but the i-th and test with it (Epperly,
      Tropp & Webber, 2024, arXiv:2301.07825), vectors being uniform on the sphere. The best where eigenvalues fall.

    These estimates share vectors, so their scatter understates the error of the mean (measured: by up to 40 %). Its
    standard error is that of the jackknife instead, which is not too small in the mean (Efron & Stein, 1981,
    doi:10.1214/aos/1176345462; measured on spectra of six kinds: 0.9 to 2.5 times what the trace scatters by, and
    intervals by Student's t that hold it in 94 % or more).

    >>> import torch
    >>> import thalweg as tw
    >>> A = tw.spectra.from_matrix(torch.diag(torch.arange(5.0)))
    >>> tw.spectra.trace(A, products=10)["trace"].round(3).tolist()
    [10.0]

    Args:
        A: such as `curvature.hessian(problem, population)`.
        method: which estimator.
        products: how many, at least 2 ("xtrace" takes an even number of at least 4, "hutch++" a multiple of 3 from 6
            on; any that are left over are not used).
        seed: of the vectors, which all members share.
        progress: told how far it is.

    Raises:
        UsageError: an unknown method, too few products, or more than a sketch of all active entries takes.

    Cost: `products` products. Memory: one matrix (members, n) a vector of the sketch.
    """
    measurement = Measurement("trace", A, "trace", seed, progress)
    check_choice("trace method", method, METHODS)
    check_count("trace products", products, {"hutchinson": 2, "hutch++": 6, "xtrace": 4}[method])

    def product(vectors: Vectors) -> Vectors:
        image = A(vectors)
        measurement.tell(measurement.products, products)
        return image

    estimate = {"hutchinson": _hutchinson, "hutch++": _hutch_plus_plus, "xtrace": _xtrace}[method]
    with measurement.watched():
        mean, error, samples = estimate(A, product, products, seed)
    active = A.active.sum(1).cpu().numpy().astype(np.float64)
    active[active == 0] = np.nan  # a trace of 0, and no mean
    return Trace(
        measurement.reading(
            {"trace": mean, "mean eigenvalue": mean / active},
            {"trace": ("member",), "mean eigenvalue": ("member",)},
            standard_errors={"trace": error, "mean eigenvalue": error / active},
            samples=samples,
            notes=(f"By {method} with {measurement.products} products.",),
        )
    )


def _hutchinson(A: Operator, product: Product, products: int, seed: int) -> Found:
    return _over_samples([_dot(v, product(v)) for v in _rademacher(A, range(products), seed)])


def _hutch_plus_plus(A: Operator, product: Product, products: int, seed: int) -> Found:
    third = products // 3
    _check_room("three times", products, third, A)
    sketch, tests = (_rademacher(A, places, seed) for places in (range(third), range(third, 2 * third)))
    basis = _orthonormal(torch.stack([product(v) for v in sketch], dim=1))[0]
    exact = torch.stack([_dot(basis[:, i], product(basis[:, i])) for i in range(third)], dim=1).sum(1)
    samples = []
    for v in tests:
        rest = v - _combined(basis, _shares(basis, v))
        samples.append(exact + _dot(rest, product(rest)))
    return _over_samples(samples)


def _xtrace(A: Operator, product: Product, products: int, seed: int) -> Found:
    """With its error by the jackknife: deleting a vector changes what is made of the products, and takes none."""
    m = products // 2
    _check_room("twice", products, m, A)
    draws = [A.gaussian(generator(seed, "xtrace", i)) for i in range(m)]
    n = (draws[0] != 0).sum(1, keepdim=True).double()
    tiny = torch.finfo(draws[0].dtype).tiny
    lengths = [torch.linalg.vector_norm(draw, dim=1, keepdim=True).clamp_min(tiny) for draw in draws]
    omega = torch.stack([n.sqrt().to(draw) * draw / size for draw, size in zip(draws, lengths, strict=True)], dim=1)
    q, r = _orthonormal(torch.stack([product(omega[:, i]) for i in range(m)], dim=1))
    images = torch.stack([product(q[:, i]) for i in range(m)], dim=1)
    h, w, r = (q @ images.mT).double(), (q @ omega.mT).double(), r.double()
    broken = ~(h.isfinite() & r.isfinite()).all(2).all(1)
    h, w, r = (part.masked_fill(broken[:, None, None], 0) for part in (h, w, r))
    epsilon = torch.finfo(q.dtype).eps
    mean = _left_out(h, w, r, n, epsilon)
    without = []
    for group in np.array_split(np.arange(m), min(m, _GROUPS)):
        kept = torch.as_tensor(np.setdiff1d(np.arange(m), group), device=r.device)
        turn, rest = torch.linalg.qr(r[:, :, kept])
        without.append(_left_out(turn.mT @ h @ turn, turn.mT @ w[:, :, kept], rest, n, epsilon))
    groups = len(without)
    error = (groups - 1) / groups**0.5 * torch.stack(without).std(0)
    known, doubt = (one.masked_fill(broken, torch.nan).cpu().numpy() for one in (mean, error))
    return known, doubt, groups


def _left_out(h: Tensor, w: Tensor, r: Tensor, n: Tensor, epsilon: float) -> Tensor:
    """The mean over i of the estimates that sketch with all m vectors but the i-th and test with it: (members,).

    With Y = A Omega = Q R, the projector on all columns of Y but the i-th is Q Q^T - (Q s_i)(Q s_i)^T, where s_i is
    R^-T e_i made of length 1. So each estimate comes of H = Q^T A Q, w_i = Q^T omega_i and the i-th column r_i of R:

        t_i = tr H - s_i^T H s_i + f_i (w_i . r_i - 2 u_i . r_i + u_i^T H u_i),    u_i = w_i - s_i (s_i . w_i)

    with f_i = (n - m + 1) / |omega_i - Q u_i|^2 for vectors of length sqrt(n) in n dimensions. Where these are no more
    than m, the sketch holds them all and tr H is the trace.
    """
    m, tiny = r.shape[2], torch.finfo(torch.float64).tiny
    identity = torch.eye(m, dtype=r.dtype, device=r.device)
    floor = (epsilon * r.abs().amax((1, 2), keepdim=True)).clamp_min(tiny)
    upper = r + floor * identity  # where Y has fewer dimensions than columns
    s = torch.linalg.solve_triangular(upper.mT, identity.expand_as(r), upper=False)
    s = s / torch.linalg.vector_norm(s, dim=1, keepdim=True)
    u = w - s * (s * w).sum(1, keepdim=True)
    factor = (n - m + 1) / (n - u.square().sum(1)).clamp_min(tiny)
    inner = (w * r).sum(1) - 2 * (u * r).sum(1) + (u * (h @ u)).sum(1)
    rest = factor * inner - (s * (h @ s)).sum(1)
    return h.diagonal(dim1=1, dim2=2).sum(1) + torch.where(n < m, 0, rest).mean(1)


def _over_samples(samples: list[Tensor]) -> Found:
    found = torch.stack(samples)
    return found.mean(0).cpu().numpy(), standard_error(found.cpu().numpy(), axis=0), len(samples)


def _check_room(times: str, products: int, vectors: int, A: Operator) -> None:
    """Raise UsageError where a sketch has more vectors than every member has active entries."""
    active = int(A.active.sum(1).max())
    if vectors > active:
        msg = f"trace products must be at most {times} the number of active {A.dimension}, {active}; got {products}."
        raise UsageError(msg)


def _rademacher(A: Operator, places: range, seed: int) -> Iterator[Vectors]:
    return (A.rademacher(generator(seed, "signs", place)) for place in places)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() * y).sum(1)


def _orthonormal(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Q^T and R of the vectors (members, vectors, n) as columns; zeros where they are not finite."""
    finite = torch.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    q, r = torch.linalg.qr(finite.mT)
    broken = ~torch.isfinite(rows).all(2).all(1)
    r[broken] = torch.nan
    return q.mT, r


def _shares(basis: Tensor, vectors: Tensor) -> Tensor:
    return (basis @ vectors.unsqueeze(2)).squeeze(2)


def _combined(basis: Tensor, shares: Tensor) -> Tensor:
    return (basis.mT @ shares.unsqueeze(2)).squeeze(2)
