"""Whether random networks prefer simple functions: probability against complexity, at equal class balance."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, Histogram, Line, Scatter
from thalweg.generalization.simplicity.lempel_ziv import as_bits, complexity
from thalweg.guard import guarded
from thalweg.results import Provenance, Reading, Result
from thalweg.statistics import Interval, interval

Array = NDArray[np.float64]
_SEEN = 2  # times in the first half
_GOLDEN = 0.618  # multiples of it leave no gaps
_FEWEST = 39  # resamples, of which the least and the most are the 2.5 % and 97.5 % points


@dataclass(frozen=True, eq=False)
class FunctionPrior(Result):
    """What `function_prior` found.

    Args:
        reading: of every function that the first half of the nets has twice or more (function): "complexity", "ones",
            "log10 probability" in the second half. "slope" and "slope without balance" by resample of the second half's
            nets (resample), NaN where there are fewer than four functions; of nets that are balanced (net): "balanced
            complexity" and "shuffled complexity".
        inputs: of every function.
        slope: of log10 probability on complexity at equal class balance, per bit.
        slope_without_balance: the same without the balance of classes as a second regressor, which is no evidence.
        ratio: mean over balanced functions of K(f) / K(its bits shuffled).
    """

    inputs: int
    slope: Interval
    slope_without_balance: Interval
    ratio: Interval

    def figure(self) -> Figure:
        """Probability against complexity by the number of ones; and complexities of balanced functions and shuffles."""
        panels = [self.probabilities(), self.complexities()]
        return Figure.row(panels, title="Random networks and simple functions", caption=self.reading.notes[0])

    def probabilities(self, title: str = "") -> Figure:
        """Every function's probability against its complexity, colored by its balance, with both fitted slopes.

        Dots of functions of one complexity are spread sideways, as many of them have one probability.

        >>> from thalweg.generalization import simplicity
        >>> found = simplicity.function_prior(simplicity.random_functions(3_000), resamples=99)
        >>> [mark.label for mark in found.probabilities("ReLU").panels[0].marks]
        ['functions', 'slope alone', 'slope at equal balance']

        Args:
            title: how it begins, such as the networks' name.
        """
        simple, height = self["complexity"], self["log10 probability"]
        fewer = np.minimum(self["ones"], self.inputs - self["ones"])
        aside = (np.arange(len(simple)) * _GOLDEN % 1 - 0.5) * 0.8 * self._step
        marks: list[Scatter | Line] = [Scatter(simple + aside, height, size=4, color=fewer, label="functions")]
        slopes = {"slope alone": self.slope_without_balance, "slope at equal balance": self.slope}
        for name, slope in slopes.items():
            if np.isfinite(slope.estimate):
                ends = np.array([simple.min(), simple.max()])
                marks.append(Line(ends, height.mean() + slope.estimate * (ends - simple.mean()), label=name))
        words = f"{self.slope.estimate:.3f} decades a bit" if np.isfinite(self.slope.estimate) else "no slope"
        return Figure.of(
            f"{title}: {words}" if title else f"{words} at equal balance",
            marks,
            Axis("complexity K", "bits"),
            Axis("log10 of the probability"),
            Axis("ones, or zeros if fewer", scale="log"),
        )

    @property
    def _step(self) -> float:
        """By how much complexities differ at least: half a word."""
        return math.log2(self.inputs) / 2 or 1.0

    def complexities(self, title: str = "") -> Figure:
        """Complexities of balanced functions and of the same bits shuffled.

        >>> from thalweg.generalization import simplicity
        >>> found = simplicity.function_prior(simplicity.random_functions(3_000), resamples=99)
        >>> found.complexities("ReLU").title[:4]
        'ReLU'

        Args:
            title: how it begins, such as the networks' name.
        """
        values = {kind: self[f"{kind} complexity"] for kind in ("balanced", "shuffled")}
        both = np.round(np.concatenate(list(values.values())) / self._step)
        edges = self._step * (np.arange(both.min(), both.max() + 2) - 0.5) if len(both) else 1
        shown = [Histogram(one, bins=edges, label=kind) for kind, one in values.items()]
        words = f"K / K(shuffled) {self.ratio.estimate:.2f}"
        name = f"{title}: {words}" if title else words
        return Figure.of(name, shown, Axis("complexity K", "bits"), Axis("nets"))


@guarded
def function_prior(
    functions: ArrayLike, *, balanced: int = 1_000, resamples: int = 1_000, seed: int = 0
) -> FunctionPrior:
    """Whether simpler functions are more probable among these, at equal class balance and for balanced functions.

        log10 P(f) = a + slope K(f) + c log10 C(n, ones(f)),    least squares over functions
        ratio = mean over nets with n/4 to 3n/4 ones of K(f) / K(its bits in a random order)

    Functions are chosen in one half of the nets, those seen twice and not constant, and their probability is
    (count + 1/2) / nets in the other half: chosen and counted in the same nets, the slope would be biased. Few ones are
    both simple and frequent, of coins as of networks, so that a slope without the second regressor says nothing. The
    interval is over nets with the same functions: below about 100 of them it is too narrow. Functions that the second
    half has not at all count as half a net, so that the slope is flatter than that of the probabilities.

    >>> from thalweg.generalization import simplicity
    >>> found = simplicity.function_prior(simplicity.random_functions(3_000), resamples=99)
    >>> found.slope.high < 0, found.ratio.high < 0.9
    (True, True)

    Args:
        functions: of every net its values, inputs in counting order: (nets, inputs), such as of `random_functions`,
            or those of the user's own networks.
        balanced: at most as many balanced nets are taken, the first ones.
        resamples: of the nets of the second half, at least 39.
        seed: of the resamples and the shuffles.

    Raises:
        UsageError: not a table of bits, or fewer than four nets.

    Cost: that of `complexity`, of functions seen twice and of balanced nets.

    Paper: Valle-Perez, Camargo & Louis (2018), arXiv:1805.08522.
    """
    bits = as_bits("function_prior functions", functions)
    check_count("function_prior balanced", balanced)
    check_count("function_prior resamples", resamples, _FEWEST)
    if len(bits) < 4:
        msg = f"function_prior needs two halves of at least two nets each; got {len(bits)}. Give thousands."
        raise UsageError(msg)
    draw = np.random.default_rng([seed, 0x51A])
    half, n = len(bits) // 2, bits.shape[1]
    chosen, counts = _seen_twice(bits[:half], bits[half:])
    ones, others = chosen.sum(1).astype(np.int64), len(bits) - half
    simple = complexity(chosen) if len(chosen) else np.zeros(0)
    drawn = draw.multinomial(others, [*(counts / others), 1 - counts.sum() / others], size=resamples)[:, :-1]
    tables = np.log10((np.vstack([counts, drawn]) + 0.5) / others).T  # (functions, 1 + resamples)
    several = _slopes(np.column_stack([simple, _log10_binomial(n, ones)]), tables)
    alone = _slopes(simple[:, None], tables)
    even = bits[(bits.sum(1) >= n / 4) & (bits.sum(1) <= 3 * n / 4)][:balanced]
    own, shuffled = complexity(even), complexity(draw.permuted(even, axis=1))
    ratio = interval.mean(own / shuffled) if len(even) else Interval.missing("no balanced function among the nets")
    arrays = {
        "complexity": simple,
        "ones": ones,
        "log10 probability": tables[:, 0],
        "slope": several[1:],
        "slope without balance": alone[1:],
        "balanced complexity": own,
        "shuffled complexity": shuffled,
    }
    dims = dict.fromkeys(list(arrays)[:3], ("function",)) | dict.fromkeys(list(arrays)[3:5], ("resample",))
    dims |= dict.fromkeys(list(arrays)[5:], ("net",))
    reading = Reading(
        "prior over functions",
        arrays,
        dims,
        {"resample": np.arange(resamples)},
        {name: "bits" for name in arrays if name.endswith("complexity")},
        sample_size=len(bits),
        provenance=Provenance.here(seed, dtype="float64"),
        notes=(
            f"{len(chosen):,} functions that {half:,} nets have twice, their probability among {others:,} others; "
            f"{len(even):,} balanced nets.",
        ),
    )
    return FunctionPrior(reading, n, _interval(several, others), _interval(alone, others), ratio)


def _seen_twice(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Functions that the first has twice and that are not constant, and how often the second has them."""
    one, other = _keys(first), _keys(second)
    keys, places, many = np.unique(one, return_index=True, return_counts=True)
    kept = many >= _SEEN
    keys, rows = keys[kept], first[places[kept]]
    varied = (rows != rows[:, :1]).any(1)
    keys, rows = keys[varied], rows[varied]
    known, often = np.unique(other, return_counts=True)
    place = np.searchsorted(known, keys).clip(max=len(known) - 1)
    return rows, np.where(known[place] == keys, often[place], 0)


def _keys(bits: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """A row as one value that can be compared; its bits, and a 1 behind them, as trailing zeros are not compared."""
    packed = np.packbits(np.column_stack([bits, np.ones(len(bits), np.uint8)]), axis=1)
    return np.ascontiguousarray(packed).view(f"S{packed.shape[1]}")[:, 0]


def _log10_binomial(n: int, ones: NDArray[np.int64]) -> Array:
    return (gammaln(n + 1) - gammaln(ones + 1) - gammaln(n - ones + 1)) / np.log(10)


def _slopes(regressors: Array, tables: Array) -> Array:
    """On the first regressor, of every column of the tables; NaN where it is not determined."""
    design = np.column_stack([np.ones(len(regressors)), regressors])
    if len(design) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
        return np.full(tables.shape[1], np.nan)
    return np.linalg.lstsq(design, tables, rcond=None)[0][1]


def _interval(slopes: Array, nets: int) -> Interval:
    if not np.isfinite(slopes[0]):
        return Interval.missing("functions seen twice are too few, or too much alike, for a slope")
    low, high = np.quantile(slopes[1:], (0.025, 0.975))
    return Interval(float(slopes[0]), float(low), float(high), nets, "bootstrap over nets, 2.5 % and 97.5 % points")
