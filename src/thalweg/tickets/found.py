"""What a ticket search found: the ticket beside its controls, at every level."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, unknown_name
from thalweg.figures import Axis, Figure, Line, ReferenceLine, interval_line
from thalweg.population import Population
from thalweg.results import Result, Summarized
from thalweg.statistics import ANYTHING, SHARE, Bounds, Interval, interval
from thalweg.tickets.controls import NEEDED, Arms
from thalweg.tickets.matching import METRICS, SAME, gains, margin_of, matches, mean_gain
from thalweg.tickets.search_cost import SearchCost
from thalweg.tickets.selection import Mask
from thalweg.training import Recipe, Run, Start


def bounds_of(metric: str) -> Bounds:
    """What no value of a metric can be beyond: accuracies are shares."""
    return SHARE if metric.endswith("accuracy") else ANYTHING


@dataclass(frozen=True)
class TicketVerdict(Summarized):
    """A ticket beside the dense network and its controls, over paired seeds; see `Search.verdict`.

    >>> from thalweg.statistics import Interval
    >>> import thalweg as tw
    >>> better = Interval(0.02, 0.01, 0.03, 5, "made up")
    >>> verdict = tw.tickets.TicketVerdict(3, 0.512, {"dense": better, "reinit": better, "shuffled": better}, 0.005)
    >>> verdict.matching, verdict.is_ticket
    (True, True)

    Args:
        level: rounds of pruning.
        density: of the weights that may be pruned.
        better: by how much the ticket is better than each arm, "dense" among them.
        margin: by how much a ticket may be worse than the dense network and still match it.
    """

    level: int
    density: float
    better: Mapping[str, Interval]
    margin: float

    @property
    def matching(self) -> bool:
        """Whether the ticket is not worse than the dense network by more than the margin, at 95 %, or the very same."""
        return matches(self.better["dense"], self.margin)

    @property
    def is_ticket(self) -> bool:
        """Whether it matches, and is better than its reinitialized and its shuffled control."""
        return self.matching and all(self.better[name].low > 0 for name in NEEDED)

    def facts(self) -> dict[str, str]:
        """The level, and by how much the ticket is better than each arm."""
        return {
            "level": f"{self.level} ({1 - self.density:.1%} sparse)",
            "ticket": f"{'matches' if self.matching else 'is not shown to match'} the dense network",
            **{f"better than {name}": _in_words(found) for name, found in self.better.items()},
        }


@dataclass(frozen=True, eq=False)
class Search(Result):
    """What `search` found.

    Args:
        reading: of every metric after the last step, such as "test_accuracy" (arm, density, seed), NaN where an arm
            was not trained; the same of the dense network, such as "dense test_accuracy" (seed); "weights kept"
            (density), and "density of all parameters" (density). Densities are of what may be pruned.
        dense: the run of the dense network; its snapshots are the initialization and the rewinding point.
        start: where the ticket is rewound to.
        runs: one a level, by arm: that of all arms together, but of the ticket's own where it is fine-tuned. Arms that
            were not trained at a level are not there.
        masks: the same of masks: (seeds, parameters) each.
        cost: what it took, in trainings.
        making: of what the arms were made: the problem, what might be pruned, and in which parts.
        retrain: how the ticket was trained at every level; the dense network and all other arms were by the recipe.
    """

    dense: Run = field(repr=False)
    start: Start = field(repr=False)
    runs: tuple[Mapping[str, Run], ...] = field(repr=False)
    masks: tuple[Mapping[str, Mask], ...] = field(repr=False)
    cost: SearchCost
    making: Arms = field(repr=False)
    retrain: str | Recipe = field(repr=False)

    @property
    def densities(self) -> NDArray[np.float64]:
        """Of the weights that may be pruned, at every level: (levels,)."""
        return self.reading.coordinate("density")

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms."""
        return tuple(self.reading.coordinate("arm").tolist())

    @property
    def metric(self) -> str:
        """By which arms are compared if none is named: accuracy on test examples, or what comes nearest."""
        known = [name for name in self.reading.arrays if f"dense {name}" in self.reading.arrays]
        return next(name for name in (*METRICS, *known) if name in known)

    def trained(self, level: int, arm: str = "ticket") -> Population:
        """The trained networks of an arm and level, one a seed; level 0 is the dense network.

        Raises:
            UsageError: no such level or arm.
        """
        self._check(level)
        if level == 0:
            return self.dense.final
        known = self.runs[level - 1]
        if arm not in known:
            what = f"arm of level {level}"
            raise unknown_name(what, arm, known)
        run = known[arm]
        return run.final[run.select(arm=arm)]

    def of(self, level: int, arm: str = "ticket", metric: str | None = None) -> NDArray[np.float64]:
        """A metric of an arm after its last step: (seeds,); NaN where it was not trained at the level.

        Args:
            level: from 1 on.
            arm: "dense" or another one.
            metric: None: `metric`.

        Raises:
            UsageError: no such level, arm or metric.
        """
        self._check(level, least=1)
        metric = metric or self.metric
        if f"dense {metric}" not in self.reading.arrays:
            known = [name.removeprefix("dense ") for name in self.reading.arrays if name.startswith("dense ")]
            raise unknown_name("metric", metric, known)
        if arm == "dense":
            return self.reading[f"dense {metric}"]
        if arm not in self.arms:
            raise unknown_name("arm", arm, ("dense", *self.arms))
        return self.reading[metric][self.arms.index(arm), level - 1]

    def better(self, level: int, than: str = "dense", arm: str = "ticket", metric: str | None = None) -> Interval:
        """By how much an arm is better than another over paired seeds: more accurate, or of less loss.

        Where every seed has the very same outcome in both, it is [0, 0], "the same".

        Args:
            level: from 1 on.
            than: "dense" or another arm.
            arm: which one.
            metric: None: `metric`.

        Raises:
            UsageError: no such level, arm or metric.
        """
        metric = metric or self.metric
        return mean_gain(gains(self.of(level, arm, metric), self.of(level, than, metric), metric))

    def verdict(self, level: int, *, margin: float | None = None, metric: str | None = None) -> TicketVerdict:
        """The ticket of a level beside the dense network and all its controls.

        Args:
            level: from 1 on.
            margin: by how much the ticket may be worse than the dense network and match it, in the metric's unit; None:
                half a point of accuracy.
            metric: None: `metric`.

        Raises:
            UsageError: no such level; no margin for a loss; the search left out the arms "reinit" or "shuffled" there,
                without which a mask is not shown to be a ticket; or the ticket alone went on from its trained weights,
                so that it saw more steps than what it is held against.
        """
        self._check(level, least=1)
        if self.retrain != "weights":
            msg = (
                "No verdict on a ticket that alone goes on from trained weights: the dense network and all other arms "
                'had fewer steps. Search with retrain="weights"; search.better(level) compares single arms.'
            )
            raise UsageError(msg)
        missing = [name for name in NEEDED if name not in self.runs[level - 1]]
        if missing:
            msg = (
                f"No verdict on a ticket without its controls: this search left out {' and '.join(missing)}. Search "
                f"with arms that have {', '.join(NEEDED)}; search.better(level) compares single arms."
            )
            raise UsageError(msg)
        others = ["dense", *(name for name in self.arms if name != "ticket" and name in self.runs[level - 1])]
        better = {name: self.better(level, name, metric=metric) for name in others}
        limit = margin_of("verdict", margin, metric or self.metric)
        return TicketVerdict(level, float(self.densities[level - 1]), better, limit)

    def largest_matching(self, *, margin: float | None = None, metric: str | None = None) -> int:
        """The last level at which, and at all levels before, tickets match the dense network; 0 where none does.

        Args:
            margin, metric: see `verdict`.

        Raises:
            UsageError: no margin for a loss.
        """
        limit = margin_of("largest_matching", margin, metric or self.metric)
        for level in range(1, len(self.runs) + 1):
            if not matches(self.better(level, metric=metric), limit):
                return level - 1
        return len(self.runs)

    def facts(self) -> dict[str, str]:
        """Levels, arms and seeds; how sparse tickets match, if the controls were trained."""
        return {
            "levels": f"{len(self.runs)}, down to {self.densities[-1]:.1%} of the weights",
            "arms": ", ".join(self.arms),
            "seeds": f"{len(self.dense.final):,}",
            **self._judged(),
        }

    def _judged(self) -> dict[str, str]:
        """The sparsest level that matches, beside its controls; or why nothing is said of it."""
        if self.retrain != "weights":
            return {"verdict": "none, since the ticket alone goes on from trained weights"}
        if not set(NEEDED) <= set(self.arms):
            return {"verdict": "none without reinit and shuffled"}
        if not self.metric.endswith("accuracy"):
            return {"verdict": f"search.verdict(level, margin=...) in the unit of {self.metric}"}
        level = self.largest_matching()
        if not level:
            return {"matching": "at no level"}
        missing = [name for name in NEEDED if name not in self.runs[level - 1]]
        if missing:
            return {"verdict": f"none at level {level}, without {' and '.join(missing)} there"}
        controls = {f"there better than {name}": _in_words(self.better(level, name)) for name in NEEDED}
        return {"matching": f"{1 - self.densities[level - 1]:.1%} sparse, level {level}", **controls}

    def line(self) -> dict[str, str]:
        """The same in a line."""
        return self.facts()

    def figure(self, metric: str | None = None) -> Figure:
        """Every arm's mean against the density, with intervals of the ticket and its needed controls; the dense mean.

        Raises:
            UsageError: no such metric.
        """
        metric = metric or self.metric
        lines = []
        for arm in self.arms:
            at = [level for level in range(1, len(self.runs) + 1) if arm in self.runs[level - 1]]
            values = [interval.mean(self.of(level, arm, metric), bounds=bounds_of(metric)) for level in at]
            found = interval_line(self.densities[[level - 1 for level in at]], values, label=arm)
            lines.append(found if arm in ("ticket", *NEEDED) else Line(found.x, found.y, label=arm))
        dense = float(np.mean(self.of(1, "dense", metric)))
        unit = self.reading.units.get(metric, "")
        marks = (*lines, ReferenceLine(dense, label="dense")) if math.isfinite(dense) else tuple(lines)
        return Figure.of(
            "Tickets and their controls",
            marks,
            Axis("density of prunable weights", scale="log"),
            Axis(metric.replace("_", " "), unit),
            caption=f"Means over {len(self.dense.final)} seeds; bands are pointwise 95 % intervals. {self.cost}",
        )

    def _check(self, level: int, least: int = 0) -> None:
        if not least <= level <= len(self.runs):
            msg = f"There is no level {level}; the search has {least} to {len(self.runs)}."
            raise UsageError(msg)


def _in_words(better: Interval) -> str:
    return "0, the same in every seed" if better.method == SAME else f"{better}"
