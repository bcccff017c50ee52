"""How the delay of generalization depends on rate times decay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, Line, Scatter
from thalweg.results import Reading, Result
from thalweg.statistics import Interval, interval

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DelayLaw(Result):
    """What `delay_law` found.

    Args:
        reading: "delay", "predicted" and "error", the relative one, (cell, seed); "fitted", which cells the law was
            fitted on (cell,); "a" and "b" (seed,).
    """

    @property
    def error(self) -> Interval:
        """The mean over the other cells of |predicted / delay - 1|, over seeds."""
        return interval.mean(np.abs(self["error"][~self["fitted"]]).mean(0), bounds=(0, np.inf))

    def at(self, product: ArrayLike) -> Array:
        """The predicted delay at lr x decay, by the mean over seeds of a and b; NaN where no seed has them."""
        known = np.isfinite(self["a"])
        if not known.any():
            return np.full_like(np.asarray(product, dtype=np.float64), np.nan)
        return self["a"][known].mean() + self["b"][known].mean() / np.asarray(product, dtype=np.float64)

    def figure(self) -> Figure:
        """Delays over lr x decay, with the law."""
        products, delays, fitted = self.reading.coordinate("cell"), self["delay"], self["fitted"]
        grid = np.geomspace(products.min(), products.max(), 60)
        middle = np.exp(np.log(delays).mean(1))
        marks: list[Line | Scatter] = [Line(grid, self.at(grid), label="a + b / (lr x decay)")]
        for label, chosen in (("fitted on", fitted), ("predicted", ~fitted)):
            if chosen.any():
                marks.append(Scatter(products[chosen], middle[chosen], label=label))
        axes = Axis("lr x decay", scale="log"), Axis("T_grok - T_mem", "steps", scale="log")
        return Figure.of("The delay of generalization", marks, *axes, caption=" ".join(self.reading.notes))


@in_words
def delay_law(products: ArrayLike, delays: ArrayLike, *, fitted: Sequence[int]) -> DelayLaw:
    """Fit delay = a + b / (lr x decay) on some cells, and predict the others.

    Decoupled weight decay shrinks the weights by lr x decay a step, so that what it has to do takes a time of
    1/(lr x decay); a is what takes place at any decay. a and b are fitted for every seed by least squares, by two cells
    exactly.

    >>> from thalweg.generalization import grokking
    >>> delays = [[2100.0, 1090.0], [1100.0, 600.0], [610.0, 350.0]]  # (cells, seeds)
    >>> law = grokking.delay_law([0.001, 0.002, 0.004], delays, fitted=[0, 1])
    >>> law["a"].round(6).tolist(), law["b"].round(6).tolist()
    ([100.0, 110.0], [2.0, 0.98])
    >>> law["error"][2].round(3).tolist()
    [-0.016, 0.014]

    Args:
        products: lr x decay of every cell, above 0: (cells,).
        delays: T_grok - T_mem, above 0: (cells, seeds). What is not finite makes what depends on it NaN.
        fitted: the cells to fit on, at least two with different products.

    Raises:
        UsageError: shapes that do not fit, products or delays that are not above 0, or fewer than two cells to fit on.

    Source: the scale 1/(lr decay) as in Lyu et al. (2024), arXiv:2311.18817; the constant is an addition.
    """
    x, y, cells = np.asarray(products, np.float64), np.asarray(delays, np.float64), list(fitted)
    if x.ndim != 1 or y.ndim != 2 or len(x) != len(y):
        msg = f"delay_law needs a row of delays for every product; got {y.shape} for products of shape {x.shape}."
        raise UsageError(msg)
    if not (x > 0).all() or (y <= 0).any():
        msg = "delay_law needs products lr x decay and delays above 0: without decay there is no law to fit."
        raise UsageError(msg)
    if any(not 0 <= cell < len(x) for cell in cells) or len(np.unique(x[cells])) < 2:
        msg = f"delay_law is fitted on at least two cells of different lr x decay, of 0 to {len(x) - 1}; got {cells}."
        raise UsageError(msg)
    y = np.where(np.isfinite(y), y, np.nan)
    known = np.isfinite(y[cells]).all(0)
    design = np.stack([np.ones(len(cells)), 1 / x[cells]], axis=1)
    solved = np.linalg.lstsq(design, np.where(known, y[cells], 1.0), rcond=None)[0]
    a, b = np.where(known, solved, np.nan)
    predicted = a + b / x[:, None]
    chosen = np.isin(np.arange(len(x)), cells)
    arrays = {"delay": y, "predicted": predicted, "error": predicted / y - 1, "fitted": chosen, "a": a, "b": b}
    dims = dict.fromkeys(("delay", "predicted", "error"), ("cell", "seed")) | {"fitted": ("cell",)}
    note = "No seed has a delay in every cell that is fitted on."
    if known.any():
        note = f"a = {a[known].mean():.3g} steps, b = {b[known].mean():.3g}, fitted on {len(cells)} cells."
    reading = Reading(
        "delay law",
        arrays,
        dims | dict.fromkeys(("a", "b"), ("seed",)),
        {"cell": x},
        {"delay": "steps", "predicted": "steps", "a": "steps"},
        sample_size=y.shape[1],
        notes=(note,),
    )
    return DelayLaw(reading)
