"""Least squares by one singular value decomposition: the minimum-norm solution, and ridge at every penalty.

Nothing is added to any singular value. A ridge of 1e-8, which many codes hide in an inverse, caps the peak of double
descent.
"""

import functools
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import DataError, UsageError

Array = NDArray[np.float64]
_WIDE = 2  # times as many columns as rows, from where the Gram matrix is tried
_WELL = 1e-6  # the smallest eigenvalue over the largest from where it is as good: a condition number of 1,000


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """What `least_squares` returns: all solutions of Phi theta = y by least squares and by ridge.

    With Phi = U diag(s) V' of measured rank r, that is r singular values s > s_max max(examples, features) eps:

        minimum norm     theta = V diag(1/s) U'y
        ridge            theta = V diag(s / (s^2 + penalty)) U'y,    the least |Phi theta - y|^2 + penalty |theta|^2

    Args:
        phi: as given: (examples, features).
        targets: y, as given: (examples, ...); whatever stands behind the examples are problems of their own, such as
            classes and levels of label noise, which share the decomposition.
        left: U: (examples, rank).
        singular: s, from the largest: (rank,).
        all_singular: those below the cut too: (min(examples, features),).
        right: V': (rank, features); None where it is diag(1/s) U'Phi to rounding, and need not be made.
    """

    phi: Array = field(repr=False)
    targets: Array = field(repr=False)
    left: Array = field(repr=False)
    singular: Array = field(repr=False)
    all_singular: Array = field(repr=False)
    right: Array | None = field(repr=False)

    @property
    def rank(self) -> int:
        """The measured rank of the features on the examples."""
        return len(self.singular)

    @property
    def examples(self) -> int:
        """Rows of Phi."""
        return self.left.shape[0]

    @property
    def features(self) -> int:
        """Columns of Phi."""
        return self.phi.shape[1]

    @property
    def condition(self) -> float:
        """The largest of the singular values that count, over the smallest; infinite at rank 0."""
        return float(self.singular[0] / self.singular[-1]) if self.rank else np.inf

    @functools.cached_property
    def rotated(self) -> Array:
        """U'y: (rank, ...)."""
        return _times(self.left.T, self.targets)

    @property
    def coefficients(self) -> Array:
        """The minimum-norm theta: (features, ...)."""
        return self._back(_scaled(1 / self.singular, self.rotated))

    @property
    def norms(self) -> Array:
        """|theta| of the minimum-norm solution, over features: (...)."""
        return np.sqrt((_scaled(1 / self.singular, self.rotated) ** 2).sum(0))

    @property
    def train_errors(self) -> Array:
        """Mean squared error of the minimum-norm solution on the examples: (...)."""
        return (self.train_residuals**2).mean(0)

    @property
    def train_residuals(self) -> Array:
        """y - U U'y, what the minimum-norm solution leaves of the targets: (examples, ...)."""
        return self.targets - _times(self.left, self.rotated)

    def predict(self, features: ArrayLike) -> Array:
        """What the minimum-norm solution says of other examples (points, features): (points, ...)."""
        return _times(_columns(features, self.features), self.coefficients)

    def ridge_coefficients(self, penalties: ArrayLike) -> Array:
        """theta at every penalty: (penalties, features, ...)."""
        return np.stack([self._back(one) for one in self._shrunk(penalties)])

    def ridge_norms(self, penalties: ArrayLike) -> Array:
        """|theta| at every penalty, over features: (penalties, ...)."""
        return np.sqrt((self._shrunk(penalties) ** 2).sum(1))

    def ridge_predict(self, features: ArrayLike, penalties: ArrayLike) -> Array:
        """What ridge says of other examples (points, features), at every penalty: (penalties, points, ...)."""
        turned = self.turned(features)
        return np.stack([_times(turned, one) for one in self._shrunk(penalties)])

    def degrees_of_freedom(self, penalties: ArrayLike) -> Array:
        """sum s^2 / (s^2 + penalty) at every penalty: (penalties,); the rank at 0."""
        squares = self.singular**2
        return (squares / (squares + _penalties(penalties)[:, None])).sum(1)

    def smoother(self, features: ArrayLike, penalty: float = 0.0) -> Array:
        """The weights of the training targets in predictions: (points, examples), predictions = smoother @ y."""
        (by,) = self._weights([penalty])
        return (self.turned(features) * by) @ self.left.T

    def from_targets(self, weights: ArrayLike) -> Array:
        """V diag(weights s) U'y: what any method gives that treats singular directions apart: (features, ...).

        1/s^2 is the minimum-norm solution, 1/(s^2 + penalty) ridge.

        Args:
            weights: (rank,), or (rank, ...) where problems behind the examples have weights of their own.
        """
        by = np.asarray(weights, dtype=np.float64)
        by = by.reshape(*by.shape, *[1] * (self.rotated.ndim - by.ndim))
        return self._back(by * _scaled(self.singular, self.rotated))

    def turned(self, features: ArrayLike) -> Array:
        """Features of other examples in the basis of right singular vectors, Phi V: (points, rank)."""
        phi = _columns(features, self.features)
        if self.right is not None:
            return phi @ self.right.T
        return phi @ self.phi.T @ self.left / self.singular

    def _back(self, values: Array) -> Array:
        """V values: (rank, ...) to (features, ...)."""
        if self.right is not None:
            return _times(self.right.T, values)
        return _times(self.phi.T, _times(self.left, _scaled(1 / self.singular, values)))

    def _weights(self, penalties: ArrayLike) -> Array:
        """s / (s^2 + penalty): (penalties, rank)."""
        return self.singular / (self.singular**2 + _penalties(penalties)[:, None])

    def _shrunk(self, penalties: ArrayLike) -> Array:
        """V'theta at every penalty: (penalties, rank, ...)."""
        weights = self._weights(penalties)
        return weights.reshape(*weights.shape, *[1] * (self.rotated.ndim - 1)) * self.rotated


