"""In how many of many data sets each interval holds the truth: the coverage of what docs/coverage.md says.

    python benchmarks/coverage.py            print the tables
    python benchmarks/coverage.py --write    and write docs/coverage.md

All draws come from fixed seeds. About two minutes on one core. An interval of 95 % is called good here from 93 % on:
two points are what a sample of three to twenty cannot do better without knowing its distribution.
"""

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thalweg.statistics import COVERED, POSITIVE, SHARE, interval, student_t
from thalweg.statistics.bootstrap import studentized_reaches
from thalweg.statistics.gaffke import gaffke_ends
from thalweg.statistics.means import mean_ends
from thalweg.statistics.standard_error import standard_error

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]
Ends = Callable[[Array], tuple[Array, Array]]

SIZES = (3, 4, 5, 6, 8, 10, 12, 15, 20)
SETS, FEWER_SETS = 10_000, 2_000  # of intervals that are computed together, and of those computed one by one
RESAMPLES = 999
GOOD = COVERED
EXAMPLES = 40  # columns of a crossed table
PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"


class Law(NamedTuple):
    """What values are drawn from."""

    draw: Draw
    truth: float  # what the interval is to hold
    regimes: float = 0.0  # the share of values that are of the second kind, where there are two


class Method(NamedTuple):
    """An interval with the laws it is tried on, by their names."""

    ends: Ends
    laws: dict[str, Law]
    good_from: dict[str, int]  # the smallest n from which on it is promised to be good
    sets: int = SETS
    needs: int = 3  # values at least
    knows_bounds: bool = False  # and makes them count, whatever the law


def two_kinds(share: float, first: Draw, second: Draw) -> Draw:
    """Values of the second kind with this probability, else of the first."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        chosen = rng.random(shape) < share
        return np.where(chosen, second(rng, shape), first(rng, shape))

    return draw


def normal(center: float, spread: float) -> Draw:
    """Normal values."""
    return lambda rng, shape: rng.normal(center, spread, shape)


def lognormal(center: float, spread: float) -> Draw:
    """Values whose logarithms are normal."""
    return lambda rng, shape: rng.lognormal(center, spread, shape)


def beta(a: float, b: float) -> Draw:
    """Values from 0 to 1."""
    return lambda rng, shape: rng.beta(a, b, shape)


def exponential(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Waiting times."""
    return rng.exponential(1.0, shape)


def of_chance(share: float) -> Draw:
    """1 with this probability, else 0."""
    return lambda rng, shape: (rng.random(shape) < share).astype(float)


HALF, FIFTH = "two kinds, half and half", "two kinds, one in five"
REAL = {
    "normal": Law(normal(0, 1), 0.0),
    "exponential": Law(exponential, 1.0),
    "lognormal, sigma 1/2": Law(lognormal(0, 0.5), math.exp(0.125)),
    "lognormal, sigma 1": Law(lognormal(0, 1), math.exp(0.5)),
    HALF: Law(two_kinds(0.5, normal(0, 0.1), normal(1, 0.1)), 0.5, 0.5),
    FIFTH: Law(two_kinds(0.2, normal(0, 0.1), normal(1, 0.1)), 0.2, 0.2),
}
ABOVE_ZERO = {
    "exponential": REAL["exponential"],
    "lognormal, sigma 1/2": REAL["lognormal, sigma 1/2"],
    "lognormal, sigma 1": REAL["lognormal, sigma 1"],
    HALF: Law(two_kinds(0.5, lognormal(0, 0.1), lognormal(2, 0.1)), math.exp(0.005) * (1 + math.exp(2)) / 2, 0.5),
}
FACTORS = {
    "lognormal, sigma 1": Law(lognormal(0, 1), 1.0),
    "exponential": Law(exponential, math.exp(-np.euler_gamma)),
    HALF: Law(two_kinds(0.5, lognormal(0, 0.1), lognormal(2, 0.1)), math.e, 0.5),
}
FROM_0_TO_1 = {
    "beta (2, 2)": Law(beta(2, 2), 0.5),
    "beta (9, 1), near 1": Law(beta(9, 1), 0.9),
    "beta (1.8, 0.2), piled up at 1": Law(beta(1.8, 0.2), 0.9),
    "0 or 1, four in five": Law(of_chance(0.8), 0.8, 0.2),
    HALF: Law(two_kinds(0.5, beta(2, 18), beta(18, 2)), 0.5, 0.5),
    FIFTH: Law(two_kinds(0.2, beta(18, 2), beta(2, 18)), 0.8 * 0.9 + 0.2 * 0.1, 0.2),
}
SEEDS = {
    "normal": Law(normal(0, 1), 0.0),
    "exponential": Law(exponential, 1.0),
}


