"""Every test and doctest begins with the same random streams, whichever ran before it."""

import random

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def same_random_streams() -> None:
    """What draws without a seed draws the same numbers again, so that a failure can be seen twice."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (the stream that code of users may still draw from)
    torch.manual_seed(0)