@in_words
def least_squares(features: ArrayLike, targets: ArrayLike) -> LeastSquares:
    """Decompose the features of a training set once, for the minimum-norm solution and ridge at every penalty.

        Phi = U diag(s) V',    rank = number of s > s_max max(examples, features) eps

    >>> import numpy as np
    >>> from thalweg.generalization.double_descent import least_squares
    >>> phi = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    >>> fit = least_squares(phi, [3.0, 4.0])
    >>> fit.coefficients.tolist(), fit.rank, float(fit.norms)
    ([3.0, 2.0, 0.0], 2, 3.605551275463989)
    >>> fit.ridge_coefficients([0.0, 1.0]).round(3).tolist(), fit.degrees_of_freedom([1.0]).tolist()
    ([[3.0, 2.0, 0.0], [1.5, 1.6, 0.0]], [1.3])

    Args:
        features: Phi: (examples, features), computed with in float64.
        targets: y: (examples, ...). Columns, such as classes or the same labels at several levels of noise, share the
            decomposition.

    Raises:
        UsageError: shapes that do not fit.
        DataError: a number that is not finite.

    Cost: one singular value decomposition: the square of the shorter side times the longer. Where there are twice as
    many features as examples, and their Gram matrix shows that the condition number is below 1,000, its
    eigenvectors are taken instead: several times faster, and s is exact to 1e-10.
    """
    phi, y = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if phi.ndim != 2 or 0 in phi.shape or y.ndim < 1 or len(y) != len(phi):
        msg = f"least_squares takes features (examples, features) and targets (examples, ...); got {phi.shape} and "
        raise UsageError(msg + f"{y.shape}.")
    if not (np.isfinite(phi).all() and np.isfinite(y).all()):
        msg = "least_squares got features or targets that are not finite; repair or leave out these examples."
        raise DataError(msg)
    if phi.shape[1] >= _WIDE * len(phi):
        values, vectors = np.linalg.eigh(phi @ phi.T)
        if values[0] > _WELL * values[-1]:  # then s is exact to 1e-10, and none is near the cut
            singular = np.sqrt(values[::-1])
            return LeastSquares(phi, y, vectors[:, ::-1], singular, singular, None)
    left, singular, right = np.linalg.svd(phi, full_matrices=False)
    rank = int((singular > singular[0] * max(phi.shape) * np.finfo(np.float64).eps).sum())
    return LeastSquares(phi, y, left[:, :rank], singular[:rank], singular, right[:rank])


def _times(matrix: Array, values: Array) -> Array:
    """matrix (a, b) @ values (b, ...): (a, ...)."""
    return (matrix @ values.reshape(len(values), math.prod(values.shape[1:]))).reshape(len(matrix), *values.shape[1:])


def _scaled(weights: Array, values: Array) -> Array:
    """Each row of values (rows, ...) times its weight (rows,)."""
    return weights.reshape(-1, *[1] * (values.ndim - 1)) * values


def _columns(features: ArrayLike, number: int) -> Array:
    phi = np.asarray(features, dtype=np.float64)
    if phi.ndim != 2 or phi.shape[1] != number:
        msg = f"The fit has {number} features, so it takes (points, {number}); got {phi.shape}."
        raise UsageError(msg)
    return phi


def _penalties(penalties: ArrayLike) -> Array:
    found = np.atleast_1d(np.asarray(penalties, dtype=np.float64))
    if found.ndim != 1 or not (np.isfinite(found).all() and (found >= 0).all()):
        msg = f"Ridge penalties are finite numbers of at least 0, one or a list of them; got {penalties!r}."
        raise UsageError(msg)
    return found
