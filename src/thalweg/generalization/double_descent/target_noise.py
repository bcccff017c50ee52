"""Noise on targets that are numbers."""

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.randomness import generator

Array = NDArray[np.float64]


def target_noise(targets: Array, level: float, seed: int) -> Array:
    """Normal noise of so many standard deviations of each target over the examples: in the shape of the targets.

    >>> import numpy as np
    >>> from thalweg.generalization.double_descent.target_noise import target_noise
    >>> added = target_noise(np.arange(10_000.0), 0.5, seed=0)
    >>> bool(abs(added.std() / np.arange(10_000.0).std() - 0.5) < 0.01)
    True

    Args:
        targets: (examples, ...).
        level: standard deviations of the noise, in those of the target.
        seed: of the stream "target noise".
    """
    draw = torch.randn(targets.shape, generator=generator(seed, "target noise"), dtype=torch.float64)
    return level * targets.std(0) * draw.numpy()
