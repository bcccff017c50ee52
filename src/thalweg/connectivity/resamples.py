"""The bootstrap over examples, with the same resamples at every point of a path."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thalweg.randomness import stream_key
from thalweg.statistics.student_t import LEVEL

Array = NDArray[np.float64]
_AT_ONCE = 2**24  # counts in memory at once


class Resamples:
    """Samples with replacement of so many examples, the same ones whenever they are asked for.

    Means at different points of a path over one resample have the luck of its examples in common, which a difference
    between points then does not have (common random numbers).

    >>> import torch
    >>> from thalweg.connectivity.resamples import Resamples
    >>> values = torch.tensor([[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]])
    >>> means = Resamples(examples=3, number=100).means(values)
    >>> means.shape, bool((abs(means[:, 1] - means[:, 0] - 2) < 1e-12).all())
    ((100, 2), True)

    Args:
        examples: of which there are values.
        number: of resamples.
        seed: of the stream (seed, "resamples").

    Memory: 2^24 counts at once, 128 MiB; more are drawn again for every call.
    """

    def __init__(self, examples: int, number: int, seed: int = 0) -> None:
        self.examples, self.number, self.seed = examples, number, seed
        self.size = max(1, min(number, _AT_ONCE // examples))

    def means(self, values: Tensor, weights: Tensor | None = None) -> Array:
        """The mean, or sum(w l) / sum(w), over every resample: of (points, examples) to (number, points)."""
        table = values.double().cpu().numpy()
        heavy = None if weights is None else weights.double().cpu().numpy()
        found = np.empty((self.number, len(table)))
        for tile, start in enumerate(range(0, self.number, self.size)):
            stop = min(start + self.size, self.number)
            drawn = self._only if self.size == self.number else self._tile(tile, stop - start)
            if heavy is None:
                found[start:stop] = drawn @ table.T / self.examples
            else:
                with np.errstate(invalid="ignore"):  # a resample of which nothing counts has no mean
                    found[start:stop] = drawn @ (table * heavy).T / (drawn @ heavy.T)
        return found

    @cached_property
    def _only(self) -> Array:
        return self._tile(0, self.number)

    def _tile(self, tile: int, number: int) -> Array:
        """How often every example is drawn: (number, examples)."""
        stream = np.random.default_rng(stream_key(self.seed, "resamples", tile))
        found = np.empty((number, self.examples))
        for row in found:  # several times faster than multinomial counts of many examples
            row[:] = np.bincount(stream.integers(0, self.examples, self.examples), minlength=self.examples)
        return found


def ends(draws: Array, *, axis: int) -> tuple[Array, Array]:
    """The 2.5 % and the 97.5 % points over resamples; NaN where one of them is not finite.

    >>> import numpy as np
    >>> from thalweg.connectivity.resamples import ends
    >>> [float(end) for end in ends(np.arange(1.0, 200.0), axis=0)]
    [5.0, 195.0]
    """
    ordered = np.moveaxis(np.sort(draws, axis=axis), axis, 0)
    tail = max(1, int((len(ordered) + 1) * (1 - LEVEL) / 2))  # no farther in than they should be
    known = np.isfinite(draws).all(axis)
    return np.where(known, ordered[tail - 1], np.nan), np.where(known, ordered[-tail], np.nan)
