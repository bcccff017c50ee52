"""Random features: fixed random functions of the input, of which a linear model is then fitted.

Features are drawn in blocks of 64, each from a stream of its own, so that the first N of a larger draw are those of a
smaller one: curves over the number of features are paired.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import DataError, UsageError, check_count, check_type
from thalweg.randomness import generator

Array = NDArray[np.float64]
_BLOCK = 64  # features drawn from one stream


@dataclass(frozen=True)
class FourierFeatures:
    """Random Fourier features, whose kernel tends to that of a Gaussian.

        phi(x) = sqrt(2/N) cos(V'x + b),    V ~ N(0, scale^2), b ~ U(0, 2 pi)
        phi(x) . phi(y) -> exp(-scale^2 |x - y|^2 / 2)  as N grows

    >>> import numpy as np
    >>> import thalweg as tw
    >>> from thalweg.generalization import double_descent
    >>> features = double_descent.FourierFeatures(3, 100, scale=0.5, seed=0)
    >>> phi = features(np.ones((5, 3)))
    >>> phi.shape, phi.dtype
    ((5, 100), dtype('float64'))
    >>> fewer = double_descent.FourierFeatures(3, 30, scale=0.5, seed=0)(np.ones((5, 3)))
    >>> bool(np.allclose(fewer * np.sqrt(30), phi[:, :30] * np.sqrt(100)))
    True

    Args:
        inputs: numbers an example has.
        number: of features, N.
        scale: standard deviation of the frequencies, one over the width of the kernel.
        seed: of the draw; fewer features of one seed are the first of more.

    Raises:
        UsageError: numbers that cannot be meant.

    References:
        Rahimi & Recht (2007), Random features for large-scale kernel machines.
    """

    inputs: int
    number: int
    scale: float
    seed: int = 0

    def __post_init__(self) -> None:
        _check_numbers("FourierFeatures", self.inputs, self.number, self.seed)
        check_type("FourierFeatures scale", self.scale, (int, float), "a number above 0")
        if not 0 < self.scale < math.inf:
            msg = f"FourierFeatures scale must be a finite number above 0; got {self.scale}."
            raise UsageError(msg)

    @property
    def frequencies(self) -> Array:
        """V, a column a feature: (inputs, features)."""
        return self.scale * _normal(self.seed, "fourier frequencies", self.number, self.inputs).T

    @property
    def phases(self) -> Array:
        """b: (features,)."""
        return 2 * math.pi * _uniform(self.seed, "fourier phases", self.number)

    def __call__(self, x: ArrayLike) -> Array:
        """The features of examples (examples, inputs): (examples, features)."""
        values = torch.from_numpy(_rows("FourierFeatures", x, self.inputs) @ self.frequencies + self.phases)
        return values.cos_().mul_(math.sqrt(2 / self.number)).numpy()  # torch's cosine is ten times as fast as NumPy's


@dataclass(frozen=True)
class ReluFeatures:
    """Random ReLU features: a hidden layer that is not trained.

        phi(x) = relu(W x / sqrt(d)) / sqrt(N),    rows of W uniform on the sphere of radius sqrt(d)

    >>> import numpy as np
    >>> import thalweg as tw
    >>> features = tw.generalization.double_descent.ReluFeatures(3, 100, seed=0)
    >>> phi = features(np.ones((5, 3)))
    >>> phi.shape, bool((phi >= 0).all())
    ((5, 100), True)

    Args:
        inputs: numbers an example has, d.
        number: of features, N.
        seed: of the draw; fewer features of one seed are the first of more.

    Raises:
        UsageError: numbers that cannot be meant.

    References:
        Mei & Montanari (2019), arXiv:1908.05355; what they predict is `random_features_risk`.
    """

    inputs: int
    number: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_numbers("ReluFeatures", self.inputs, self.number, self.seed)

    @property
    def weights(self) -> Array:
        """W, a row a feature: (features, inputs)."""
        rows = _normal(self.seed, "relu features", self.number, self.inputs)
        return rows * (math.sqrt(self.inputs) / np.linalg.norm(rows, axis=1, keepdims=True))

    def __call__(self, x: ArrayLike) -> Array:
        """The features of examples (examples, inputs): (examples, features)."""
        values = _rows("ReluFeatures", x, self.inputs) @ self.weights.T
        np.maximum(values, 0, out=values)
        values /= math.sqrt(self.inputs * self.number)
        return values


def _check_numbers(name: str, inputs: int, number: int, seed: int) -> None:
    check_count(f"{name} inputs", inputs)
    check_count(f"{name} number", number)
    check_type(f"{name} seed", seed, int, "a whole number")


def _rows(name: str, x: ArrayLike, inputs: int) -> Array:
    rows = np.asarray(x, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != inputs:
        msg = f"{name} takes examples of {inputs} numbers, shape (examples, {inputs}); got {rows.shape}."
        raise UsageError(msg)
    if not np.isfinite(rows).all():
        msg = f"{name} got inputs that are not finite; repair or leave out these examples."
        raise DataError(msg)
    return rows


def _normal(seed: int, purpose: str, rows: int, columns: int) -> Array:
    """(rows, columns) of N(0, 1), by blocks of rows."""
    draws = [
        torch.randn(_BLOCK, columns, generator=generator(seed, purpose, block), dtype=torch.float64)
        for block in range(math.ceil(rows / _BLOCK))
    ]
    return torch.cat(draws)[:rows].numpy()


def _uniform(seed: int, purpose: str, count: int) -> Array:
    """(count,) of U(0, 1), by blocks."""
    draws = [
        torch.rand(_BLOCK, generator=generator(seed, purpose, block), dtype=torch.float64)
        for block in range(math.ceil(count / _BLOCK))
    ]
    return torch.cat(draws)[:count].numpy()