def by_student(samples: Array) -> tuple[Array, Array]:
    """Student's t alone."""
    half = student_t.reach(samples.shape[1]) * standard_error(samples)
    return samples.mean(1) - half, samples.mean(1) + half


def by_bootstrap(samples: Array) -> tuple[Array, Array]:
    """The studentized bootstrap alone."""
    below, above = studentized_reaches(samples, RESAMPLES)
    error = standard_error(samples)
    return samples.mean(1) - below * error, samples.mean(1) + above * error


def by_logarithms(samples: Array) -> tuple[Array, Array]:
    """What `geometric_mean` and `ratio` do."""
    low, high = mean_ends(np.log(samples), RESAMPLES)
    return np.exp(low), np.exp(high)


def by_crossing(of_seeds: Array) -> tuple[Array, Array]:
    """Every value is the mean effect of a seed, to which examples and cells add their own."""
    rng, ends = np.random.default_rng(1), []
    for row in of_seeds:
        table = row[:, None] + rng.normal(0, 1, EXAMPLES) + rng.normal(0, 1, (len(row), EXAMPLES))
        found = interval.crossed(table, resamples=RESAMPLES)
        ends.append((found.low, found.high))
    low, high = np.transpose(ends)
    return low, high


METHODS: dict[str, Method] = {
    "mean(values)": Method(
        lambda samples: mean_ends(samples, RESAMPLES),
        REAL,
        {"normal": 3, "exponential": 3, "lognormal, sigma 1/2": 3, HALF: 5, FIFTH: 15},
    ),
    "mean(values, bounds=POSITIVE)": Method(
        lambda samples: mean_ends(samples, RESAMPLES, bounds=POSITIVE),
        ABOVE_ZERO,
        {"exponential": 3, "lognormal, sigma 1/2": 3, "lognormal, sigma 1": 8, HALF: 5},
    ),
    "ratio(first, second), geometric_mean(values)": Method(
        by_logarithms, FACTORS, {"lognormal, sigma 1": 3, "exponential": 3, HALF: 5}
    ),
    "mean(values, bounds=SHARE)": Method(
        lambda samples: mean_ends(samples, RESAMPLES, bounds=SHARE),
        FROM_0_TO_1,
        {"beta (2, 2)": 3, "beta (9, 1), near 1": 3, "beta (1.8, 0.2), piled up at 1": 3, HALF: 5},
    ),
    "fraction(values), bounded(values, low, high)": Method(
        lambda samples: gaffke_ends(samples, RESAMPLES),
        FROM_0_TO_1,
        dict.fromkeys(FROM_0_TO_1, 3),
        FEWER_SETS,
        knows_bounds=True,
    ),
    f"crossed(table), n seeds x {EXAMPLES} examples": Method(
        by_crossing, SEEDS, {"normal": 3, "exponential": 3}, FEWER_SETS
    ),
}
REJECTED: dict[str, Method] = {
    "Student's t alone": Method(by_student, REAL, {}),
    "the studentized bootstrap alone": Method(by_bootstrap, REAL, {}, needs=4),
}


class Misses(NamedTuple):
    """The shares of data sets whose interval does not hold the truth, by the side on which the interval lies."""

    below: float  # the interval is too low: its upper end is below the truth
    above: float  # it is too high: its lower end is above the truth

    @property
    def covered(self) -> float:
        """The share of those whose interval holds it."""
        return 1 - self.below - self.above


def misses(method: Method, law: str, n: int, sets: int | None = None, seed: int = 0) -> Misses:
    """How often the interval of n values does not hold the truth."""
    chosen = method.laws[law]
    samples = chosen.draw(np.random.default_rng([seed, n, *law.encode()]), (sets or method.sets, n))
    low, high = method.ends(samples)
    return Misses(float((high < chosen.truth).mean()), float((low > chosen.truth).mean()))


def possible(law: Law, n: int) -> float:
    """The share of data sets that show both kinds of values: of the others no interval can know that there are two."""
    return 1 - law.regimes**n - (1 - law.regimes) ** n


