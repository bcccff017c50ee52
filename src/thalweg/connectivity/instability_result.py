"""What instability analysis found: barriers by the step at which copies part."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, unknown_name
from thalweg.figures import Axis, Figure, Line, ReferenceLine, interval_line
from thalweg.population import Population
from thalweg.results import Result
from thalweg.statistics import POSITIVE, Interval, interval

Array = NDArray[np.float64]
THRESHOLD = 0.02  # of the error, below which copies count as linearly connected (Frankle et al., 2020)
_ERROR, _LOSS = "error barrier, over mean", "loss barrier"


@dataclass(frozen=True, eq=False)
class Instability(Result):
    """What `instability` found.

    Args:
        reading: all that `barrier` gives of every pair of copies, with the dimensions (on, step, seed) in place of
            (on, member): "loss" and "error" on the lines (on, step, seed, t), and their barriers by each definition,
            such as "error barrier, over mean" (on, step, seed), the one of Frankle et al.; "distance" (step, seed)
            between the copies' parameters. NaN where a copy or its trunk diverged.
        first, second: the copies, with a member for every step and seed; see `copies`.
    """

    first: Population = field(repr=False)
    second: Population = field(repr=False)

    @property
    def steps(self) -> list[int]:
        """At which copies parted."""
        return [int(step) for step in self.reading.coordinate("step")]

    def copies(self, step: int) -> tuple[Population, Population]:
        """The copies that parted at a step, as they ended: a member for each seed.

        Raises:
            UsageError: a step that was not asked for.
        """
        if step not in self.steps:
            msg = f"Copies part at the steps {', '.join(map(str, self.steps))}; got {step!r}."
            raise UsageError(msg)
        count = len(self.reading.coordinate("seed"))
        place = count * self.steps.index(step)
        return self.first[place : place + count], self.second[place : place + count]

    @property
    def usual(self) -> str:
        """The barrier that is looked at where none is named: of the error over the mean of the ends, or of the loss."""
        return _ERROR if _ERROR in self.reading.arrays else _LOSS

    def barriers(self, name: str | None = None, *, on: str | None = None) -> Array:
        """A barrier by the step at which copies parted: (steps, seeds).

        Args:
            name: of the array; None: see `usual`.
            on: which examples, as in the reading; None: the last ones that were asked for, by default "test".

        Raises:
            UsageError: no such barrier or examples.
        """
        known = [str(one) for one in self.reading.coordinate("on")]
        chosen = known[-1] if on is None else on
        if chosen not in known:
            kind = "set of examples"
            raise unknown_name(kind, on, known)
        return self[self.usual if name is None else name][known.index(chosen)]

    def intervals(self, name: str | None = None, *, on: str | None = None) -> tuple[Interval, ...]:
        """The mean barrier at every step, over seeds, within its bound of 0; see `barriers`."""
        return tuple(interval.mean(one, bounds=POSITIVE) for one in self.barriers(name, on=on))

    def stable_from(
        self, threshold: float = THRESHOLD, *, name: str | None = None, on: str | None = None
    ) -> int | None:
        """The first step from which copies are linearly connected: the 95 % interval is below the threshold there.

            k* = min {k : upper end of the mean barrier at k < threshold}

        Barriers that all agree have no interval, and are what they are.

        Args:
            threshold: in the unit of the barrier: 0.02 is 2 points of error.
            name, on: see `barriers`.

        Returns:
            The step; None where there is none among those that were tried.
        """
        table = self.barriers(name, on=on)
        found = self.intervals(name, on=on)
        for step, values, one in zip(self.steps, table, found, strict=True):
            if (one.high if one.known else float(values.max())) < threshold:
                return step
        return None

    def line(self) -> dict[str, str]:
        """From which step on copies are connected, on every set of examples."""
        found = {str(on): self.stable_from(on=str(on)) for on in self.reading.coordinate("on")}
        return {f"stable on {on}": "at no step tried" if at is None else f"from {at:,}" for on, at in found.items()}

    def curve(self, label: str, *, name: str | None = None, on: str | None = None) -> Line:
        """The mean barrier against the step as a mark of a figure, of errors in points; see `barriers`.

        The band is the 95 % interval over seeds. Step 0 stands left of all others, for a logarithmic axis.
        """
        name = self.usual if name is None else name
        times = _times(name)
        line = interval_line(places(self.steps), self.intervals(name, on=on), label=label)
        assert line.low is not None
        assert line.high is not None
        return Line(line.x, times * line.y, low=times * line.low, high=times * line.high, label=label)

    def figure(self, name: str | None = None, threshold: float = THRESHOLD) -> Figure:
        """A barrier against the step at which copies part, and beside it how far apart they end.

        Args:
            name: see `barriers`.
            threshold: of the reference line, in the unit of the barrier.

        Raises:
            UsageError: no such barrier.
        """
        name = self.usual if name is None else name
        lines = [self.curve(str(on), name=name, on=str(on)) for on in self.reading.coordinate("on")]
        distances = [interval.mean(one, bounds=POSITIVE) for one in self["distance"]]
        unit = "points" if name.startswith("error") else self.reading.units.get(name, "")
        level = ReferenceLine(_times(name) * threshold, label=f"{_times(name) * threshold:g} {unit}")
        axis = step_axis(self.steps)
        panels = [
            Figure.of("Barrier", [*lines, level, *zero_line(self.steps)], axis, Axis(name, unit)),
            Figure.of(
                "Distance",
                [interval_line(places(self.steps), distances, label="distance"), *zero_line(self.steps)],
                axis,
                Axis("distance of the copies"),
            ),
        ]
        caption = f"Means over {self.reading.sample_size} seeds with 95 % intervals. {' '.join(self.reading.notes)}"
        return Figure.row(panels, title="Instability to the order of the data", caption=caption)


def places(steps: list[int]) -> Array:
    """Where steps stand on a logarithmic axis: where they are, and step 0 left of all others, as far as is usual.

    >>> from thalweg.connectivity.instability_result import places
    >>> places([0, 3, 12]).tolist(), places([0]).tolist()
    ([0.75, 3.0, 12.0], [1.0])
    """
    at = np.array(steps, dtype=np.float64)
    later = at[at > 0]
    ratio = (later[-1] / later[0]) ** (1 / (len(later) - 1)) if len(later) > 1 else 2.0
    return np.where(at > 0, at, later[0] / max(ratio, 2.0) if len(later) else 1.0)


def zero_line(steps: list[int]) -> list[ReferenceLine]:
    """The mark that says where step 0 stands on a logarithmic axis; none where it is not among the steps."""
    return [ReferenceLine(float(places(steps)[0]), "vertical", label="k = 0")] if steps[0] == 0 else []


def step_axis(steps: list[int]) -> Axis:
    """The axis of steps: logarithmic, with room around them."""
    at = places(steps)
    return Axis("step k at which copies part", scale="log", limits=(at[0] / 1.5, at[-1] * 1.5))


def _times(name: str) -> float:
    """By what a barrier is multiplied for a figure: errors are in points there."""
    return 100.0 if name.startswith("error") else 1.0
