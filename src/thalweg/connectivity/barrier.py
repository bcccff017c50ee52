"""How high the loss and the error rise on the straight line between two networks, by three published definitions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.connectivity.ends import Pairs, check_ends
from thalweg.connectivity.height_intervals import METHOD, height_intervals
from thalweg.connectivity.line import LineValues, line_values
from thalweg.connectivity.resamples import ends
from thalweg.connectivity.samples import labelled, sets_of
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, unknown_name
from thalweg.evaluation import Conditions, Sample, line_heights
from thalweg.figures import Axis, Figure, Line
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import POSITIVE, SHARE, Bounds, Interval, interval

Array = NDArray[np.float64]
DEFINITIONS = ("barrier", "barrier, over mean", "location")
_INTERVAL = "{}, 95 %"
_FEWEST = 39  # resamples, of which the least and the most are the 2.5 % and 97.5 % points


@dataclass(frozen=True, eq=False)
class Barrier(Result):
    """What `barrier` found.

    Args:
        reading: "loss" and, where the problem has an accuracy, "error" (on, member, t) on the lines; of each, as of the
            loss, "loss barrier" above the chord, "loss barrier, over mean" and "loss location" (on, member), t where
            the line is highest above the chord, NaN where it nowhere is. With resamples each has standard errors, and
            the last three "loss barrier, 95 %" and so on (on, member, end), the interval over examples; "examples" (on)
            is how many there are.
        sharing: how many pairs have a network that another pair has, too.
    """

    sharing: int = 0

    def intervals(self, name: str | None = None, on: str | None = None) -> tuple[Interval, ...]:
        """Of every member the interval over examples: how it would vary with other examples of the same kind.

        The maximum of estimates lies above 0 where there is no barrier, too; the interval of a height allows for that,
        so that it begins above 0 in at most 2.5 % of such cases (see `height_intervals.interval_of_maximum`).

        Args:
            name: of an array (on, member); None: "error barrier" where there is an accuracy, else "loss barrier".
            on: which examples; None: the first that `barrier` was given.

        Raises:
            UsageError: no such array or examples, or nothing was resampled.
        """
        name, place = self._named(name), self._place(on)
        values = self._of(name, on)
        if _INTERVAL.format(name) not in self.reading.arrays:
            msg = f"There are no intervals over examples of {name!r}; write barrier(..., resamples=199)."
            raise UsageError(msg)
        table = np.concatenate([values[:, None], self[_INTERVAL.format(name)][place]], axis=1)
        many = int(self["examples"][place])
        return tuple(Interval(estimate, low, high, many, METHOD) for estimate, low, high in table.tolist())

    def over_pairs(self, name: str | None = None, on: str | None = None) -> Interval:
        """The mean over members, with its interval: how it would vary with other pairs (see `statistics.mean`).

        It lies within the bounds of what it is about: `SHARE` of an error or a place, `POSITIVE` of a loss. Pairs that
        share a network are not independent, and the interval is then too narrow: its `method` and a note say so.

        Args:
            name, on: see `intervals`.

        Raises:
            UsageError: no such array or examples.
        """
        name = self._named(name)
        found = interval.mean(self._of(name, on), bounds=bounds_of(name))
        return replace(found, method=f"{found.method}; too narrow, as pairs share networks") if self.sharing else found

    def figure(self, on: str | None = None) -> Figure:
        """Loss and error on the lines: every pair thin, and the mean over pairs.

        Raises:
            UsageError: no such examples.
        """
        t, place = self.reading.coordinate("t"), self._place(on)
        names = [name for name in ("loss", "error") if name in self.reading.arrays]
        chosen = self.reading.coordinate("on").tolist()
        panels = []
        for name in names:
            thin = [Line(t, one, thin=True) for one in self[name][place]]
            means = [
                Line(t, values.mean(0), label=str(where)) for where, values in zip(chosen, self[name], strict=True)
            ]
            y = Axis(name, self.reading.units.get(name, ""))
            panels.append(Figure.of(name, [*thin, *means], Axis("t"), y))
        count = len(self[names[0]][place])
        heights = "; ".join(
            f"{name} barrier on {where} {self[f'{name} barrier'][row].mean():.3g} above the straight interpolation, "
            f"{self[f'{name} barrier, over mean'][row].mean():.3g} above the mean of the ends"
            for name in names
            for row, where in enumerate(chosen)
        )
        caption = f"Thin: {count} pair{'s' * (count != 1)}, on {chosen[place]}; thick: their mean. Mean {heights}."
        title = "On the straight line between two networks"
        return Figure.row(panels, title=title, caption=" ".join([caption, *self.reading.notes]))

    def _named(self, name: str | None) -> str:
        return ("error barrier" if "error" in self.reading.arrays else "loss barrier") if name is None else name

    def _place(self, on: str | None) -> int:
        known = self.reading.coordinate("on").tolist()
        if on is None:
            return 0
        if on not in known:
            kind = "set of examples"
            raise unknown_name(kind, on, known)
        return known.index(on)

    def _of(self, name: str, on: str | None) -> Array:
        values = self[name]
        if self.reading.dims[name] != ("on", "member"):
            known = [one for one, dims in self.reading.dims.items() if dims == ("on", "member")]
            raise unknown_name("barrier", name, known)
        return values[self._place(on)]


@guarded
def barrier(
    problem: Problem,
    first: Population,
    second: Population,
    *,
    points: int = 25,
    on: Sample | str | ExampleSet | Sequence[Sample | str | ExampleSet] = "train",
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    resamples: int = 199,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Barrier:
    """How high loss and error rise on the straight line between two networks, member by member.

        theta(t) = (1 - t) theta_first + t theta_second,    t at equal distances from 0 to 1
        "barrier":            max over t of L(t) - (1 - t) L(0) - t L(1)    (Entezari et al., 2021), at least 0
        "barrier, over mean": max over t of L(t) - (L(0) + L(1)) / 2        (Frankle et al., 2020, of the error;
                                                                             Ainsworth et al., 2022, of the loss)

    The error is 1 - accuracy, a share. The two agree where the ends are equally good. Where they are not, the second is
    at least half the difference of the ends, on a convex loss too: an interval above 0 then shows no barrier. The
    maximum of the loss is refined by a parabola, that of the error, a staircase, is not (`evaluation.line_heights`). A
    network has exactly no barrier to itself, and the barrier from a to b is to the bit that from b to a.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> first, second = problem.initialize([0, 1]), problem.initialize([2, 3])
    >>> found = tw.connectivity.barrier(problem, first, second, points=5, on=["train", "test"])
    >>> found["loss"].shape, found["loss barrier"].tolist()  # of a linear network the cross-entropy is convex
    ((2, 2, 5), [[0.0, 0.0], [0.0, 0.0]])
    >>> bool((found["loss barrier, over mean"] > 0).all())
    True

    Args:
        problem: what is evaluated.
        first, second: the ends, with as many members; they are only read.
        points: on a line, both ends among them, at least 3.
        on: the examples, or a list of several sets of them: "train", "test", a Sample or examples of one's own.
        statistics: of normalization layers: "recompute" those of `statistics_count` training examples at every point,
            or "interpolate" those of the ends.
        resamples: of the bootstrap over examples, at least 39; 0 for none. A resample is the same examples on the whole
            line. Intervals are for examples that are drawn, the whole training set as well.
        plan: see `train`.
        seed: of the examples for "recompute" and of the resamples.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant, or ends between which there is no network: other architectures,
            different frozen parameters or buffers of whole numbers.
        ModelError: a model or loss that draws random numbers in evaluation mode.

    Cost: an evaluation a point, member and set of examples, with "recompute" a pass over those examples; besides,
    2 points x examples x resamples multiplications. Memory: values by example at 64 points at most.

    Papers: Entezari et al., 2021, arXiv:2110.06296; Ainsworth et al., 2022, arXiv:2209.04836; Frankle et al., 2020,
    arXiv:1912.05671, who call networks stable to the order of data below 2 % of error.
    """
    began = time.perf_counter()
    check_count("barrier points", points, 3)
    check_count("barrier resamples", resamples, 0)
    if 0 < resamples < _FEWEST:
        msg = f"barrier resamples must be at least {_FEWEST}, the fewest that have 2.5 % at either side, or 0 for "
        raise UsageError(msg + f"none; got {resamples}.")
    check_choice("barrier statistics", statistics, ("recompute", "interpolate"))
    sets = sets_of("barrier", problem, on)
    check_ends("barrier", problem, [first, second], statistics=statistics)
    pairs = Pairs.of(first, second, buffers=statistics == "interpolate")
    options = {"statistics": statistics, "statistics_count": statistics_count, "plan": plan, "seed": seed}
    conditions = [Conditions.of("barrier", problem, on=one, **options) for one in sets]
    labels = labelled(conditions)
    with watched(progress) as told:
        lines = [
            line_values(pairs, one, points, resamples, seed=seed, label=f"barrier on {name}", progress=told)
            for one, name in zip(conditions, labels, strict=True)
        ]
    arrays, errors, dims = _tables(lines, pairs.swapped.numpy())
    names = [name for name in ("loss", "error") if name in arrays]
    kinds = {"loss": problem.loss.unit, "error": "fraction"}
    coordinates = {"on": labels, "member": np.arange(len(first)), "t": np.linspace(0, 1, points)}
    counts = [len(one.drawn) for one in conditions]
    lost = int(np.isnan(arrays["loss"]).sum())
    notes = [*dict.fromkeys(one.text for one in conditions)]
    if resamples:
        notes.append(f"Standard errors and intervals are over examples, of {resamples:,} resamples.")
    sharing = pairs.sharing()
    if sharing:
        notes.append(
            f"{sharing} of {len(first)} pairs share a network with another: they are not independent, and an interval "
            "over pairs is too narrow."
        )
    if lost:
        notes.append(f"The loss is not finite at {lost:,} of {arrays['loss'].size:,} points: no barrier there.")
    reading = Reading(
        "barrier",
        arrays | {"examples": np.array(counts)},
        dims | {"examples": ("on",)},
        coordinates | ({"end": ["low", "high"]} if resamples else {}),
        {one: kinds[name] for name in names for one in (name, *(f"{name} {kind}" for kind in DEFINITIONS[:2]))},
        errors,
        sample_size=counts[0] if len(counts) == 1 else None,
        cost=Cost(time.perf_counter() - began, forwards=sum(one.evaluations for one in lines)),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype), plan=lines[0].plan),
        notes=tuple(notes),
    )
    return Barrier(reading, sharing)


def bounds_of(name: str) -> Bounds:
    """Between what a height or its place lies, by its name.

    >>> from thalweg.connectivity.barrier import bounds_of
    >>> bounds_of("error barrier"), bounds_of("loss barrier"), bounds_of("loss location")
    ((0.0, 1.0), (0.0, inf), (0.0, 1.0))
    """
    return SHARE if name.startswith("error") or name.endswith("location") else POSITIVE


def _tables(
    lines: Sequence[LineValues], swapped: NDArray[np.bool_]
) -> tuple[dict[str, Array], dict[str, Array], dict[str, tuple[str, ...]]]:
    """Everything by name, (on, member, ...): values, standard errors, dimensions.

    Heights are computed from start to end, which no order of the arguments changes, and only then is anything turned.
    """
    arrays: dict[str, Array] = {}
    errors: dict[str, Array] = {}
    dims: dict[str, tuple[str, ...]] = {}
    for name in lines[0].values:
        values = np.stack([one.values[name] for one in lines])
        arrays[name], dims[name] = _turned(values, swapped), ("on", "member", "t")
        again = [one.resampled.get(name) for one in lines]
        found = _heights(name, values, swapped)
        arrays |= {f"{name} {kind}": value for kind, value in zip(DEFINITIONS, found, strict=True)}
        dims |= {f"{name} {kind}": ("on", "member") for kind in DEFINITIONS}
        if any(one is None for one in again):
            continue
        draws = np.stack([one for one in again if one is not None])  # (on, member, resamples, t)
        errors[name] = _turned(draws.std(2, ddof=1), swapped)
        resampled = _heights(name, draws, swapped)
        intervals = (*height_intervals(values, draws, name), np.stack(ends(resampled[2], axis=2), axis=-1))
        for kind, value, both in zip(DEFINITIONS, resampled, intervals, strict=True):
            whole = f"{name} {kind}"
            errors[whole] = value.std(2, ddof=1)
            arrays[_INTERVAL.format(whole)] = both
            dims[_INTERVAL.format(whole)] = ("on", "member", "end")
    return arrays, errors, dims


def _turned(values: Array, swapped: NDArray[np.bool_]) -> Array:
    """From start to end, as from the first to the second: (on, member, ..., t)."""
    turned = swapped.reshape(-1, *(1 for _ in values.shape[2:]))
    return np.where(turned, values[..., ::-1], values)


def _heights(name: str, lines: Array, swapped: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """By every definition, of lines (on, member, ..., t) from start to end; and t of the first from first to second."""
    found = line_heights(lines, name)
    turned = swapped.reshape(-1, *(1 for _ in found.location.shape[2:]))
    return found.barrier, found.over_mean, np.where(turned, 1 - found.location, found.location)
