"""Bounds on the risk of kernel regression, from the kernel and the targets of the training examples alone."""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_type
from thalweg.figures import Axis, Bars, Figure, ReferenceLine
from thalweg.ntk.arrays import Array, broken, precision, square, targets_of
from thalweg.ntk.ridges import Ridge, ridges_of, said
from thalweg.results import Cost, Provenance, Reading, Result

_PER_DOUBLING = 4  # radii for which the bound is to hold at once
_OF_ALL_RADII = math.pi**2 / 3 - 1  # the sum of 1 / (1 + |k|)^2 over all whole k


@dataclass(frozen=True, eq=False)
class KernelBounds(Result):
    """What `bounds` found.

    Args:
        reading: (member) each: "norm" of the predictor in the kernel's space; "RKHS bound", "fine-grained bound",
            "training risk" and "risk bound" (see `bounds`); "jitter", what was added to the diagonal since the kernel
            is singular to working precision, 0 where it is not; "unfitted", the part of the targets that the predictor
            leaves on the training examples, |f - y| / |y|. NaN where a kernel is not finite.
    """

    def figure(self) -> Figure:
        """The bounds of every member, with the risk of a guess."""
        names = "training risk", "RKHS bound", "risk bound"
        members = [f"{member}" for member in range(len(self["norm"]))]
        return Figure.of(
            self.reading.name,
            (*(Bars(members, self[name], label=name) for name in names), ReferenceLine(1.0, label="says nothing")),
            Axis("member"),
            Axis("risk"),
            caption=" ".join(self.reading.notes),
        )


@in_words
def bounds(
    kernel: ArrayLike | Tensor, targets: ArrayLike | Tensor, *, ridge: Ridge = 0.0, delta: float = 0.05
) -> KernelBounds:
    """Bounds on the risk of kernel regression f = K(., X) (K + ridge)^(-1) y, none of which sees a test example.

        norm             |f|, with |f|^2 = a^T K a and a = (K + ridge)^(-1) y; y^T K^(-1) y without a ridge
        RKHS bound       |f| root(tr K) / n, at least the Rademacher complexity of all functions of this norm
        fine-grained     |f| root(2 / n): twice the former where K has 1/2 on its diagonal, as that of the hidden
                         layer of a two-layer ReLU net on inputs of length 1 has, for which it is proved
        risk bound       training risk + 2 |f|' root(tr K) / n + 3 root(log(2 / delta') / (2 n))

    The last is a bound in full: with probability 1 - delta over training sets of independent examples, the mean of
    min(1, |f(x) - y|) over the population, which the share of wrong signs is not above for y of -1 and 1, is at most
    it. For it to hold for whatever norm comes out, |f|' is the next of the radii 2^(k/4), and delta' the part of delta
    that this one has. Of several outputs norms add up, |.| is Euclidean, and the second term is root(2 C) as much for C
    of them (Maurer, 2016). The first two measure complexity alone, and are to be read beside the training risk.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> found = tw.ntk.bounds(np.eye(4) / 2, [1.0, -1.0, 1.0, 1.0])
    >>> found["norm"].round(3).tolist(), found["RKHS bound"].round(3).tolist()
    ([2.828], [1.0])

    Args:
        kernel: of the training examples: (members, n, n) or (n, n).
        targets: (n,) or (n, outputs).
        ridge: of the regression, added to the diagonal as it is, as in `regression`: a number, or one for each member.
        delta: the probability with which the risk bound may fail.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: an eigendecomposition, n^3. A kernel that is singular to working precision gets n eps lambda_max on its
    diagonal, which is reported, and nothing is fitted in directions whose eigenvalues are not above that.

    References:
        Bartlett & Mendelson (2002, Rademacher and Gaussian complexities); Arora et al. (2019), arXiv:1901.08584,
        theorem 5.1; Maurer (2016), arXiv:1605.00251.
    """
    began, whole = time.perf_counter(), square("bounds", kernel)
    _check(whole, delta)
    whole = whole if whole.ndim == 3 else whole[None]
    added = ridges_of("bounds", ridge, len(whole), whole.device)[:, None]
    n = whole.shape[-1]
    y = targets_of("bounds", targets, n).to(whole)
    lost = broken(whole)
    values, vectors = torch.linalg.eigh(whole.masked_fill(lost[:, None, None], 0))
    values, tiny = values.clamp_min(0), torch.finfo(torch.float64).tiny
    floor = (n * precision(kernel) * values[:, -1:]).clamp_min(tiny)
    jitter = torch.where(values[:, :1] + added <= floor, floor, 0.0)
    # Of a direction that rounding alone gives an eigenvalue nothing is fitted, or targets would be by chance.
    values = values.masked_fill((values <= floor) & (jitter > 0), 0)
    shares, solved = vectors.mT @ y, values + added + jitter
    norm = torch.linalg.vector_norm((values.sqrt() / solved)[:, :, None] * shares, dim=(1, 2))
    rest = vectors @ (((added + jitter) / solved)[:, :, None] * shares)
    trained = torch.linalg.vector_norm(rest, dim=2).clamp_max(1).mean(1)
    unfitted = torch.linalg.vector_norm(rest, dim=(1, 2)) / torch.linalg.vector_norm(y).clamp_min(tiny)
    of_norm = values.sum(1).sqrt() / n
    several = 1.0 if y.shape[1] == 1 else math.sqrt(2 * y.shape[1])
    place = torch.ceil(_PER_DOUBLING * torch.log2(norm.clamp_min(tiny)))
    part = delta / (_OF_ALL_RADII * (1 + place.abs()).square())
    doubt = 3 * ((2 / part).log() / (2 * n)).sqrt()
    found = {
        "norm": norm,
        "RKHS bound": norm * of_norm,
        "fine-grained bound": norm * math.sqrt(2 / n),
        "training risk": trained,
        "risk bound": trained + 2 * several * torch.exp2(place / _PER_DOUBLING) * of_norm + doubt,
        "jitter": jitter[:, 0],
        "unfitted": unfitted,
    }
    arrays = {name: one.masked_fill(lost, torch.nan).cpu().numpy() for name, one in found.items()}
    reading = Reading(
        "bounds of kernel regression",
        arrays,
        dict.fromkeys(arrays, ("member",)),
        sample_size=n,
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(device=str(whole.device), dtype="float64"),
        notes=(
            f"{said(added)} The risk bound fails with a probability of at most {delta:g}.",
            *_said(arrays["jitter"], arrays["unfitted"]),
        ),
    )
    return KernelBounds(reading)


def _check(kernels: Tensor, delta: float) -> None:
    check_type("bounds delta", delta, (int, float), "a probability such as 0.05")
    if kernels.ndim > 3 or not 0 < delta < 1:
        msg = (
            f"bounds takes kernels (members, n, n) and a delta between 0 and 1; got {tuple(kernels.shape)} and {delta}."
        )
        raise UsageError(msg)


def _said(jitter: Array, unfitted: Array) -> tuple[str, ...]:
    """Of kernels that are singular to working precision."""
    if not (jitter > 0).any():
        return ()
    return (
        f"{int((jitter > 0).sum())} of {len(jitter)} kernels are singular to working precision: up to "
        f"{np.nanmax(jitter):.3g} was added to the diagonal, and up to {np.nanmax(unfitted):.3g} of the targets is not "
        "fitted.",
    )
