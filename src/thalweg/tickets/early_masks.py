"""What masks taken early in training are worth: trained beside the final mask and random ones."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import unknown_name
from thalweg.figures import Axis, Figure, Line, ReferenceLine, interval_line
from thalweg.guard import guarded
from thalweg.population import Plan, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.tickets.allocation import Allocation, ByLayer
from thalweg.tickets.checked import check_trained, checked_seeds
from thalweg.tickets.division import Share
from thalweg.tickets.early_bird import corrected_overlap
from thalweg.tickets.found import bounds_of
from thalweg.tickets.policy import Policy
from thalweg.tickets.rewinding_step import Rewinding, rewinding_step
from thalweg.tickets.scores import random
from thalweg.tickets.scoring import Score, as_score, by_magnitude
from thalweg.tickets.selection import mask_of, select_parts
from thalweg.tickets.share_of_gain import share_of_gain
from thalweg.training import Recipe, Run, Start, train
from thalweg.workers import Workers

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EarlyMasks(Result):
    """What `early_masks` found.

    Args:
        reading: of networks under the mask of each step, the last being that of the dense network's end, the metric
            after the last step (step, seed), under its name; the same under random masks, "random" (seed), and of the
            dense network, "dense" (seed); "overlap" (step, seed) with the final mask, corrected for chance, and that of
            random masks, "overlap of random" (seed); "share of the rate" (step), how much of the sum of the schedule's
            rates lies before.
        metric: its name.
        dense: the run of the dense network, with the snapshots that masks were taken from.
    """

    metric: str
    dense: Run

    def of(self, step: int | str) -> Array:
        """The metric under the masks of a step, "final" or "random" ones, or of "dense" networks: (seeds,).

        Raises:
            UsageError: no such step or name.
        """
        if step in ("random", "dense"):
            return self[str(step)]
        steps = self.reading.coordinate("step").tolist()
        if step != "final" and step not in steps:
            raise unknown_name("mask", step, (*map(str, steps), "final", "random", "dense"))
        return self[self.metric][-1 if step == "final" else steps.index(step)]

    def gains(self, step: int | str, than: int | str = "random") -> Array:
        """By how much networks under a mask are better than others, seed by seed: (seeds,); see `of`.

        Raises:
            UsageError: no such step or name.
        """
        gain = self.of(step) - self.of(than)
        return -gain if self.metric.endswith("loss") else gain

    def better(self, step: int | str, than: int | str = "random") -> Interval:
        """The mean of `gains` over seeds.

        Raises:
            UsageError: no such step or name.
        """
        return interval.mean(self.gains(step, than))

    def share(self, step: int | str) -> Interval:
        """What part of the final mask's gain over random ones the mask of a step has; see `share_of_gain`.

        Raises:
            UsageError: no such step.
        """
        return share_of_gain(self.gains(step), self.gains("final"))

    def figure(self) -> Figure:
        """The metric under masks, and their share of the final one's gain and overlap with it, with 95 % intervals.

        Against the fraction of training at which they were taken, beside the share of the rate that was spent by then.
        """
        steps = self.reading.coordinate("step")
        at, bounds = steps / self.dense.recipe.steps, bounds_of(self.metric)
        worth = interval_line(at, [interval.mean(one, bounds=bounds) for one in self[self.metric]], label="masked")
        lines = [ReferenceLine(float(self[name].mean()), label=name) for name in ("random", "dense")]
        x, y = Axis("mask taken at fraction of training"), Axis(self.metric.replace("_", " "), self._unit)
        first = Figure.of("What a mask is worth", [worth, *lines], x, y)
        shares = [(place, one) for place, one in zip(at, map(self.share, steps), strict=True) if _bounded(one)]
        gained = [interval_line(*zip(*shares, strict=True), label="gain over random")] if shares else []
        same = interval_line(at, [interval.mean(one, bounds=(-np.inf, 1)) for one in self["overlap"]], label="overlap")
        spent = Line(at, self["share of the rate"], label="rate spent")
        second = Figure.of("How much of the final one", [*gained, same, spent], x, Axis("share"))
        caption = " ".join(self.reading.notes)
        return Figure.row([first, second], title="Masks taken early", caption=caption)

    @property
    def _unit(self) -> str:
        return self.reading.units.get(self.metric, "")


@guarded
def early_masks(
    problem: Problem,
    recipe: Recipe,
    at: Sequence[Rewinding] = (0, 0.05, 0.1, 0.2, 0.5),
    *,
    share: Share,
    seeds: int | Sequence[int] = 5,
    train_from: Rewinding = 0,
    score: Score = by_magnitude,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
    metric: str | None = None,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> EarlyMasks:
    """Train networks under the masks that a dense network has at some steps, at its end, and under random ones.

        share of the gain at step t = mean(metric(mask of t) - metric(random)) / mean(metric(final) - metric(random))

    A mask may be worth as much as the final one and yet be another, so what masks have in common (`early_bird`) does
    not say what they are worth. Masks cut once; random ones keep as many parts of every layer. Networks begin with the
    dense network's weights of one step, whichever the mask's, with fresh moments, and see its batches from there on.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=200, test=50))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=20, batch_size=50, evaluate=1)
    >>> found = tw.tickets.early_masks(problem, recipe, (0, 0.2), share=0.3, seeds=2)
    >>> found.reading.coordinate("step").tolist(), found["test_accuracy"].shape
    ([0, 4, 20], (3, 2))

    Args:
        problem: what is trained.
        recipe: how, from step 0 on; without sweeps.
        at: when masks are taken, each as `search` takes a rewinding point; that of the end is always among them.
        share: of the parts that masks keep: everywhere, or by name or kind of layer.
        seeds: of initialization, data order and random masks; an integer n means 0 to n - 1.
        train_from: the step whose weights masked networks begin with, 0 being the initialization.
        score: any of `tickets.scores` as it is, or a function of (snapshot, initialization).
        allocation: which parts; None: `ByLayer`. `Units()` with the score `gamma` are the channels of early-bird.
        policy: what may be pruned.
        metric: None: accuracy on test examples, or what comes nearest.
        plan, progress, workers: see `train`.

    Raises:
        UsageError: arguments that cannot be meant, a recipe with sweeps, or seeds that diverged.

    Cost: a training of the dense network, and one from `train_from` on for every mask.

    Sources: Frankle et al., 2020, arXiv:2002.10365; You et al., 2020, arXiv:1909.11957.
    """
    began = time.perf_counter()
    given = checked_seeds("early_masks", recipe, seeds)
    steps = [*sorted({rewinding_step(problem, recipe, one) for one in at}), recipe.steps]
    k = rewinding_step(problem, recipe, train_from)
    allocation, policy = allocation or ByLayer(), policy or Policy()
    division, score = allocation.division(problem, policy), as_score(problem, score)
    kept = allocation.kept(division, share)
    with watched(progress) as told:
        told(Progress("early masks, dense", 0, 2, 0.0))
        whole = replace(recipe, snapshot=tuple(sorted({0, k, *steps})))
        dense = train(problem, whole, given, plan=plan, workers=workers)
        check_trained("early_masks", dense, given)
        first = dense.snapshots[0]
        parts = {str(step): select_parts(score(dense.snapshots[step], first), division, kept) for step in steps}
        parts["random"] = select_parts(random(first, given), division, kept)
        told(Progress("early masks", 1, 2, time.perf_counter() - began))
        starts = dict.fromkeys(parts, Start(dense.snapshots[k], step=k))
        masks = {name: mask_of(division, one) for name, one in parts.items()}
        run = train(problem, recipe, given, start=starts, mask=masks, paired=True, plan=plan, workers=workers)
    names = run.history.metrics
    metric = metric or next(name for name in ("test_accuracy", "test_loss", "train_loss") if name in names)
    final = run.history.final(metric)
    scored = {name: final[run.select(arm=name)] for name in parts}
    overlap = {name: corrected_overlap(one, parts[str(recipe.steps)], division, kept) for name, one in parts.items()}
    rates = np.array([float(recipe.schedule(step, recipe.steps)) for step in range(1, recipe.steps + 1)])
    spent = np.array([0.0, *np.cumsum(rates)])[steps] / rates.sum()
    unit = run.history.units[metric]
    reading = Reading(
        "masks taken early",
        {
            metric: np.stack([scored[str(step)] for step in steps]),
            "random": scored["random"],
            "dense": dense.history.final(metric),
            "overlap": np.stack([overlap[str(step)] for step in steps]),
            "overlap of random": overlap["random"],
            "share of the rate": spent,
        },
        {
            metric: ("step", "seed"),
            "random": ("seed",),
            "dense": ("seed",),
            "overlap": ("step", "seed"),
            "overlap of random": ("seed",),
            "share of the rate": ("step",),
        },
        {"step": steps, "seed": given},
        dict.fromkeys((metric, "random", "dense"), unit),
        sample_size=len(given),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(given, str(problem.device), str(problem.dtype)),
        notes=(
            f"Masks that keep {float(kept.sum()) / len(division.pool):.1%} of the parts, by "
            f"{type(allocation).__name__}, trained from the weights of step {k} of {recipe.steps}; bands are 95 % "
            f"intervals over {len(given)} seeds.",
        ),
    )
    return EarlyMasks(reading, metric, dense)


def _bounded(found: Interval) -> bool:
    """Whether a share has ends that can be drawn."""
    return bool(np.isfinite([found.estimate, found.low, found.high]).all())
