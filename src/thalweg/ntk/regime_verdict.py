"""Lazy or rich, wide enough or not: what the intervals of a reading of both ends of training say, in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thalweg.figures import Axis, Figure, ReferenceLine, interval_bars
from thalweg.ntk.arrays import Array
from thalweg.results import Reading, Result
from thalweg.statistics import POSITIVE, Interval, difference, mean

FEW = 2  # members, whose intervals decide next to nothing: Student's t of one degree of freedom
WORDS = {
    "drift": "kernel drift",
    "nonlinearity": "missed by f_lin",
    "spread": "spread at the start",
    "movement": "parameters moved",
}


@dataclass(frozen=True, eq=False)
class Regime(Result):
    """What `regime` found.

    Args:
        verdict: "lazy", "rich", "between" or "undecided", from the interval of the drift.
        wide_enough: "yes", "no" or "undecided", from those of the spread and of what the linearization misses.
        layer: whose part of the kernel moved most in the mean; with its lead over the next in `lead`.
        lead: how much more than the next one's it moved: an interval of paired differences; none of a single layer.
        intervals: over members, by the names of the arrays.
        sentence: all that in plain words.
        thresholds: (lazy, rich).
        reading: "drift", "kernel distance", "centered distance", "nonlinearity", "movement" (member), and "spread"
            (member) where several networks were begun from; "drift by layer" and "movement by layer" (member, layer);
            see `regime`.
    """

    verdict: str
    wide_enough: str
    layer: str
    lead: Interval
    intervals: Mapping[str, Interval]
    sentence: str
    thresholds: tuple[float, float]

    def remarks(self) -> tuple[str, ...]:
        """The sentence, then the notes of the reading."""
        return (self.sentence, *self.reading.notes)

    def figure(self) -> Figure:
        """The measures with their intervals and both thresholds, and the drift of every layer."""
        lazy, rich = self.thresholds
        lines = ReferenceLine(lazy, label="lazy below"), ReferenceLine(rich, label="rich above")
        shown = {WORDS[name]: found for name, found in self.intervals.items() if name in WORDS}
        whole = _bars("How far from its kernel", shown, Axis(""), "relative size", rich).with_marks(*lines)
        table = self["drift by layer"]
        layers = {name: _interval(table[:, i], 1e-12) for i, name in enumerate(self.reading.coordinate("layer"))}
        parts = _bars("Which layer moved", layers, Axis("layer"), "drift by layer", 1e-12)
        return Figure.row([whole, parts], title="Lazy or rich?", caption=self.sentence)


def judged(reading: Reading, layers: Sequence[str], lazy: float, rich: float) -> Regime:
    """The verdicts that the intervals of a reading give."""
    names = [name for name in reading.arrays if reading[name].ndim == 1]
    rounding = float(np.finfo(reading.provenance.dtype).eps) ** 0.5
    found = {name: _interval(reading[name], rounding) for name in names}
    drift, count = found["drift"], len(reading["drift"])
    verdict = _regime(drift, lazy, rich)
    wide = _wide([found[name] for name in ("spread", "nonlinearity") if name in found], lazy, spread="spread" in found)
    table = reading["drift by layer"]
    order = np.argsort(-table.mean(0), kind="stable")
    first = layers[order[0]]
    lead = difference(table[:, order[0]], table[:, order[1]]) if len(order) > 1 else Interval.missing("one layer alone")
    subject = f"Over {count} members the kernel drifts" if count > 1 else "In the only member the kernel drifts"
    which = _which(table, [layers[place] for place in order], table[:, order[0]].mean(), lead, rounding)
    sentences = [
        f"{subject} by {drift:.3g} of its size{which}: {_said(verdict, lazy, rich, drift)}",
        f"Its shape alone changes by {found['kernel distance']:.2g} (1 - cosine), centered by "
        f"{found['centered distance']:.2g}.",
        f"Its linearization misses {found['nonlinearity']:.2g} of what was learned on held-out examples"
        + (f", and the kernel of the start differs by {found['spread']:.2g} between seeds" if "spread" in found else "")
        + f": {_width_said(wide, count)}",
    ]
    return Regime(reading, verdict, wide, first, lead, found, " ".join(sentences), (lazy, rich))


def _which(table: Array, names: Sequence[str], most: float, lead: Interval, rounding: float) -> str:
    """Which layer's part moved most, in words."""
    if table.max() <= rounding:
        return ""
    if len(names) == 1:
        return f", all of it in {names[0]}"
    share = f"{names[0]} ({most:.2g})"
    sure = lead.known and lead.low > 0
    return f", most of all in {share}" if sure else f", most in {share}, though not surely more than in {names[1]}"


def _bars(title: str, found: Mapping[str, Interval], x: Axis, label: str, shown: float) -> Figure:
    """One bar an interval, from 0 to at least `shown`; an interval that reaches far above all estimates is cut."""
    top = 1.3 * max([shown, *(one.estimate for one in found.values())])
    return Figure.of(title, (interval_bars(found),), x, Axis(label, limits=(0.0, top)))


def _interval(values: ArrayLike, rounding: float) -> Interval:
    """The mean over members; what is 0 to rounding in all of them, as of a linear model, lies from 0 to the largest."""
    whole = np.asarray(values, dtype=np.float64)
    if len(whole) > 1 and whole.max() <= rounding:
        return Interval(float(whole.mean()), 0.0, float(whole.max()), len(whole), "0 to rounding in all members")
    return mean(whole, bounds=POSITIVE)


def _regime(drift: Interval, lazy: float, rich: float) -> str:
    if not drift.known:
        return "undecided"
    if drift.high < lazy:
        return "lazy"
    if drift.low > rich:
        return "rich"
    return "between" if lazy < drift.low and drift.high < rich else "undecided"


def _wide(found: Sequence[Interval], lazy: float, *, spread: bool) -> str:
    if any(one.known and one.low > lazy for one in found):
        return "no"
    return "yes" if spread and all(one.known and one.high < lazy for one in found) else "undecided"


def _said(verdict: str, lazy: float, rich: float, drift: Interval) -> str:
    if verdict == "undecided" and drift.n == 1:
        return "one member has no interval, so this decides nothing; train more seeds."
    if verdict == "undecided" and drift.n == FEW:
        return (
            f"two members have an interval, {drift.low:.2g} to {drift.high:.2g}, that says next to nothing; train more "
            "seeds, four or more."
        )
    return {
        "lazy": f"lazy, as it stays below {lazy:g}.",
        "rich": f"rich, as it is above {rich:g}: training changed its features.",
        "between": f"between lazy (below {lazy:g}) and rich (above {rich:g}).",
        "undecided": f"undecided, as the interval is not clear of {lazy:g} or {rich:g}; train more seeds.",
    }[verdict]


def _width_said(wide: str, count: int) -> str:
    if wide == "undecided" and count <= FEW:
        return "whether it is wide enough so few members do not say."
    return {
        "yes": "wide enough for its kernel to say what it learns.",
        "no": "not wide enough for its kernel to say what it learns.",
        "undecided": "whether it is wide enough is undecided.",
    }[wide]
