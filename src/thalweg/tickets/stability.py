"""Whether tickets are stable to the order of the data: two copies a level, and the barrier between them."""

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.data import ExampleSet
from thalweg.errors import check_count, check_type
from thalweg.evaluation import Sample, lines
from thalweg.figures import Axis, Figure, ReferenceLine, interval_line
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import stream_key
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.tickets.found import Search
from thalweg.training import train
from thalweg.workers import Workers

Array = NDArray[np.float64]
WORTH = 0.02  # of error, above which copies are not in one basin


@dataclass(frozen=True, eq=False)
class Stability(Result):
    """What `stability` found.

    Args:
        reading: "barrier" (density, seed), of the error where the problem has an accuracy and else of the loss;
            "loss barrier" (density, seed); "stable" (density), whether the 95 % interval of the mean barrier
            lies below the threshold, or all barriers are one number below it;
            "copy" values (copy, density, seed) of the metric. Density 1 is the dense network.
    """

    def barriers(self) -> tuple[Interval, ...]:
        """The mean barrier at every density, over seeds."""
        return tuple(interval.mean(one) for one in self["barrier"])

    def figure(self) -> Figure:
        """The barrier against the density, with 95 % intervals over seeds."""
        line = interval_line(self.reading.coordinate("density"), self.barriers(), label="barrier")
        x, y = Axis("density of prunable weights", scale="log"), Axis("barrier", self.reading.units["barrier"])
        marks = (line, ReferenceLine(float(self["threshold"]), label="stable below"))
        return Figure.of("Stability to the data order", marks, x, y, caption=" ".join(self.reading.notes))


@guarded
def stability(
    problem: Problem,
    found: Search,
    *,
    points: int = 25,
    worth: float = WORTH,
    on: Sample | str | ExampleSet = "train",
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Stability:
    """The barrier between two copies of each ticket, trained from the rewinding point with other data orders.

    Both copies of a level have its mask, and begin with the weights, moments and schedule of step k; the level with
    density 1 is the dense network. Copies without a barrier are in one linearly connected basin: tickets match where
    they are stable (Frankle et al., 2020, arXiv:1912.05671).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=200, test=50))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=20, batch_size=50, evaluate=1)
    >>> found = tw.tickets.search(problem, recipe, seeds=2, rounds=1, keep=0.5, arms=("ticket",))
    >>> tw.tickets.stability(problem, found, points=5)["barrier"].shape
    (2, 2)

    Args:
        problem: what was trained.
        found: of `search`, whose recipe, seeds, rewinding point and masks are taken.
        points: on every line.
        worth: the barrier of error (or of the loss in its unit) below which a level is stable.
        on: the examples of the barrier.
        plan, progress, workers: see `train`.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: two trainings a level and seed from step k on, and points evaluations of each.
    """
    began = time.perf_counter()
    check_type("stability found", found, Search, "a Search, as tickets.search returns it")
    check_count("stability points", points, 2)
    seeds = [int(seed) for seed in found.reading.coordinate("seed")]
    names = ["0", *(str(level) for level in range(1, len(found.runs) + 1))]
    masks = {"0": None} | {str(i): one["ticket"] for i, one in enumerate(found.masks, start=1)}
    starts = dict.fromkeys(names, found.start)
    recipe = replace(found.dense.recipe, snapshot=0, snapshot_state=False)
    copies: list[list[Population]] = []
    values: list[list[Array]] = []
    with watched(progress) as told:
        for copy in (0, 1):
            told(Progress("stability, copies", copy, 3, time.perf_counter() - began))
            orders = [stream_key(seed, "stability", copy) for seed in seeds]
            run = train(problem, recipe, orders, start=starts, mask=masks, paired=True, plan=plan, workers=workers)
            members = [run.select(arm=name) for name in names]
            copies.append([run.final[one] for one in members])
            values.append([run.history.final(found.metric)[one] for one in members])
        told(Progress("stability, barriers", 2, 3, time.perf_counter() - began))
        between = [
            lines(problem, first, second, points=points, on=on, plan=plan)
            for first, second in zip(*copies, strict=True)
        ]
    kind = "accuracy barrier" if "accuracy barrier" in between[0].reading.arrays else "loss barrier"
    heights = np.stack([one[kind] for one in between])
    unit = between[0].reading.units.get(kind, "")
    reading = Reading(
        "stability of tickets",
        {
            "barrier": heights,
            "loss barrier": np.stack([one["loss barrier"] for one in between]),
            "stable": np.array([_below(one, worth) for one in heights]),
            "copy": np.array(values),
            "threshold": worth,
        },
        {
            "barrier": ("density", "seed"),
            "loss barrier": ("density", "seed"),
            "stable": ("density",),
            "copy": ("copies", "density", "seed"),
        },
        {"density": [1.0, *found.densities], "seed": seeds},
        {"barrier": unit, "loss barrier": problem.loss.unit},
        sample_size=len(seeds),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(seeds, str(problem.device), str(problem.dtype)),
        notes=(
            f"Copies with other data orders from step {found.start.step}; barrier of the "
            f"{'error' if kind.startswith('acc') else 'loss'} on {points} points of a line.",
            *between[0].reading.notes,
        ),
    )
    return Stability(reading)


def _below(heights: Array, worth: float) -> bool:
    """Whether the mean is shown to be below; values that all agree have no interval and are what they are."""
    if len(heights) > 1 and float(np.ptp(heights)) == 0:
        return bool(heights[0] < worth)
    return bool(interval.mean(heights).high < worth)
