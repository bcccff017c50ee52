"""SIM2: whether a network learns first what a linear model could know; and beside it, broad splits before fine ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import data, nets, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater
from thalweg.data import Data, Examples, pooled
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization import simplicity
from thalweg.generalization.simplicity import Hierarchy, LinearFirst
from thalweg.generalization.simplicity.checkpoints import first_reached
from thalweg.population import Problem
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
INFORMATION, ORDER, FALL = "information", "half-times", "half of the fall"
RATIO = "ratio of half-times, non-linear / linear"
CLAIM = Claim(
    id="SIM2",
    statement="When an MLP 40-100-100-10 on 1,000 signals of MNIST-1D has become as accurate on others as the best "
    "linear model, that model explains a larger share of what it knows of the labels, by more than 0.15, than of what "
    "an equally accurate corrupted copy of the last network knows; and the linear part of its squared error is halved "
    "more than twice as early as the rest.",
    lecture="Networks prefer simple functions, are lazy and want to compute as little as possible.",
    rule=every_part(),
    unit="share, and ratio of times",
    corrected="The order is that of what is learned, not of what is known in the end, and descent on a smooth kernel "
    "has it too; it asks for data on which a linear model knows something, and far from all.",
    parts=(
        Part(
            INFORMATION,
            "The best linear model explains more of it.",
            greater(0, worth=0.15),
            "share of the information, network - corrupted copy",
        ),
        Part(ORDER, "The linear part of the error is halved first.", greater(1, worth=2), RATIO),
        Part(
            FALL,
            "So it is by the times to half of what each part ever falls, less what is the same for all signals.",
            greater(1, worth=2),
            "ratio of times, non-linear / linear",
            decides=False,
        ),
    ),
)
TESTED, FITTED, N, STEPS = 4_000, 8_000, 1_000, 1_200
GUARD = 0.08  # by which networks must end above the linear model, which else knows all that they do
NARROW, SMOOTH = 0.02, 1.0  # squared widths of kernels, in units of the median squared distance


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals of every seed, its own draw of those trained on, tested on, and fitted by a linear model.

    Args:
        problem: those of all seeds, one seed after the other; targets are one-hot.
        train, test: which of them are whose: (seeds, n) each.
        linear: the classes that each seed's best linear model predicts for its test signals: (seeds * n,).
    """

    problem: Problem
    train: torch.Tensor
    test: torch.Tensor
    linear: NDArray[np.int64]


def signals(seeds: Sequence[int], device: str = "cpu") -> Signals:
    """Of 20,000 signals, for each seed anew, 1,000 to train on, 4,000 to test on, and 8,000 for the linear model."""
    whole = data.mnist1d(train=18_000, test=2_000)
    train, test, linear = [], [], []
    for seed in seeds:
        given = whole.split_anew(N, seed=seed, stream="linear part")
        assert isinstance(given.train, Examples)
        assert isinstance(given.test, Examples)
        tested, fitted = (given.test.select(one) for one in torch.arange(TESTED + FITTED).split([TESTED, FITTED]))
        train.append(given.train)
        test.append(tested)
        linear.append(simplicity.best_linear(fitted, tested))
    (own, rows), (held_out, test_rows) = pooled(train), pooled(test)
    pool = data.one_hot(Data(own, held_out, "MNIST-1D", 10))
    problem = Problem(lambda: nets.mlp(40, 100, 100, 10), pool, "squared_error", device=device)
    return Signals(problem, rows, test_rows, np.concatenate(linear))


def learned(lab: Lab, given: Signals, seeds: Sequence[int]) -> LinearFirst:
    """Train on each seed's own signals, and follow what is known of the labels of its test signals."""
    kept = np.unique(np.geomspace(1, STEPS, 50).round()).astype(int).tolist()
    recipe = Recipe(optim.Adam(1e-3), STEPS, 100, evaluate=0, snapshot=(0, *kept))
    run = lab.train(given.problem, recipe, list(seeds), "MLP", examples=given.train, test_examples=given.test)
    return simplicity.linear_first(given.problem, run, given.linear, rows=given.test, seed=lab.seed)


