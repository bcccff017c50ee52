"""What docs/coverage.md says about intervals, computed again in part, and what is promised of each."""

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).parents[2]
FEWER = 1_500  # data sets a number


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", ROOT / "benchmarks" / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, dict[int, tuple[float, float, float]]]]:
    """The numbers of the page as shares, by interval, law and n: covered, below the truth, above it."""
    tables: dict[str, dict[str, dict[int, tuple[float, float, float]]]] = {}
    name, sizes = "", []
    for line in (ROOT / "docs" / "coverage.md").read_text().splitlines():
        if line.startswith("##"):
            name = line.lstrip("# ").strip("`")
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if line.startswith("| values"):
            sizes = [int(cell.removeprefix("n = ")) for cell in cells[1:]]
        elif line.startswith("| ") and not line.startswith("| *"):
            numbers = {n: re.findall(r"[\d.]+", cell) for n, cell in zip(sizes, cells[1:], strict=True) if cell}
            shares = {n: tuple(float(one) / 100 for one in found) for n, found in numbers.items()}
            tables.setdefault(name, {})[cells[0]] = shares
    return tables


def test_the_page_has_every_number(coverage, recorded) -> None:
    for name, method in coverage.METHODS.items():
        assert set(recorded[name]) == set(method.laws)
        assert all(tuple(row) == coverage.SIZES for row in recorded[name].values())
        for row in recorded[name].values():
            assert all(sum(shares) == pytest.approx(1, abs=2e-3) for shares in row.values())


def test_what_is_promised_is_recorded(coverage, recorded) -> None:
    """Also that nothing else is good where it is said not to be: the promise begins as early as it can."""
    for name, method in coverage.METHODS.items():
        for law, row in recorded[name].items():
            good = [n for n in coverage.SIZES if all(row[m][0] >= coverage.GOOD for m in row if m >= n)]
            assert method.good_from.get(law) == (good[0] if law in method.good_from else None), (name, law, good)


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("which", range(6))
def test_some_numbers_computed_again(coverage, recorded, which: int, n: int) -> None:
    name = list(coverage.METHODS)[which]
    method = coverage.METHODS[name]
    sets = 300 if "crossed" in name else FEWER
    for law in method.laws:
        again, written = coverage.misses(method, law, n, sets, seed=1), recorded[name][law][n]
        for found, share in zip((again.covered, again.below, again.above), written, strict=True):
            spread = math.sqrt(max(share * (1 - share), 1e-3) * (1 / sets + 1 / method.sets))
            assert abs(found - share) < stats.norm.ppf(1 - 1e-5) * spread, (law, again, written)


def test_of_two_kinds_hardly_more_is_covered_than_shows_them(coverage) -> None:
    law = coverage.REAL[coverage.FIFTH]
    samples = law.draw(np.random.default_rng(0), (20_000, 5)) > 0.5
    both = (samples.any(1) & ~samples.all(1)).mean()
    assert coverage.possible(law, 5) == pytest.approx(both, abs=0.015)
    assert coverage.possible(law, 5) == pytest.approx(1 - 0.2**5 - 0.8**5)
