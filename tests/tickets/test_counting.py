"""Numbers of subnetworks against exact integers."""

import math

import pytest

from thalweg.errors import UsageError
from thalweg.tickets import log10_subnetworks


@pytest.mark.parametrize(("weights", "kept"), [(1, 0), (10, 10), (52, 5), (2_000, 200), (10_000, 2_500)])
def test_the_logarithm_is_that_of_the_exact_number(weights: int, kept: int) -> None:
    digits = str(math.comb(weights, kept))
    exact = math.log10(float(f"0.{digits[:17]}")) + len(digits)
    assert log10_subnetworks(weights, kept) == pytest.approx(exact, abs=1e-8)


def test_the_number_of_the_lecture() -> None:
    found = log10_subnetworks(10**6, 10**5)
    assert found == pytest.approx(141_178.865, abs=1e-3)
    entropy = -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))
    assert found == pytest.approx(10**6 * entropy * math.log10(2), abs=math.log10(10**6))
    with pytest.raises(UsageError, match="from 0 to all"):
        log10_subnetworks(5, 6)