def judged(found: LinearFirst) -> dict[str, Interval]:
    """The parts; unknown where the networks do not end well above the linear model."""
    above = float((found["accuracy"][:, -1] - found["linear accuracy"]).mean())
    if not above > GUARD:
        why = f"networks must end {100 * GUARD:.0f} points above the linear model, and do by {100 * above:.1f}"
        return {part.id: Interval.missing(why) for part in CLAIM.parts}
    steps = found.reading.coordinate("step")
    linear, rest = found["linear half-time"], found["non-linear half-time"]
    centered = halfway(steps, found["linear error"] - found["constant error"])
    return {
        INFORMATION: interval.mean(found["share"] - found["null share"]),
        ORDER: interval.ratio_of_times(rest, linear, steps[-1]),
        FALL: interval.ratio(halfway(steps, found["non-linear error"]), centered),
    }


def halfway(steps: Array, values: Array) -> Array:
    """The first step at which half of the way to the lowest value is gone, on the log grid: (seeds, steps) to (seeds,).

    A part of the test error that falls by less than half, and rises when labels are memorized, has no half-time.
    """
    return first_reached(steps, -values, -(values[:, 0] + values.min(1)) / 2, logarithmic=True)


def of_the_rest(found: LinearFirst) -> str:
    """What became of the non-linear part of the error: whether networks halve it, and where it is in the end."""
    rest = found["non-linear error"]
    never, networks = int(np.isinf(found["non-linear half-time"]).sum()), len(rest)
    least, last = (float((1 - part / rest[:, 0]).mean()) for part in (rest.min(1), rest[:, -1]))
    halved = f"{never} of {networks} networks never halve it" if never else "Every network halves it"
    return f"{halved}: at its lowest it has fallen by {100 * least:.0f} %, and by {100 * last:.0f} % in the end."


def of_kernel(given: Signals, rows: torch.Tensor, width: float) -> float:
    """The ratio of half-times of descent on a Gaussian kernel of one seed's signals; its squared width is relative."""
    inputs, targets = (np.asarray(part, dtype=np.float64) for part in given.problem.data.train.take(rows))
    distances = np.square(inputs).sum(1)[:, None] + np.square(inputs).sum(1) - 2 * inputs @ inputs.T
    kernel = np.exp(-distances.clip(0) / (2 * width * np.median(distances[np.triu_indices(len(inputs), 1)])))
    linear, rest = simplicity.kernel_half_times(kernel, targets, inputs)
    return rest / linear


