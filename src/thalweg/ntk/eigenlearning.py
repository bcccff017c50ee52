"""What kernel regression will err by on new examples, from the kernel's eigenvalues and the target's share in each."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_type
from thalweg.figures import Axis, Figure, Line
from thalweg.ntk.arrays import Array, square, targets_of
from thalweg.results import Cost, Provenance, Reading, Result

_HALVINGS = 200  # of the interval for log kappa, at most


@dataclass(frozen=True, eq=False)
class Eigenlearning(Result):
    """What `eigenlearning` found.

    Args:
        reading: over the number of examples "n": "test error", the mean of (f - y)^2 over new examples and their noise;
            "train error"; "overfitting", E_0, by which noise and missed modes are magnified; "kappa"; and
            "learnability" (n, mode), L_i. An error is infinite where examples are as many as modes and nothing damps.
    """

    def figure(self) -> Figure:
        """The learning curve: errors over the number of examples."""
        at = self.reading.coordinate("n")
        scale = "log" if len(at) > 1 and at[-1] >= 8 * at[0] else "linear"
        lines = [
            Line(at, np.where(np.isfinite(values) & (values > 0), values, np.nan), label=name)
            for name in ("test error", "train error")
            if ((values := self[name]) > 0).any()
        ]
        x, y = Axis("training examples", scale=scale), Axis("squared error", scale="log")
        return Figure.of(self.reading.name, lines, x, y, caption=" ".join(self.reading.notes))


@in_words
def eigenlearning(
    eigenvalues: ArrayLike,
    coefficients: ArrayLike,
    n: int | Sequence[int],
    *,
    ridge: float = 0.0,
    noise: float = 0.0,
) -> Eigenlearning:
    """The error of kernel regression with K + ridge on n examples drawn at random, in the mean over such draws.

    With K(x, x') = sum_i lambda_i phi_i(x) phi_i(x') for orthonormal phi_i, and y = sum_i v_i phi_i + noise:

        sum_i L_i + ridge / kappa = n,    L_i = lambda_i / (lambda_i + kappa)
        test error = E_0 (sum_i (1 - L_i)^2 v_i^2 + noise^2),    E_0 = n / (n - sum_i L_i^2)
        train error = (ridge / (n kappa))^2 test error

    L_i is the part of mode i that is learnt; together they are at most n. It is exact for many modes whose values are
    as good as independent. Measured for arc-cosine and exponential kernels on spheres in 5 and 10 dimensions, 40 and
    100 examples: within 3 % for the sign of a coordinate, 3 to 40 % too low for few modes that are all but learnt.

    >>> import thalweg as tw
    >>> found = tw.ntk.eigenlearning([1.0] * 100, [0.1] * 100, [50], noise=0.0)
    >>> found["test error"].round(3).tolist(), found["learnability"].sum().round(3).item()
    ([0.5], 50.0)

    Args:
        eigenvalues: lambda_i, not negative: (modes,); `eigenmodes` has those of a kernel matrix.
        coefficients: v_i: (modes,), or (modes, outputs), whose errors add up.
        n: training examples, one or several numbers.
        ridge: added to the diagonal of the kernel matrix, not negative.
        noise: standard deviation of the noise in the targets, in training and new ones alike.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: some ten sums over the modes for each n.

    References:
        Simon et al. (2021), The eigenlearning framework, arXiv:2110.03922; Bordelon, Canatar & Pehlevan (2020),
        arXiv:2002.02561; Jacot et al. (2020), arXiv:2006.09796.
    """
    began = time.perf_counter()
    values, squares = _modes(eigenvalues, coefficients)
    sizes = _sizes(n)
    check_type("eigenlearning ridge", ridge, (int, float), "a number such as 1e-3")
    check_type("eigenlearning noise", noise, (int, float), "a standard deviation")
    if not (0 <= ridge < math.inf and 0 <= noise < math.inf):
        msg = f"eigenlearning ridge and noise must be finite and not negative; got {ridge} and {noise}."
        raise UsageError(msg)
    kappa = np.array([_kappa(values, size, ridge) for size in sizes])
    whole = values + kappa[:, None]  # kappa is 0 where the examples determine all modes
    learnt = np.where(values > 0, values / np.where(whole > 0, whole, 1.0), 0.0)
    left = np.maximum(sizes - (learnt**2).sum(1), 0.0)
    missed = ((1 - learnt) ** 2 * squares).sum(1) + noise**2
    with np.errstate(divide="ignore"):
        overfitting = sizes / left
    test = np.where(missed > 0, overfitting * np.where(missed > 0, missed, 1.0), 0.0)
    damped = np.where(kappa > 0, ridge / (sizes * np.where(kappa > 0, kappa, 1.0)), 0.0)
    damped = np.where(kappa > 0, damped, np.maximum(1 - (values > 0).sum() / sizes, 0.0))
    train = np.where(damped > 0, damped**2 * np.where(damped > 0, test, 0.0), 0.0)
    arrays = {
        "test error": test,
        "train error": train,
        "overfitting": overfitting,
        "kappa": kappa,
        "learnability": learnt,
    }
    reading = Reading(
        "predicted learning curve",
        arrays,
        {name: ("n", "mode")[: one.ndim] for name, one in arrays.items()},
        {"n": sizes},
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(dtype="float64"),
        notes=(f"Predicted from {len(values):,} eigenvalues, ridge {ridge:g}, noise {noise:g}.",),
    )
    return Eigenlearning(reading)


@in_words
def eigenmodes(kernel: ArrayLike | Tensor, targets: ArrayLike | Tensor) -> tuple[Array, Array]:
    """The eigenvalues lambda_i and coefficients v_i that `eigenlearning` takes, from a kernel on many examples.

        K / N = Q diag(lambda) Q^T,    v = Q^T y / root(N),    so that sum_i v_i^2 is the mean of y^2

    N examples stand for the population, so they should be many times the training examples that are asked about.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> values, coefficients = tw.ntk.eigenmodes(np.diag([4.0, 2.0]), [1.0, 3.0])
    >>> values.tolist(), (coefficients**2).sum().round(6).item()
    ([2.0, 1.0], 5.0)

    Args:
        kernel: (N, N).
        targets: (N,) or (N, outputs).

    Returns:
        eigenvalues: descending, negative ones of rounding being 0: (N,).
        coefficients: (N, outputs).

    Raises:
        UsageError: no such kernel or targets.

    Cost: an eigendecomposition, N^3.
    """
    whole = square("eigenmodes", kernel)
    if whole.ndim != 2 or not bool(whole.isfinite().all()):
        msg = f"eigenmodes takes one finite kernel (N, N); got {tuple(whole.shape)}."
        raise UsageError(msg)
    count = len(whole)
    y = targets_of("eigenmodes", targets, count).to(whole)
    values, vectors = torch.linalg.eigh(whole / count)
    coefficients = vectors.mT @ y / math.sqrt(count)
    return values.flip(0).clamp_min(0).cpu().numpy(), coefficients.flip(0).cpu().numpy()


def _kappa(values: Array, n: int, ridge: float) -> float:
    """The root of sum_i L_i + ridge / kappa = n, by halving; 0 where n examples determine all modes and no ridge is."""
    positive = values[values > 0]
    if not ridge and n >= len(positive):
        return 0.0
    # f falls in kappa: below the first bracket every term of it is too large, and above the second too small
    low = ridge / n if ridge else positive.min() * (len(positive) - n) / n
    low, high = math.log(low) - 1e-9, math.log((positive.sum() + ridge) / n) + 1e-9
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        kappa = math.exp(middle)
        above = (positive / (positive + kappa)).sum() + ridge / kappa > n
        low, high = (middle, high) if above else (low, middle)
        if high - low < 1e-15 * max(1.0, abs(low)):
            break
    return math.exp((low + high) / 2)


def _modes(eigenvalues: ArrayLike, coefficients: ArrayLike) -> tuple[Array, Array]:
    """Eigenvalues, and squares of coefficients summed over outputs: (modes,) each."""
    values, v = np.asarray(eigenvalues, dtype=np.float64), np.asarray(coefficients, dtype=np.float64)
    fits = values.ndim == 1 and v.ndim in (1, 2) and len(v) == len(values) > 0
    if not fits or not np.isfinite(values).all() or not np.isfinite(v).all() or (values < 0).any():
        msg = (
            "eigenlearning takes finite eigenvalues (modes,), none negative, and coefficients (modes,) or (modes, "
            f"outputs); got {values.shape} and {v.shape}."
        )
        raise UsageError(msg)
    return values, (v**2).reshape(len(v), -1).sum(1)


def _sizes(n: int | Sequence[int]) -> Array:
    sizes = np.atleast_1d(np.asarray(n))
    if sizes.ndim != 1 or not len(sizes) or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        msg = f"eigenlearning n must be whole numbers of training examples, at least 1; got {n!r}."
        raise UsageError(msg)
    return sizes
