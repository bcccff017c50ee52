"""What was found between checkpoints: barriers of all pairs on all paths, verdicts, averages."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.connectivity.alignment import Alignment
from thalweg.connectivity.averaging import Averaged
from thalweg.connectivity.barrier import Barrier
from thalweg.connectivity.between_checkpoints import Pair
from thalweg.connectivity.between_sentences import sentences_of
from thalweg.connectivity.between_verdicts import JOINED, NONE, PATHS, SAME, Threshold
from thalweg.connectivity.curve import Curve
from thalweg.errors import unknown_name
from thalweg.figures import Axis, Figure, HeatMap, Line, Panel
from thalweg.results import Result, Table
from thalweg.training import Recipe

_FEW = 3  # checkpoints whose pairs have a panel each


@dataclass(frozen=True, eq=False)
class Between(Result):
    """What `between` found; `print(found.table())`, and `found.sentences` say it in numbers and in words.

    Args:
        reading: by path ("line", "line after aligning", "curve"), set of examples and pair of checkpoints:
            "loss barrier", "loss barrier, over mean" and, where the problem has an accuracy, the same of the "error"
            (path, on, pair), NaN where not tried; "..., 95 %" (path, on, pair, end), over examples;
            "share of the line's loss barrier" (path, on, pair); "verdict" (path, pair): "joined", "not joined",
            "undecided", "same network" or "not tried"; where answers are classes "disagreement" (pair), the share of
            held-out examples that the two answer differently, with its "..., 95 %" (pair, end); where curves were
            sought "curve diverged at" (pair), the step of their training, -1 where none did.
        pairs: the numbers of the two checkpoints of each pair.
        threshold: by which verdicts are given.
        lines, aligned: the straight lines of all pairs, and those to the second of each pair aligned to the first.
        alignment: how it was aligned; None, with a note that says why, where it cannot be.
        curve: the curves of the pairs in `curved`; None where none was sought.
        curved: numbers of pairs.
        averages: averages and ensembles of all checkpoints against the best of them (see `averaged`).
        held_out: on which examples answers are compared and averages scored, in words.
        recipe: by which curves are trained.
    """

    pairs: tuple[Pair, ...]
    threshold: Threshold = field(repr=False)
    lines: Barrier = field(repr=False)
    aligned: Barrier | None = field(repr=False)
    alignment: Alignment | None = field(repr=False)
    curve: Curve | None = field(repr=False)
    curved: tuple[int, ...] = field(repr=False)
    averages: Averaged | None = field(repr=False)
    held_out: str
    recipe: Recipe = field(repr=False)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, in plain sentences.

        Of 2 or 3 checkpoints every verdict with its number, interval and threshold; of more, as pairs are many, how
        many pairs each kind of path joins, with the threshold and the range of barriers (see `table` for each). Ways to
        average are compared with the best network one by one.
        """
        return sentences_of(self.reading, self.threshold, self.pairs, self.averages, self.held_out, self.recipe)

    def joined(self, path: str = "line") -> tuple[Pair, ...]:
        """The pairs that a kind of path joins.

        Raises:
            UsageError: no such path.
        """
        if path not in PATHS:
            kind = "path"
            raise unknown_name(kind, path, PATHS)
        words = self["verdict"][PATHS.index(path)].tolist()
        return tuple(pair for pair, word in zip(self.pairs, words, strict=True) if word in (JOINED, SAME))

    def table(self) -> Table:
        """One row a pair, path and set of examples: barriers by all three definitions, the interval, the verdict.

        Entezari's is "... barrier", Git Re-Basin's "loss barrier, over mean", Frankle's "error barrier, over mean".
        The verdict is by the first set of examples alone, and stands there.
        """
        judged = f"{self.threshold.name} barrier"
        names = [name for name, dims in self.reading.dims.items() if dims == ("path", "on", "pair")]
        names = [judged, "95 % from", "to", *(name for name in names if name != judged)]
        columns: dict[str, list] = {name: [] for name in ("pair", "path", "on", *names, "verdict")}
        for number, (first, second) in enumerate(self.pairs):
            for path, kind in enumerate(PATHS):
                if self["verdict"][path, number] == NONE:
                    continue
                for place, on in enumerate(self.reading.coordinate("on").tolist()):
                    low, high = self[f"{judged}, 95 %"][path, place, number]
                    row = {"pair": f"{first} and {second}", "path": kind, "on": on, "95 % from": low, "to": high}
                    row |= {name: self[name][path, place, number] for name in names if name in self.reading.arrays}
                    row["verdict"] = str(self["verdict"][path, number]) if place == 0 else ""
                    for name, value in row.items():
                        columns[name].append(value if isinstance(value, str) else _shown(float(value)))
        return Table(columns)

    def details(self) -> Table:
        """The table of barriers."""
        return self.table()

    def remarks(self) -> tuple[str, ...]:
        """The sentences, then the notes of the reading."""
        return (*self.sentences, *self.reading.notes)

    def facts(self) -> dict[str, str]:
        """How many pairs each kind of path joins, and whether an average helps."""
        found = {"checkpoints": f"{max(max(self.pairs)) + 1:,}"}
        for path, name in enumerate(PATHS):
            words = [word for word in self["verdict"][path].tolist() if word != NONE]
            if words:
                found[f"joined by a {name}"] = f"{sum(word in (JOINED, SAME) for word in words)} of {len(words)}"
        outcomes = {} if self.averages is None else self.averages.outcomes(self.threshold.name)
        return found | outcomes

    def line(self) -> dict[str, str]:
        """The facts."""
        return self.facts()

    def figure(self) -> Figure:
        """The paths of every pair, or of more than three checkpoints a matrix of barriers; and what averages give."""
        few = max(max(self.pairs)) < _FEW
        panels: list[Figure | Panel] = [*(self._paths() if few else self._matrices())]
        if self.averages is not None:
            title = "all against the best on its own"
            panels += [
                replace(one, title=title) for one in self.averages.figure().panels if one.title == self.threshold.name
            ]
        told = [one for one in self.sentences if (few and len(self.pairs) == 1) or not one[0].isdigit()]
        caption = " ".join([*told, self.reading.notes[0]])
        return Figure.row(panels, title="Between checkpoints", caption=caption)

    def _paths(self) -> list[Figure]:
        """A panel a pair, on the first set of examples; of one pair of loss and error."""
        on, t = str(self.reading.coordinate("on")[0]), self.lines.reading.coordinate("t")
        names = [name for name in ("loss", "error") if name in self.lines.reading.arrays]
        names = names if len(self.pairs) == 1 else [self.threshold.name]
        figures = []
        for number, (first, second) in enumerate(self.pairs):
            for name in names:
                marks = [Line(t, self.lines[name][0, number], label="straight line")]
                if self.aligned is not None:
                    marks.append(Line(t, self.aligned[name][0, number], label="after aligning"))
                if self.curve is not None and number in self.curved:
                    place = self.curved.index(number)
                    marks.append(Line(self.curve.reading.coordinate("t"), self.curve[name][0, place], label="curve"))
                x = Axis(f"t, from checkpoint {first} to {second}")
                title = f"{name} on {on}" if len(self.pairs) == 1 else f"{first} and {second}"
                unit = self.lines.reading.units.get(name, "")
                label = name if len(self.pairs) == 1 else f"{name} on {on}"
                figures.append(Figure.of(title, marks, x, Axis(label, unit)))
        return figures

    def _matrices(self) -> list[Figure]:
        """A panel a kind of path: the barrier of every pair, on the first set of examples; in one scale of color."""
        name, count = f"{self.threshold.name} barrier", max(max(self.pairs)) + 1
        tables = self[name][:, 0]
        most = float(np.nanmax(np.where(np.isfinite(tables), tables, np.nan)))
        unit = self.reading.units.get(name, "")
        z = Axis(name, unit, limits=(0.0, most) if most > 0 else None)
        numbers = np.arange(count)
        return [
            Figure.of(
                f"{kind}, on {self.reading.coordinate('on')[0]}",
                [HeatMap(numbers, numbers, self._matrix(tables[path], count))],
                Axis("checkpoint"),
                Axis("checkpoint"),
                z,
            )
            for path, kind in enumerate(PATHS)
            if (self["verdict"][path] != NONE).any()
        ]

    def _matrix(self, values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        table = np.zeros((count, count))
        for (first, second), value in zip(self.pairs, values, strict=True):
            table[first, second] = table[second, first] = value if np.isfinite(value) else np.nan
        return table


def _shown(value: float) -> float | None:
    """An entry of the table; an empty one where there is nothing, and no rounding errors."""
    return round(value, 12) if np.isfinite(value) else None
