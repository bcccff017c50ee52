"""Least squares by one singular value decomposition: the minimum-norm solution, and ridge at every penalty.

Nothing is added to any singular value. A ridge of 1e-8, which many codes hide in an inverse, caps the peak of double
descent.
"""

import functools
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import DataError, UsageError

Array = NDArray[np.float64]
_TALL = 2  # times as many columns as rows, from where the short side is decomposed after a QR


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """All solutions of Phi theta = y by least squares and by ridge: what `least_squares` returns.

    With Phi = U diag(s) V' of measured rank r, that is r singular values s > s_max max(examples, features) eps:

        minimum norm     theta = V diag(1/s) U'y
        ridge            theta = V diag(s / (s^2 + penalty)) U'y,   which minimizes |Phi theta - y|^2 + penalty |theta|^2

    Args:
        left: U: (examples, rank).
        singular: s, from the largest: (rank,).
        right: V': (rank, features).
        all_singular: those below the cut too: (min(examples, features),).
        targets: y, as given: (examples, ...); whatever stands behind the examples are problems of their own, such as
            classes and levels of label noise, which share the decomposition.
    """

    left: Array = field(repr=False)
    singular: Array = field(repr=False)
    right: Array = field(repr=False)
    all_singular: Array = field(repr=False)
    targets: Array = field(repr=False)

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
        return self.right.shape[1]

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
        return _times(self.right.T, _scaled(1 / self.singular, self.rotated))

    @property
    def norms(self) -> Array:
        """|theta| of the minimum-norm solution, over features: (...)."""
        return np.sqrt((_scaled(1 / self.singular, self.rotated) ** 2).sum(0))

    @property
    def train_errors(self) -> Array:
        """Mean squared error of the minimum-norm solution on the examples: (...), from residuals, not differences."""
        residuals = self.targets - _times(self.left, self.rotated)
        return (residuals**2).mean(0)

    def predict(self, features: ArrayLike) -> Array:
        """What the minimum-norm solution says of other examples (points, features): (points, ...)."""
        return _times(_columns(features, self.features), self.coefficients)

    def ridge_coefficients(self, penalties: ArrayLike) -> Array:
        """theta at every penalty: (penalties, features, ...)."""
        shrunk = self._shrunk(penalties)
        return np.stack([_times(self.right.T, one) for one in shrunk])

    def ridge_norms(self, penalties: ArrayLike) -> Array:
        """|theta| at every penalty, over features: (penalties, ...)."""
        return np.sqrt((self._shrunk(penalties) ** 2).sum(1))

    def ridge_predict(self, features: ArrayLike, penalties: ArrayLike) -> Array:
        """What ridge says of other examples (points, features), at every penalty: (penalties, points, ...)."""
        turned = _columns(features, self.features) @ self.right.T
        return np.stack([_times(turned, one) for one in self._shrunk(penalties)])

    def degrees_of_freedom(self, penalties: ArrayLike) -> Array:
        """sum s^2 / (s^2 + penalty) at every penalty: (penalties,); the rank at 0."""
        squares = self.singular**2
        return (squares / (squares + _penalties(penalties)[:, None])).sum(1)

    def smoother(self, features: ArrayLike, penalty: float = 0.0) -> Array:
        """The weights of the training targets in predictions: (points, examples), predictions = smoother @ y."""
        (by,) = self._weights([penalty])
        return (_columns(features, self.features) @ self.right.T * by) @ self.left.T

    def _weights(self, penalties: ArrayLike) -> Array:
        """s / (s^2 + penalty): (penalties, rank)."""
        return self.singular / (self.singular**2 + _penalties(penalties)[:, None])

    def _shrunk(self, penalties: ArrayLike) -> Array:
        """V'theta at every penalty: (penalties, rank, ...)."""
        weights = self._weights(penalties)
        return weights.reshape(*weights.shape, *[1] * (self.rotated.ndim - 1)) * self.rotated


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

    Cost: one singular value decomposition, of the shorter side cubed and its square times the longer.
    """
    phi, y = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if phi.ndim != 2 or 0 in phi.shape or y.ndim < 1 or len(y) != len(phi):
        msg = f"least_squares takes features (examples, features) and targets (examples, ...); got {phi.shape} and "
        raise UsageError(msg + f"{y.shape}.")
    if not (np.isfinite(phi).all() and np.isfinite(y).all()):
        msg = "least_squares got features or targets that are not finite; repair or leave out these examples."
        raise DataError(msg)
    left, singular, right = _decomposed(phi)
    cut = singular[0] * max(phi.shape) * np.finfo(np.float64).eps
    rank = int((singular > cut).sum())
    return LeastSquares(left[:, :rank], singular[:rank], right[:rank], singular, y)


def _decomposed(phi: Array) -> tuple[Array, Array, Array]:
    """U, s, V'; where one side is much longer it is turned away first, which is faster and as exact."""
    rows, columns = phi.shape
    if columns >= _TALL * rows:
        basis, corner = scipy.linalg.qr(phi.T, mode="economic", check_finite=False)
        inner, singular, left = scipy.linalg.svd(corner, check_finite=False)
        return left.T, singular, (basis @ inner).T
    return scipy.linalg.svd(phi, full_matrices=False, check_finite=False)


def _times(matrix: Array, values: Array) -> Array:
    """matrix (a, b) @ values (b, ...): (a, ...)."""
    return (matrix @ values.reshape(len(values), -1)).reshape(len(matrix), *values.shape[1:])


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
