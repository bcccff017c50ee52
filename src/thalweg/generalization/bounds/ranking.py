"""Whether a measure orders networks as their gap does: along each hyper-parameter, and in the worst place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError, check_type
from thalweg.figures import Axis, Figure, ReferenceLine, Scatter
from thalweg.generalization.bounds.arguments import Array
from thalweg.results import Provenance, Reading, Result, Table

HELD = ("seed", "arm", "start_member")  # axes along which networks are held, and not compared


@dataclass(frozen=True, eq=False)
class Ranking(Result):
    """What `ranking` found.

    Args:
        reading: "granulated Kendall" (measure), the mean of "Kendall by axis" (measure, axis); "sign error" (measure),
            the mean over environments, and "worst sign error" (measure), the largest, with "worst environment"
            (measure); and "pairs" (axis). NaN of a measure or axis in which no pair can be told apart.
    """

    def table(self) -> Table:
        """One row a measure, the best at the top."""
        order = np.argsort(-np.nan_to_num(self["granulated Kendall"], nan=-2.0))
        names = self.reading.coordinate("measure")
        columns = ("granulated Kendall", "sign error", "worst sign error", "worst environment")
        return Table({"measure": names[order]} | {name: self[name][order] for name in columns})

    def figure(self) -> Figure:
        """Granulated Kendall of every measure, and hollow the worst sign error, a row a measure."""
        order = np.argsort(np.nan_to_num(self["granulated Kendall"], nan=-2.0))
        names = self.reading.coordinate("measure")[order]
        at = np.arange(len(names), dtype=float)
        marks = [
            Scatter(self["granulated Kendall"][order], at, label="granulated Kendall"),
            Scatter(self["worst sign error"][order], at, label="worst sign error", hollow=True),
            ReferenceLine(0.0, "vertical"),
        ]
        y = Axis(names=tuple(map(str, names)))
        caption = " ".join(self.reading.notes)
        return Figure.of("What measures say of the gap", marks, Axis(limits=(-1.05, 1.05)), y, caption=caption)


def ranking(
    measures: Mapping[str, ArrayLike],
    gap: ArrayLike,
    axes: Mapping[str, ArrayLike],
    *,
    noise: float = 0.0,
) -> Ranking:
    """Hold measures of complexity against the gap of generalization, for networks over a grid of hyper-parameters.

        Kendall's tau along an axis: the mean of sign(mu - mu') sign(g - g') over pairs that differ in it alone
        granulated Kendall: the mean over axes
        sign error of an environment: the mean of (1 - sign(mu - mu') sign(g - g'))/2 over such pairs of two values

    A measure may order networks well on average and wrongly along one hyper-parameter: the worst environment, two
    values of one axis, shows it. Pairs whose gaps are no farther apart than `noise` are left out.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> width, rate = np.repeat([8, 16, 32], 2), np.tile([0.1, 0.2], 3)
    >>> gap = 0.1 * np.log2(width) + rate
    >>> norm = np.log2(width) - rate  # right along widths, wrong along rates
    >>> found = tw.generalization.bounds.ranking({"norm": norm}, gap, {"width": width, "rate": rate})
    >>> found["Kendall by axis"].tolist(), found["worst sign error"].tolist(), found["worst environment"].tolist()
    ([[1.0, -1.0]], [1.0], ['rate: 0.1, 0.2'])

    Args:
        measures: by name, the larger the more complex: (members,) each.
        gap: test error minus training error: (members,).
        axes: by name the value of each member, such as `run.axes`: (members,) each. Along "seed", "arm" and
            "start_member" members are held, and not compared.
        noise: at least 0.

    Raises:
        UsageError: arrays that do not fit, or no axis along which members differ.

    References:
        Jiang et al. (2020), arXiv:1912.02178, section 3.1; Dziugaite et al. (2020), arXiv:2010.11924.
    """
    gaps, table, known = _checked(measures, gap, axes, noise)
    names, apart = list(table), gaps[:, None] - gaps[None, :]
    upper = np.triu(np.ones(apart.shape, dtype=bool), 1) & (np.abs(apart) > noise) & np.isfinite(apart)
    same = {name: values[:, None] == values[None, :] for name, values in known.items()}
    compared = [name for name in known if name not in HELD and not same[name].all()]
    agree = {name: _agreement(np.asarray(values), apart) for name, values in table.items()}
    by_axis = np.full((len(names), len(compared)), np.nan)
    pairs = np.zeros(len(compared), dtype=int)
    worst = np.full(len(names), np.nan)
    where, sums, places = [""] * len(names), np.zeros(len(names)), np.zeros(len(names))
    for column, axis in enumerate(compared):
        alone = upper & ~same[axis]
        for other, alike in same.items():
            if other != axis:
                alone &= alike
        pairs[column] = alone.sum()
        for row, name in enumerate(names):
            by_axis[row, column] = _mean(agree[name][alone])
        for label, between in _environments(axis, known[axis], alone):
            for row, name in enumerate(names):
                error = (1 - _mean(agree[name][between])) / 2
                if np.isnan(error):
                    continue
                sums[row], places[row] = sums[row] + error, places[row] + 1
                if not error <= worst[row]:
                    worst[row], where[row] = error, label
    if not pairs.any():
        msg = (
            "ranking compares networks that differ in one hyper-parameter alone, and no two of these do; give "
            f"the axes of a grid, such as run.axes of a recipe with sweeps. Got {', '.join(known) or 'none'}."
        )
        raise UsageError(msg)
    with np.errstate(invalid="ignore"):
        mean_error = sums / np.where(places > 0, places, np.nan)
    counted = pairs > 0
    reading = Reading(
        "measures against the gap",
        {
            "granulated Kendall": _row_means(by_axis[:, counted]),
            "sign error": mean_error,
            "worst sign error": worst,
            "worst environment": np.array(where),
            "Kendall by axis": by_axis,
            "pairs": pairs,
        },
        dict.fromkeys(("granulated Kendall", "sign error", "worst sign error", "worst environment"), ("measure",))
        | {"Kendall by axis": ("measure", "axis"), "pairs": ("axis",)},
        {"measure": names, "axis": compared},
        sample_size=len(gaps),
        provenance=Provenance.here(dtype="float64"),
        notes=(f"{len(gaps)} networks, {int(pairs.sum()):,} pairs that differ in one hyper-parameter alone.",),
    )
    return Ranking(reading)


def _checked(
    measures: Mapping[str, ArrayLike], gap: ArrayLike, axes: Mapping[str, ArrayLike], noise: float
) -> tuple[Array, dict[str, Array], dict[str, NDArray[Any]]]:
    check_type("ranking measures", measures, Mapping, "arrays by name")
    check_type("ranking axes", axes, Mapping, "arrays by name, such as run.axes")
    gaps = np.asarray(gap, dtype=np.float64)
    table = {name: np.asarray(values, dtype=np.float64) for name, values in measures.items()}
    known = {name: np.asarray(values) for name, values in axes.items()}
    shapes = {name: of.shape for name, of in {**table, **known}.items() if of.shape != gaps.shape}
    if gaps.ndim != 1 or shapes or not table:
        msg = f"ranking takes a number a network: gaps {gaps.shape}, and of other shapes {shapes or 'no measure'}."
        raise UsageError(msg)
    if not noise >= 0:
        msg = f"ranking noise must be at least 0; got {noise}."
        raise UsageError(msg)
    return gaps, table, known


def _agreement(values: Array, apart: Array) -> Array:
    """sign(mu - mu') sign(g - g') of all pairs; 0 where measures are equal, NaN where one is NaN."""
    larger = (values[:, None] > values[None, :]).astype(np.float64) - (values[:, None] < values[None, :])
    lost = np.isnan(values)
    found = larger * np.sign(apart)
    found[lost[:, None] | lost[None, :]] = np.nan
    return found


def _environments(axis: str, values: NDArray[Any], alone: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Pairs of members by the two values of the axis that they have."""
    different = np.unique(values)
    found = []
    for place, first in enumerate(different):
        for second in different[place + 1 :]:
            one, other = values == first, values == second
            between = alone & ((one[:, None] & other[None, :]) | (other[:, None] & one[None, :]))
            if between.any():
                found.append((f"{axis}: {first}, {second}", between))
    return found


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _row_means(table: Array) -> Array:
    return np.array([_mean(row) for row in table])
