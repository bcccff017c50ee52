"""Two or more checkpoints: are they in one valley, and would averaging help?"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thalweg.connectivity.alignment.specification import ByHand
from thalweg.connectivity.averaging import Averaged
from thalweg.connectivity.barrier import barrier
from thalweg.connectivity.between_averages import aligned_to_first, averages_of
from thalweg.connectivity.between_checkpoints import Checkpoints, Pair, pairs_of, population_of
from thalweg.connectivity.between_curves import Curves, curves_of
from thalweg.connectivity.between_result import Between
from thalweg.connectivity.between_verdicts import PATHS, Threshold, arrays_of
from thalweg.connectivity.curve import curve_schedule
from thalweg.connectivity.curve_training import default_recipe
from thalweg.connectivity.descent import check_recipe
from thalweg.connectivity.disagreement import disagreement
from thalweg.connectivity.ends import Pairs
from thalweg.connectivity.resamples import Resamples
from thalweg.connectivity.samples import sets_of
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.guard import guarded
from thalweg.population import Plan, Problem, UnitGroup
from thalweg.population.derivatives import check_steady
from thalweg.progress import Progress, Watcher, automatic, check_watcher, watched
from thalweg.results import Cost, Provenance, Reading
from thalweg.training import Recipe

_ONE_VALLEY = 0.02  # of error: below, Frankle et al. call networks stable
_STAGES = 4


@guarded
def between(
    problem: Problem,
    checkpoints: Checkpoints,
    *,
    curve: bool = True,
    recipe: Recipe | None = None,
    steps: int | None = None,
    groups: ByHand | Sequence[UnitGroup] | None = None,
    worth: float = _ONE_VALLEY,
    points: int = 25,
    on: Sample | str | ExampleSet | Sequence[Sample | str | ExampleSet] | None = None,
    held_out: Sample | str | ExampleSet | None = None,
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    resamples: int = 199,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Between:
    """Whether networks lie in one valley, pair by pair, and whether one answer made of all of them beats the best.

    Of every pair: the barrier of the straight line by all three definitions (see `barrier`), the same once the units of
    the second are aligned to the first's by weights (see `align`), and for pairs that no line joins, that of a trained
    curve with one bend (see `bezier`). A path joins two networks where its error barrier above the straight
    interpolation of the ends is below `worth`, with its whole interval over examples; where all of it is above, it does
    not, and else it is undecided. Lines and curves are judged alike, by the same resampled examples; but a curve was
    trained on training examples, on which it is the better for that: compare further sets, such as test. Without an
    accuracy the loss barrier is compared, as a share of the mean loss of the two ends. Of all networks together: their
    average, plain, aligned and repaired (see `repaired`), a greedy soup and ensembles of outputs, each against the best
    of them on held-out examples, at 95 % on its own (see `averaged`).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=30, batch_size=50, evaluate=1)
    >>> found = tw.connectivity.between(problem, tw.train(problem, recipe, 2).final, points=5)
    >>> found.joined("line"), found.curve is None  # linear networks are in one valley, and need no curve
    (((0, 1),), True)

    Args:
        problem: what is evaluated.
        checkpoints: the networks, 2 or more: a Population, a list of Populations or modules, or what
            `problem.load(["one.pt", "two.pt"])` gives; they are only read. Their numbers count all members in order.
        curve: whether curves are sought.
        recipe: of their training; None: momentum 0.1 with weight decay 1e-3 and `curve_schedule`, batches of 50, for
            `steps` steps.
        steps: of the recipe where none is given; None: 600.
        groups: of units to align, where the model cannot be traced (see `align`).
        worth: the barrier below which a path joins: of the error; of the loss a share of the mean of the ends'.
        points: on every path, both ends among them, at least 3.
        on: one or several sets of examples for paths; verdicts are by the first. None: train, and test where there is
            one.
        held_out: examples that averages are scored on, one half of which is used to choose; None: test, or train where
            there is none, with a note.
        statistics: of normalization layers: "recompute" those of `statistics_count` training examples at every point,
            or "interpolate" those of the ends.
        resamples: of the bootstrap over examples, at least 39.
        plan: see `train`.
        seed: of everything that is drawn.
        progress: told which of four stages it is in (lines, aligning, curves, averages), and how far.

    A model that cannot be traced, or has no units known to be exchangeable, is not aligned; a note says why and what to
    write, and the rest is found all the same.

    Raises:
        UsageError: arguments that cannot be meant, a single checkpoint, checkpoints of another architecture (every
            difference is listed), with parameters that are not finite, or between which there is no network.
        ModelError: a model or loss that draws random numbers in evaluation mode.
        KeyboardInterrupt: Ctrl-C; nothing that was given is changed.

    Cost, for K networks, thus n = K (K - 1) / 2 pairs, all at once: 2 n `points` evaluations on every set of examples
    and as many on `statistics_count` examples where running statistics are recomputed; for curves 2 `steps` gradients
    of a batch and 3 `points` evaluations a pair; alignments of n pairs; about 8 K evaluations of held-out examples.
    Where sets of examples are large give Samples, such as on=[Sample("train", 5_000), "test"]. Memory: 2 n networks,
    and the activations of `statistics_count` examples in one.

    Papers: Frankle et al., 2020, arXiv:1912.05671; Entezari et al., 2021, arXiv:2110.06296; Ainsworth et al., 2022,
    arXiv:2209.04836; Garipov et al., 2018, arXiv:1802.10026; Jordan et al., 2022, arXiv:2211.08403; Wortsman et al.,
    2022, arXiv:2203.05482.
    """
    began = time.perf_counter()
    _check(curve, recipe, steps, worth, statistics, resamples, progress)
    population = population_of(problem, checkpoints, statistics=statistics)
    check_steady(problem, "paths between networks cannot be compared")
    common = {"statistics": statistics, "statistics_count": statistics_count, "plan": plan, "seed": seed}
    sets = sets_of("between", problem, on)
    held = held_out if held_out is not None else sets_of("between", problem, None)[-1]
    drawn, given = as_sample("between held_out", held).draw(problem), _recipe_for(problem, recipe, steps)
    check_recipe("between", given)
    pairs, notes = pairs_of(len(population)), []
    first, second = (population[list(some)] for some in zip(*pairs, strict=True))
    same = Pairs.of(first, second, buffers=statistics == "interpolate").same.numpy()
    with watched(progress) as told:
        line: dict[str, Any] = {"points": points, "on": sets, "resamples": resamples, **common}
        lines = barrier(problem, first, second, **line, progress=_stage(told, 1, "lines"))
        threshold = Threshold.of(lines, worth, same)
        stage = _stage(told, 2, "aligning")
        stage(Progress("weights", 0, 1, time.perf_counter() - began))
        alignment, why = aligned_to_first(problem, first, second, groups, seed)
        notes += [why] if why else []
        aligned = None if alignment is None else barrier(problem, first, alignment.population, **line, progress=stage)
        arrays, _ = arrays_of(threshold, lines, aligned, None)
        curved = [number for number, word in enumerate(arrays["verdict"][0]) if word not in ("joined", "same network")]
        found, stage = None, _stage(told, 3, "curves")
        if curve and curved:
            found = curves_of(
                problem,
                (first, second),
                curved,
                given,
                points=points,
                on=sets,
                resamples=resamples,
                common=common,
                progress=stage,
            )
            notes += found.notes(pairs, given)
        elif curve:
            notes.append("No curve was sought, as lines join all pairs.")
        stage = _stage(told, 4, "averages")
        if held_out is None and held == "train":
            notes.append("There is no test set, so averages are scored on training examples, which flatters networks.")
        averages, why = averages_of(problem, population, alignment, groups, held, common, stage)
        notes += [why] if why else []
        again = Resamples(len(drawn), resamples, seed)
        apart = disagreement(problem, population, pairs, drawn, plan=plan, again=again)
    return Between(
        _reading(problem, threshold, lines, aligned, found, pairs, apart, averages, notes, seed, began),
        tuple(pairs),
        threshold,
        lines,
        aligned,
        alignment,
        None if found is None else found.curve,
        () if found is None else found.pairs,
        averages,
        drawn.text,
        given,
    )


def _check(curve: Any, recipe: Any, steps: Any, worth: Any, statistics: str, resamples: Any, progress: Any) -> None:
    """Raise UsageError for arguments that cannot be meant."""
    check_type("between curve", curve, bool, "True or False")
    check_watcher("between", progress)
    check_choice("between statistics", statistics, ("recompute", "interpolate"))
    check_count("between resamples", resamples, 39)
    check_type("between worth", worth, (int, float), "a number such as 0.02")
    if not 0 < worth < np.inf:
        msg = f"between worth must be a barrier above 0, such as 0.02 for two points of error; got {worth}."
        raise UsageError(msg)
    if steps is not None:
        check_count("between steps", steps)
        if recipe is not None:
            msg = f"A recipe has steps of its own; give between recipe= or steps={steps}, not both."
            raise UsageError(msg)


def _recipe_for(problem: Problem, recipe: Recipe | None, steps: int | None) -> Recipe:
    default = default_recipe(problem)
    if recipe is not None or steps is None:
        return recipe or default
    return replace(default, steps=steps, schedule=curve_schedule(steps))


def _stage(told: Watcher, number: int, name: str) -> Watcher:
    """A watcher that says which stage it is."""
    return lambda one: told(replace(one, label=f"between, {name} ({number} of {_STAGES}): {one.label}"))


def _reading(
    problem: Problem,
    threshold: Threshold,
    lines: Any,
    aligned: Any,
    curves: Curves | None,
    pairs: list[Pair],
    apart: Any,
    averages: Averaged | None,
    notes: list[str],
    seed: int,
    began: float,
) -> Reading:
    arrays, dims = arrays_of(threshold, lines, aligned, curves)
    if curves is not None:
        arrays |= {"curve diverged at": curves.diverged_at(len(pairs))}
        dims |= {"curve diverged at": ("pair",)}
    if apart is not None:
        arrays |= {"disagreement": apart[0], "disagreement, 95 %": apart[1]}
        dims |= {"disagreement": ("pair",), "disagreement, 95 %": ("pair", "end")}
    curve, further = (None, 0) if curves is None else (curves.curve, curves.evaluations)
    parts = [one.reading for one in (lines, aligned, curve, averages) if one is not None]
    said = [*lines.reading.notes, *notes, *([] if averages is None else averages.reading.notes)]
    return Reading(
        "between checkpoints",
        arrays,
        dims,
        {
            "path": list(PATHS),
            "on": lines.reading.coordinate("on"),
            "pair": [f"{first} and {second}" for first, second in pairs],
            "end": ["low", "high"],
        },
        {name: problem.loss.unit for name in arrays if name.startswith("loss")},
        sample_size=lines.reading.sample_size,
        cost=Cost(
            time.perf_counter() - began,
            forwards=further + sum(one.cost.forwards for one in parts),
            backwards=sum(one.cost.backwards for one in parts),
        ),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype), plan=lines.reading.provenance.plan),
        notes=tuple(dict.fromkeys(said)),
    )
