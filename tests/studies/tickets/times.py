"""Seconds that are made up, of the arms of LTH8."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thalweg.studies.tickets import hardware

TRUE = {hardware.MULTIPLIED: 1.2, hardware.SLICED: 1 / 8, hardware.CSR: 1 / 1.7}  # those of dense are 1


def seconds_of(
    arms: Sequence[str], rounds: int, noise: float = 0.02, drift: float = 0.0, **change: float
) -> NDArray[np.float64]:
    """Of every round and arm by those of dense, with noise of every call, and a copy that is slower by `drift`."""
    of = np.array([(TRUE | change).get(name, 1.0) for name in arms])
    seconds = of * np.exp(noise * np.random.default_rng(0).normal(size=(rounds, len(arms))))
    seconds[:, list(arms).index(hardware.COPY)] *= 1 + drift
    return seconds
