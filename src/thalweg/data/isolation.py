"""Run code that draws from the global random generators without leaving a trace in them."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from thalweg.randomness import global_stream, stream_key


@contextlib.contextmanager
def isolated(purpose: str, counter: int = 0) -> Iterator[None]:
    """Python's, numpy's and torch's global generators at the start of a fixed stream; restored after."""
    key = stream_key(0, purpose, counter)
    ours, theirs = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with global_stream(0, purpose, counter):
            random.seed(key)
            np.random.seed(key % 2**32)  # noqa: NPY002
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(theirs)  # noqa: NPY002


def states() -> tuple[Any, ...]:
    """Of the global generators, to be compared."""
    arrays: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    numpy_state = (arrays["state"]["key"].tobytes(), arrays["state"]["pos"], arrays["has_gauss"])
    return random.getstate(), numpy_state, torch.get_rng_state().numpy().tobytes()
