"""In how many dimensions data lie, beside Gaussians of the same covariance."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Bars, Figure
from thalweg.guard import guarded
from thalweg.randomness import generator
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]
_AT_ONCE = 2_048  # rows of distances


@dataclass(frozen=True, eq=False)
class IntrinsicDimension(Result):
    """What `intrinsic_dimension` found.

    Args:
        reading: "dimension" () of the data, with a standard error over points; "clone dimension" (clone), of Gaussian
            samples of as many points and the same covariance; "points" (), how many are different.
    """

    def figure(self) -> Figure:
        """The dimension of the data beside that of Gaussians with its covariance."""
        clones = self["clone dimension"]
        labels, values = ["data"], [float(self["dimension"])]
        if len(clones):
            labels, values = [*labels, "Gaussian, same covariance"], [*values, float(clones.mean())]
        caption = " ".join(self.reading.notes)
        return Figure.of(
            "Dimension", [Bars(labels, np.array(values))], Axis(), Axis("intrinsic dimension"), caption=caption
        )


@guarded
def intrinsic_dimension(
    inputs: ArrayLike | Tensor, *, neighbors: int = 2, clones: int = 5, seed: int = 0
) -> IntrinsicDimension:
    """The dimension of data near each point, from the distances r_1 <= ... <= r_k to its nearest neighbors.

        d = (n (k - 1) - 1) / sum over points, j < k of ln(r_k / r_j)

    With k = 2 it is the two-nearest-neighbors estimate (Facco et al., 2017), and with larger k that of maximum
    likelihood (Levina & Bickel, 2004; MacKay & Ghahramani, 2005), on a larger scale. Points are as if uniform near each
    other, so that a sample of few points in many dimensions comes out too low: compare with the Gaussians of as many
    points and the same covariance, which have all that means and covariances say and no more structure.

    >>> import numpy as np
    >>> from thalweg.generalization import simplicity
    >>> plane = np.random.default_rng(0).random((1_000, 2)) @ np.random.default_rng(1).standard_normal((2, 10))
    >>> found = simplicity.intrinsic_dimension(plane)
    >>> round(float(found["dimension"]), 1), round(float(found["clone dimension"].mean()), 1)
    (2.0, 1.9)

    Args:
        inputs: (points, ...), in any unit; points that are there twice count once, and so do those that differ by no
            more than the rounding of their numbers.
        neighbors: k, at least 2.
        clones: Gaussian samples; 0 for none.
        seed: of the clones, the stream (seed, "intrinsic dimension").

    Raises:
        UsageError: numbers that are not finite, no more different points than neighbors, or neighbors that are equally
            far from every point, as on a grid.

    Cost: all distances, n^2 times features, of the data and of every clone.

    Papers: Facco et al. (2017), arXiv:1803.06992; Levina & Bickel (2004), NeurIPS 17.
    """
    check_count("intrinsic_dimension neighbors", neighbors, 2)
    check_count("intrinsic_dimension clones", clones, 0)
    given = torch.as_tensor(inputs if isinstance(inputs, Tensor) else np.asarray(inputs)).cpu()
    x = given.double()
    x = x.flatten(1) if x.ndim > 1 else x.reshape(-1, 1)
    if not bool(x.isfinite().all()) or not x.shape[1]:
        msg = f"intrinsic_dimension needs finite numbers (points, ...), at least one a point; got {tuple(given.shape)}"
        raise UsageError(msg + ". Drop the rows that have others.")
    if bool(x.any()):  # squares of very small and of very large numbers are none; powers of 2 leave all digits
        places = int(torch.frexp(x.abs().max()).exponent)
        x = x * 2.0 ** -(places // 2) * 2.0 ** -(places - places // 2)
    x = _apart(x.unique(dim=0), torch.finfo(given.dtype).eps if given.is_floating_point() else 0.0)
    if len(x) <= neighbors + 1:
        msg = f"intrinsic_dimension with {neighbors} neighbors needs more than {neighbors + 1} different points; got "
        raise UsageError(msg + f"{len(x)}.")
    found = _dimension(x, neighbors)
    if np.isinf(found):
        msg = f"The {neighbors} nearest neighbors of every point are equally far, as on a grid; take more neighbors."
        raise UsageError(msg)
    many = len(x) * (neighbors - 1)
    values, vectors = torch.linalg.eigh(x.T.cov().reshape(x.shape[1], x.shape[1]))
    root = vectors * values.clamp_min(0).sqrt()
    drawn = [
        torch.randn(*x.shape, generator=generator(seed, "intrinsic dimension", clone), dtype=torch.float64) @ root.T
        for clone in range(clones)
    ]
    reading = Reading(
        "intrinsic dimension",
        {
            "dimension": np.array(found),
            "clone dimension": np.array([_dimension(one, neighbors) for one in drawn]),
            "points": np.array(len(x)),
        },
        {"clone dimension": ("clone",)},
        standard_errors={"dimension": np.array(found / max(many - 2, 1) ** 0.5)},
        sample_size=len(x),
        provenance=Provenance.here(seed, dtype="float64"),
        notes=(f"Of {len(x):,} different points by {neighbors} neighbors; the error takes points as independent.",),
    )
    return IntrinsicDimension(reading)


def _apart(x: Tensor, rounding: float) -> Tensor:
    """The points without those that are another one but for rounding: the first of each remains."""
    kept = torch.ones(len(x), dtype=torch.bool)
    for start in range(0, len(x), _AT_ONCE):
        rows = x[start : start + _AT_ONCE]
        near = (
            torch.cdist(rows, x, compute_mode="donot_use_mm_for_euclid_dist")
            <= 2 * rounding * rows.norm(dim=1)[:, None]
        )
        kept[start : start + len(rows)] = ~near.tril(start - 1).any(1)
    return x[kept]


def _dimension(x: Tensor, neighbors: int) -> float:
    total = 0.0
    for start in range(0, len(x), _AT_ONCE):
        distances = torch.cdist(x[start : start + _AT_ONCE], x, compute_mode="donot_use_mm_for_euclid_dist")
        rows = torch.arange(len(distances))
        distances[rows, rows + start] = torch.inf
        near = distances.topk(neighbors, dim=1, largest=False).values
        total += float((near[:, -1:] / near[:, :-1]).log().sum())
    many = len(x) * (neighbors - 1)
    return (many - 1) / total if total > 0 else float("inf")
