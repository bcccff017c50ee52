"""How much of a trained network may be cut away as it stands: the first thing to know of one's own model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample, by_example, recomputed
from thalweg.figures import Axis, Figure, ReferenceLine, interval_line
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.tickets.allocation import Allocation, ByLayer, Global
from thalweg.tickets.policy import Policy
from thalweg.tickets.search_cost import search_cost
from thalweg.tickets.selection import EmptyLayerError, prune
from thalweg.tickets.units import Units
from thalweg.tickets.user_units import BATCHES, FORMS, cuttable, in_milliseconds
from thalweg.training import Run

DENSITIES = (0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
ALLOCATIONS: dict[str, Allocation] = {"by layer": ByLayer(), "global": Global()}
UNITS = "units"
WORTH = {"accuracy": 0.005, "loss": 0.01}
ROUNDS = 12  # of the search whose cost is said


@dataclass(frozen=True, eq=False)
class Prunable(Result):
    """What `prunable` found.

    Args:
        reading: "better than dense" (allocation, density), mean over members and examples, and the ends of its
            interval, "low" and "high"; "free sparsity" (allocation), the largest that costs nothing at it and at all
            lower ones; "latency" (form, batch), seconds of a call of a network as it is and without its free units,
            where there are some.
        intervals: by allocation, one a density.
        metric: what is compared, "accuracy" or "loss".
        worth: a loss of the metric that is none.
    """

    intervals: dict[str, tuple[Interval, ...]]
    metric: str
    worth: float

    def facts(self) -> dict[str, str]:
        """How much is free, by either allocation."""
        free = zip(self.reading.coordinate("allocation"), self["free sparsity"], strict=True)
        return {
            f"free {name}": f"{sparsity:.0%} of the {'units' if name == UNITS else 'weights'}"
            for name, sparsity in free
        }

    def line(self) -> dict[str, str]:
        """The same in a line."""
        return self.facts()

    def figure(self) -> Figure:
        """The change against the density, with 95 % intervals."""
        densities = self.reading.coordinate("density")
        lines = [interval_line(densities, found, label=name) for name, found in self.intervals.items()]
        marks = (*lines, ReferenceLine(-self.worth, label="free above"))
        x, y = (
            Axis("density of weights, or of units", scale="log"),
            Axis("better than dense", self.reading.units["low"]),
        )
        return Figure.of("Pruned as it stands", marks, x, y, caption=" ".join(self.reading.notes))


@guarded
def prunable(
    problem: Problem,
    run: Run | Population,
    *,
    densities: Sequence[float] = DENSITIES,
    on: Sample | str | ExampleSet | None = None,
    worth: float | None = None,
    policy: Policy | None = None,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> Prunable:
    """What a trained network loses when its smallest weights are cut away, without training again.

    The smallest weights of every layer, or of the whole network, are pruned, or whole units: those of the smallest
    weights in each group that can be cut out. Running statistics are made anew. Weights that are free make a smaller
    file; units that are free make a faster network, which is cut out of the first member and timed (see `latencies`)
    with 1 and 32 examples. What cannot be cut out is named with the reason; all else is as it would be without. The
    change is that of the same examples, so its interval is far narrower than that of an accuracy: over examples, and
    over members too where there are several. A sparsity is free where the interval's lower end lies above -worth there
    and at every lower sparsity.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=100, batch_size=100, evaluate=1)
    >>> found = tw.tickets.prunable(problem, tw.train(problem, recipe, seeds=2), densities=(0.9, 0.05))
    >>> found["better than dense"].shape, bool((found["better than dense"][:, 1] < -0.05).all())
    ((3, 2), True)

    Args:
        problem: whose model and examples these are.
        run: trained networks, or the run that trained them, of which it is then said what a ticket search would take.
        densities: of the weights that are kept, each between 0 and 1.
        on: the examples; None: test examples, or training examples where there are none.
        worth: a loss of accuracy, or a rise of the loss, that does not count; None: 0.005, or 0.01 of the loss.
        policy: what may be pruned.
        plan, progress: see `train`.

    Raises:
        UsageError: arguments that cannot be meant, or members that diverged.

    Cost: an evaluation a density, allocation and member; a few copies of a network for each group of its units, and
    240 calls of it.
    """
    began = time.perf_counter()
    check_type("prunable run", run, (Run, Population), "a Run or a Population such as run.final")
    population = run.final if isinstance(run, Run) else run
    problem.check(population)
    _check_finite(run)
    kept = sorted(set(densities), reverse=True)
    if not kept or not all(0 < one < 1 for one in kept):
        msg = f"prunable densities lie between 0 and 1, such as (0.5, 0.1); got {list(densities)}."
        raise UsageError(msg)
    on = ("train" if problem.data.test is None else "test") if on is None else on
    drawn = as_sample("prunable", on).draw(problem)
    dense = by_example(problem, population, on=drawn.examples, plan=plan)
    metric = "accuracy" if "accuracy" in dense else "loss"
    limit = WORTH[metric] if worth is None else worth
    found: dict[str, tuple[Interval, ...]] = {}
    notes: list[str] = []
    groups, reasons = cuttable(problem, population, policy or Policy())
    ways = ALLOCATIONS | ({UNITS: Units()} if groups else {})
    total = len(ways) * len(kept)
    with watched(progress) as told:
        for name, allocation in ways.items():
            of: list[Interval] = []
            for density in kept:
                told(
                    Progress(
                        "pruned as it stands", len(found) * len(kept) + len(of), total, time.perf_counter() - began
                    )
                )
                try:
                    share = dict.fromkeys(groups, density) if name == UNITS else density
                    mask = prune(problem, population.theta.abs(), share, allocation=allocation, policy=policy)
                except EmptyLayerError as error:
                    notes.append(f"{name}, {density:g}: {error}")
                    of.append(Interval(np.nan, np.nan, np.nan, len(population), "a layer would be empty"))
                    continue
                sparse = recomputed(problem, population.with_mask(mask), plan=plan)
                values = by_example(problem, sparse, on=drawn.examples, plan=plan)
                if all(torch.equal(one, dense[each]) for each, one in values.items()):
                    of.append(Interval(0.0, 0.0, 0.0, len(population), "the very same outputs"))
                    continue
                of.append(_change(values[metric], dense[metric], -1 if metric == "loss" else 1))
            found[name] = tuple(of)
    ends = {end: np.array([[getattr(one, end) for one in of] for of in found.values()]) for end in ("low", "high")}
    free = {name: _free(kept, of, limit) for name, of in found.items()}
    times, words = {}, []
    if free.get(UNITS):
        share = dict.fromkeys(groups, 1 - free[UNITS])
        words.append(f"{free[UNITS]:.0%} of the units are free.")
        times, more = in_milliseconds(
            problem, population, population.theta.abs(), share, policy or Policy(), drawn.examples
        )
        words += more
    elif groups:
        words.append("No units are free, so that nothing would become faster without training again.")
    unit = next((one.unit for one in problem.metrics if one.name == metric), problem.loss.unit)
    reading = Reading(
        "pruned as it stands",
        {"better than dense": np.array([[one.estimate for one in of] for of in found.values()]), **ends}
        | {"free sparsity": np.array(list(free.values())), **times},
        dict.fromkeys(("better than dense", "low", "high"), ("allocation", "density"))
        | {"free sparsity": ("allocation",)}
        | ({"latency": ("form", "batch")} if times else {}),
        {"allocation": list(found), "density": kept} | ({"form": FORMS, "batch": BATCHES} if times else {}),
        dict.fromkeys(("better than dense", "low", "high"), unit) | ({"latency": "s"} if times else {}),
        sample_size=len(drawn),
        cost=Cost(time.perf_counter() - began, forwards=total * len(population)),
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
        notes=(f"On {drawn.text}, {len(population)} networks.", *words, *_search_words(problem, run), *notes, *reasons),
    )
    return Prunable(reading, found, metric, limit)


def _check_finite(run: Run | Population) -> None:
    """Raise UsageError for members that diverged, of a run, or whose weights are not finite."""
    if isinstance(run, Run):
        lost = np.flatnonzero(run.diverged_at >= 0).tolist()
    else:
        lost = (~run.theta.isfinite().all(1)).nonzero().flatten().tolist()
    if lost:
        seeds = run.axes["seed"][lost].tolist() if isinstance(run, Run) else None
        which = f"the members {lost}" + ("" if seeds is None else f", of the seeds {seeds},")
        msg = f"prunable needs networks that did not diverge; {which} did. Leave them out: give run.final[[...]]."
        raise UsageError(msg)


def _change(sparse: Tensor, dense: Tensor, sign: int) -> Interval:
    """Over examples, and members where there are several."""
    table: NDArray[np.float64] = sign * (sparse - dense).double().cpu().numpy()
    table = table[:, ~np.isnan(table).all(0)]  # examples of which nothing counts
    return interval.mean(table[0]) if len(table) == 1 else interval.crossed(table)


def _free(densities: Sequence[float], found: Sequence[Interval], worth: float) -> float:
    sparsity = 0.0
    for density, one in zip(densities, found, strict=True):
        if not one.low > -worth:
            break
        sparsity = 1 - density
    return sparsity


def _search_words(problem: Problem, run: Run | Population) -> tuple[str, ...]:
    if not isinstance(run, Run) or not run.seconds:
        return ()
    arms = ("ticket", "reinit", "shuffled")
    cost = search_cost(problem, run.recipe, seeds=5, rounds=ROUNDS, arms=arms)
    each = run.seconds / len(run.final)
    return (
        f"A ticket search of {ROUNDS} rounds with its controls and 5 seeds would take as long as "
        f"{5 * cost.trainings:.0f} such trainings, about {5 * cost.trainings * each:.0f} s at {each:.2g} s a network.",
    )