def table(method: Method) -> Iterator[str]:
    """The lines of a table in Markdown: what is below 93 % in bold."""
    yield "| values | " + " | ".join(f"n = {n}" for n in SIZES) + " |"
    yield "|---|" + "---|" * len(SIZES)
    for name, law in method.laws.items():
        found = [misses(method, name, n) if n >= method.needs else None for n in SIZES]
        yield f"| {name} | " + " | ".join(map(cell, found)) + " |"
        if law.regimes and not method.knows_bounds:
            yield "| *of these show both kinds* | " + " | ".join(f"{100 * possible(law, n):.1f}" for n in SIZES) + " |"


def cell(found: Misses | None) -> str:
    """The share that is covered in percent, bold where it is not good, and those missed on either side."""
    if found is None:
        return ""
    covered = f"{100 * found.covered:.1f}"
    covered = covered if float(covered) >= 100 * GOOD else f"**{covered}**"
    return f"{covered} ({100 * found.below:.1f} + {100 * found.above:.1f})"


TEXT = """# What the intervals cover

In how many of 100 data sets an interval of 95 % holds the truth, by simulation, for n = 3 to 20 values of several laws.
Below 93 in bold. In brackets are the two ways in which it misses, which are not alike for skewed values: in how many it
lies below the truth, and in how many above.

Made by `python benchmarks/coverage.py --write`: {sets:,} data sets a number ({fewer:,} for `fraction` and `crossed`),
{resamples} resamples, fixed seeds; a number is uncertain by about 0.25 points (0.5).
`tests/statistics/test_coverage.py` computes some of them again.

Which interval to take:

- `mean(values)` and `difference` for what has no bounds: a difference of losses, a power, a slope. Good (93 % or more)
  from n = 3 for values as skewed as exponential ones; not for heavy tails (lognormal with sigma 1).
- `mean(values, bounds=POSITIVE)` for a loss, a length, a largest deviation. Good for heavy tails too, but for 0.2
  points at n = 6.
- `ratio` and `geometric_mean` for what varies by factors: a ratio, an eigenvalue. They are about the geometric mean.
- `mean(values, bounds=(low, high))` for an accuracy or a rank correlation. Good for values of one kind, piled up at a
  bound or not.
- `fraction` and `bounded` for shares of wins and successes, and whenever values may be of two kinds. Good always, and
  wider, the more so the fewer values.
- `crossed` for a table of seeds and test examples.

A claim that a quantity is greater than a threshold is judged by the lower end alone, and one that it is less by the
upper end. So if the truth lay exactly at the threshold, the claim would be called wrongly as often as that end misses:
for normal values in about 2 or 3 of 100, and where all misses are on that end in as many as the interval misses at all,
at most 7 of 100 where it is good. It is more where it is not: without bounds up to 12 of 100 for heavy tails (lognormal
with sigma 1), and up to 24 of 100 for values of which one in five is of another kind (with bounds 17). The farther the
truth is from the threshold, the rarer is a wrong call.

Values of two kinds (say, one seed in five does not learn) cannot be told while a sample shows one kind alone. The line
below each says how many samples show both; an interval without bounds covers little more, by being wide. At n = 3 that
is 75 % of samples even where the kinds are half and half: take `bounded`, or more seeds. One value has no interval; nor
have values that all agree, unless they have two bounds.

{tables}

## What was not taken

Student's t is exact for normal values and misses skewed ones. The studentized bootstrap covers those, but its ends have
no limit: for five values of which four nearly agree it gave [-325, 0.85]. `mean` reaches as far as the bootstrap says,
at least as far as Student's t and at most twice that; of two and three values it is Student's t for 98 %. Between two
bounds it reaches no farther than `bounded`: odds of values at a bound gave [0.04, 1.00] for 1, 1, 1, 1, 0.7.

{rejected}
"""


def page() -> str:
    """The whole of docs/coverage.md."""
    tables = [[f"## `{name}`", "", *table(method)] for name, method in METHODS.items()]
    rejected = [[f"### {name[0].upper()}{name[1:]}", "", *table(method)] for name, method in REJECTED.items()]
    parts = {name: "\n\n".join(map("\n".join, of)) for name, of in (("tables", tables), ("rejected", rejected))}
    return TEXT.format(sets=SETS, fewer=FEWER_SETS, resamples=RESAMPLES, **parts)


if __name__ == "__main__":
    text = page()
    print(text)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(text)
