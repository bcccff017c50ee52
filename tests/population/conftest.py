"""What several tests of populations share."""

from collections.abc import Iterator

import pytest
import torch

from thalweg.population import threads


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two of torch's threads, however many the tests are run with, and new ones to compute rows."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    threads._pool.cache_clear()
    yield
    torch.set_num_threads(before)