def on_a_tree(seeds: Sequence[int]) -> tuple[list[Hierarchy], str]:
    """A deep linear network on a tree and on shuffled features, and what it says of the order of splits."""
    found = [simplicity.hierarchy(4, steps=1_000, learning_rate=0.06, seed=seed) for seed in seeds]
    times, theory = (np.exp(np.log([one[name] for one in found]).mean(0)) for name in ("time", "predicted time"))
    broad_first = sum(bool((np.diff(one["time"][0]) > 0).all()) for one in found)
    listed, expected = (", ".join(f"{time:.0f}" for time in one[0]) for one in (times, theory))
    return found, (
        f"Shown and not judged: a deep linear network on items of a tree has learned half of each level of splits, "
        f"broad ones first, after {listed} steps, where the closed form has {expected}; in this order in {broad_first} "
        f"of {len(found)} draws. With features shuffled over the items all levels but what they share come within "
        f"{times[1, 1:].min():.0f} to {times[1, 1:].max():.0f} steps."
    )


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Follow what networks know along training, and kernels beside."""
    seeds = lab.seeds(quick=5, full=10).scored
    given = signals(seeds, lab.device)
    found = learned(lab, given, seeds)
    parts = judged(found)
    some = given.train[: lab.pick(quick=1, full=5)]
    kernels = {
        name: float(np.exp(np.mean([math.log(of_kernel(given, rows, width)) for rows in some])))
        for name, width in (("equal eigenvalues", NARROW), ("smooth", SMOOTH))
    }
    trees, on_trees = on_a_tree(seeds[: lab.pick(quick=1, full=5)])
    means = {name: float(found[name].mean()) for name in ("share", "null share", "step", "linear accuracy")}
    last = found["accuracy"][:, -1].mean()
    return lab.finding(
        parts=parts,
        figures=[figure(found), trees[0].figure()],
        readings=[replace(found.reading, sample_size=len(seeds)), trees[0].reading],
        sentences=[
            f"The best linear model is right on {100 * means['linear accuracy']:.1f} % of {TESTED:,} test signals, and "
            f"networks on {100 * last:.1f} % in the end. They are as accurate as it is after {means['step']:.0f} "
            f"steps; then it explains {100 * means['share']:.0f} % of what they know, and of what equally accurate "
            f"corrupted copies know {100 * means['null share']:.0f} %.",
            f"The linear part of the error is halved after {np.exp(np.log(found['linear half-time']).mean()):.0f} "
            f"steps, and the rest {parts[ORDER]} times as late. {of_the_rest(found)} To half of what each part ever "
            f"falls, less what is the same for all signals, the ratio is {parts[FALL]}.",
            f"Descent on a kernel of equal eigenvalues has a ratio of {kernels['equal eigenvalues']:.2f} on what it is "
            f"trained on, and on a smooth one of {kernels['smooth']:.0f}: the order is one of smooth kernels, too.",
            on_trees,
        ],
        numbers={
            "ratio of half-times by kernels": kernels,
            "accuracy in the end": float(last),
            **means,
            "half a level of splits is learned": {
                name: trees[0]["time"][row].tolist() for row, name in enumerate(("tree", "shuffled"))
            },
        },
    )


def figure(found: LinearFirst) -> Figure:
    """Information about the labels, the share that the linear model explains, and both parts of the error."""
    steps = found.reading.coordinate("step") + 1.0
    axis = Axis("step + 1", scale="log", limits=(1, STEPS + 1))
    told = [
        band(steps, found["information"], "all, I(F; Y)"),
        band(steps, found["beyond linear"], "beyond the linear model, I(F; Y | L)"),
    ]
    late = found["information"].min(0) > 0.3  # bits: from counts, I(F; Y | L) of independent classes is about 0.15
    marks: list[Line | ReferenceLine] = [band(steps[late], found["explained share"][:, late], "network")]
    if np.isfinite(found["null share"]).all():
        marks.append(ReferenceLine(float(found["null share"].mean()), label="corrupted copies"))
        marks.append(ReferenceLine(float(found["step"].mean()) + 1, "vertical"))
    parts = [
        band(steps, found[f"{kind} error"] / found[f"{kind} error"][:, :1], kind) for kind in ("linear", "non-linear")
    ]
    return Figure.row(
        [
            Figure.of("What is known of the labels", told, axis, Axis("information", "bits")),
            Figure.of("Share explained by the linear model", marks, axis, Axis("share", limits=(0, 1))),
            Figure.of("Parts of the squared error", [*parts, ReferenceLine(0.5)], axis, Axis("share of the start")),
        ],
        title="The linear part first",
        caption=f"MLPs on {N:,} signals of MNIST-1D, measured on {TESTED:,} others; means over seeds, with bands from "
        "the smallest to the largest. Vertical: when they are as accurate as the linear model.",
    )


def band(steps: Array, values: Array, label: str) -> Line:
    """The mean of all seeds, in a band from the smallest to the largest: of (seeds, steps)."""
    return Line(steps, values.mean(0), low=values.min(0), high=values.max(0), label=label)
