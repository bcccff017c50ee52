"""What instability analysis found: barriers by the step at which copies part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thalweg.arguments import in_words
from thalweg.connectivity.barrier import bounds_of
from thalweg.errors import UsageError, check_type, unknown_name
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
            on: which examples, as in the reading; None: the first that were asked for, by default "test".

        Raises:
            UsageError: no such barrier or examples.
        """
        known = [str(one) for one in self.reading.coordinate("on")]
        chosen = known[0] if on is None else on
        if chosen not in known:
            kind = "set of examples"
            raise unknown_name(kind, on, known)
        return self[self.usual if name is None else name][known.index(chosen)]

    def intervals(self, name: str | None = None, *, on: str | None = None) -> tuple[Interval, ...]:
        """The mean barrier at every step, over seeds, within its bounds; see `barriers`."""
        bounds = bounds_of(name or self.usual)
        return tuple(interval.mean(one, bounds=bounds) for one in self.barriers(name, on=on))

    def stable_from(
        self, threshold: float = THRESHOLD, *, name: str | None = None, on: str | None = None
    ) -> int | None:
        """The first step from which on copies are linearly connected: there and at every later step that was tried.

            k* = min {k : upper end of the mean barrier at k' < threshold for all k' >= k that were tried}

        As every later step has to be below, too, it may be picked from as many as one likes: steps are tested in order
        from the last to the first that fails, and all of that is wrong in at most 2.5 % (a fixed sequence of tests).
        Barriers that are all the same number are what they are, whatever the interval.

        Args:
            threshold: in the unit of the barrier: 0.02 is 2 points of error.
            name, on: see `barriers`.

        Returns:
            The step; None where the last that was tried is not below.
        """
        table, found = self.barriers(name, on=on), self.intervals(name, on=on)
        first = None
        for step, values, one in reversed(list(zip(self.steps, table, found, strict=True))):
            agree = bool((values == values[0]).all())
            if not (float(values[0]) if agree else one.high) < threshold:
                break
            first = step
        return first

    def line(self) -> dict[str, str]:
        """From which step on copies are connected, on every set of examples."""
        found = {str(on): self.stable_from(on=str(on)) for on in self.reading.coordinate("on")}
        tried = f"({len(self.steps)} steps tried)"
        return {f"stable on {on}": f"from {'none' if at is None else f'{at:,}'} {tried}" for on, at in found.items()}

    def figure(self, name: str | None = None, threshold: float = THRESHOLD) -> Figure:
        """A barrier against the step at which copies part, and how far apart they end; see `instability_figure`."""
        return instability_figure({"": self}, name=name, threshold=threshold)


@in_words
def instability_figure(
    found: Mapping[str, Instability],
    *,
    name: str | None = None,
    threshold: float = THRESHOLD,
    title: str = "Instability to the order of the data",
    caption: str = "",
) -> Figure:
    """Barriers of one or several analyses against the step at which copies part, and how far apart the copies end.

    There is a panel for every set of examples. Steps are on a logarithmic axis, step 0 at its left edge; errors are in
    points; bands are 95 % intervals over seeds.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=200, test=50))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=10, batch_size=50, schedule=tw.schedules.Cosine())
    >>> both = {
    ...     name: tw.connectivity.instability(problem, recipe, (0, 5), seeds=2, points=3, fresh_schedule=fresh)
    ...     for name, fresh in (("one schedule", False), ("fresh schedule", True))
    ... }
    >>> [mark.label for mark in tw.connectivity.instability_figure(both).panels[-1].marks]
    ['one schedule', 'fresh schedule', 'k = 0']

    Args:
        found: by what they are called.
        name: of the barrier; None: see `Instability.usual`.
        threshold: of the reference line, in the unit of the barrier.
        title, caption: of the figure; the caption is made from the notes when not given.

    Raises:
        UsageError: nothing to draw, or no such barrier.
    """
    check_type("instability_figure", found or None, Mapping, "at least one result of instability by name")
    results = list(found.values())
    name = results[0].usual if name is None else name
    unit = "points" if name.startswith("error") else results[0].reading.units.get(name, "")
    times = 100.0 if name.startswith("error") else 1.0
    steps = sorted({step for one in results for step in one.steps})
    at = dict(zip(steps, _places(steps), strict=True))
    zero = [ReferenceLine(at[0], "vertical", label="k = 0")] if 0 in at else []
    axis = Axis("step k at which copies part", scale="log", limits=(at[steps[0]] / 1.5, at[steps[-1]] * 1.5))
    places = {label: [at[step] for step in one.steps] for label, one in found.items()}
    sets = list(dict.fromkeys(on for one in results for on in one.reading.coordinate("on").tolist()))
    barriers = {
        on: [
            _line(places[label], one.intervals(name, on=on), label, times)
            for label, one in found.items()
            if on in one.reading.coordinate("on")
        ]
        for on in sets
    }
    distances = [
        _line(places[label], [interval.mean(values, bounds=POSITIVE) for values in one["distance"]], label)
        for label, one in found.items()
    ]
    level = ReferenceLine(times * threshold, label=f"{times * threshold:g} {unit}")
    said = dict.fromkeys(note for one in results for note in one.reading.notes)
    return Figure.row(
        [
            *(
                Figure.of(f"Barrier, {on}", [*lines, level, *zero], axis, Axis(name, unit))
                for on, lines in barriers.items()
            ),
            Figure.of("Distance", [*distances, *zero], axis, Axis("distance of the copies")),
        ],
        title=title,
        caption=caption or f"Means over {results[0].reading.sample_size} seeds, 95 % intervals. {' '.join(said)}",
    )


def _line(at: Sequence[float], intervals: Sequence[Interval], label: str, times: float = 1.0) -> Line:
    """The line through estimates, multiplied, with intervals as its band."""
    line = interval_line(at, intervals, label=label)
    assert line.low is not None
    assert line.high is not None
    return Line(line.x, times * line.y, low=times * line.low, high=times * line.high, label=label)


def _places(steps: Sequence[int]) -> list[float]:
    """Where steps stand on a logarithmic axis: where they are, and step 0 left of all others, as far as is usual.

    >>> from thalweg.connectivity.instability_result import _places
    >>> _places([0, 3, 12]), _places([0])
    ([0.75, 3.0, 12.0], [1.0])
    """
    later = [float(step) for step in steps if step > 0]
    ratio = (later[-1] / later[0]) ** (1 / (len(later) - 1)) if len(later) > 1 else 2.0
    first = later[0] / max(ratio, 2.0) if later else 1.0
    return [float(step) if step > 0 else first for step in steps]
