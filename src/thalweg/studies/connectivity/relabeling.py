"""CON4: how much of the barrier between solutions goes when hidden units are matched, and how near three then lie."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import connectivity
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.connectivity import Barrier
from thalweg.evaluation import Sample, evaluate
from thalweg.figures import Axis, Figure, Line
from thalweg.population import Population
from thalweg.statistics import POSITIVE, Interval, exponents, interval
from thalweg.studies.connectivity.lines import relabeled
from thalweg.studies.connectivity.setting import POINTS, Ends, Shared, along, highest, trained
from thalweg.studies.lab import Lab

Array = NDArray[np.float64]
WEIGHTS, ACTIVATIONS, WIDTH, SIGNALS = "weights", "activations", "width", "MNIST-1D"
CENTER, SIDE = "three networks", "third side"
RATIO = "barrier of the training loss on the line to the aligned network / to the network as it was"
CLAIM = Claim(
    id="CON4",
    statement="When the hidden units of one network are matched to those of another, by weights or by activations, the "
    "barrier of the training loss on the line between them is less than 20 % of what it was (digits, ReLU MLP "
    "64-64-64-10, 600 steps of momentum), and the share that is left falls with the width (hidden layers of 16 to "
    "128).",
    lecture="The solution space is a connected manifold, not isolated points!",
    rule=every_part(),
    unit="how much of the barrier is left",
    corrected="Most of the barrier between two solutions is the order of their hidden units. On MNIST-1D much of it "
    "stays (40-100-100-10), and between two networks that are both aligned to a third the barrier is higher than to "
    "it. Whether all solutions form one connected manifold no finite number of them can show.",
    parts=(
        Part(WEIGHTS, "Matched by weights.", less(0.2), RATIO, bounds=POSITIVE, repeats="pairs"),
        Part(ACTIVATIONS, "Matched by activations.", less(0.2), RATIO, bounds=POSITIVE, repeats="pairs"),
        Part(
            WIDTH,
            "By either method the share falls with the width.",
            less(0),
            "slope of the logarithm of that ratio against that of the width",
            repeats="pairs",
        ),
        Part(
            SIGNALS,
            "By either method on MNIST-1D, too.",
            less(0.2),
            RATIO,
            decides=False,
            bounds=POSITIVE,
            repeats="pairs",
        ),
        Part(
            CENTER,
            "The mean of three networks, two of them aligned to the first by weights, has less than 15 % of the loss "
            "of the mean of the three as they were.",
            less(0.15),
            "training loss of the mean of three aligned networks / of the three as they were",
            decides=False,
            bounds=POSITIVE,
            repeats="triples",
        ),
        Part(
            SIDE,
            "Of two networks aligned to a third by weights, the barrier between them is higher than that to it.",
            greater(1),
            "barrier from the second to the third / from the first to the second",
            decides=False,
            bounds=POSITIVE,
            repeats="triples",
        ),
    ),
    budget={"steps": 600, "units in the widest layer": 128},
)
WIDTHS = {"quick": (32, 64), "full": (16, 32, 64, 128)}
METHODS = (WEIGHTS, ACTIVATIONS)
PLAIN, RANDOM = "as they were", "units in random order"
FLOOR = 1e-4  # nats: what is lower counts as this
LOSS, ERROR = "loss barrier", "error barrier, over mean"


@dataclass(frozen=True, eq=False)
class Measured:
    """Lines from the first network of every pair to the second: as it was, permuted at random, and aligned.

    Args:
        ends: between which they are.
        lines: by what was done to the second.
        aligned: the second, by method.
    """

    ends: Ends
    lines: dict[str, Barrier]
    aligned: dict[str, Population]

    def values(self, name: str, of: str, on: str = "train") -> Array:
        """An array of these lines on some examples, of errors in points: (pairs, ...)."""
        return along(self.lines[of], name, on)

    def left(self, of: str) -> Array:
        """Which share of the barrier is left: (pairs,)."""
        return np.maximum(self.values(LOSS, of), FLOOR) / np.maximum(self.values(LOSS, PLAIN), FLOOR)


def measured(lab: Lab, ends: Ends) -> Measured:
    """Align the second network of every pair to the first, and look along the lines."""
    problem, told = ends.problem, lab.labelled(f"{ends.setting.text}, aligned")
    aligned = {
        method: connectivity.align(
            problem, ends.first, ends.second, method, on="train", seed=lab.seed, progress=told
        ).population
        for method in METHODS
    }
    others = {PLAIN: ends.second, RANDOM: relabeled(problem, ends.second, lab.seed), **aligned}
    lines = {
        name: connectivity.barrier(
            problem, ends.first, other, points=POINTS, on=["train", "test"], seed=lab.seed, progress=told
        )
        for name, other in others.items()
    }
    return Measured(ends, lines, aligned)


@dataclass(frozen=True, eq=False)
class Triples:
    """Three networks of every triple, the second and third aligned to the first by weights.

    Args:
        second, third: aligned.
        center: training loss of the mean of the three, as they were and aligned, and where all three were aligned to
            their common mean: (triples,) by name.
        to_first: the barrier of the training loss from the first to the second, as it is aligned: (triples,).
        between: that from the second to the third, as they are aligned: (triples,).
        halfway: training loss halfway from the first to the second, aligned, and after REPAIR: (triples,) by name.
    """

    second: Population
    third: Population
    center: dict[str, Array]
    to_first: Array
    between: Array
    halfway: dict[str, Array]


def triples(lab: Lab, one: Measured) -> Triples:
    """Look at the means of three, and at the side of the triangle that was not aligned."""
    ends, told = one.ends, lab.labelled("three networks")
    problem, first, second = ends.problem, ends.first, one.aligned[WEIGHTS]

    def loss(population: Population) -> Array:
        return evaluate(problem, population, on="train")["loss"].cpu().numpy()

    def mean(*some: Population) -> Population:
        return first.with_theta(torch.stack([each.theta for each in some]).mean(0))

    third = connectivity.align(problem, first, ends.third, seed=lab.seed, progress=told).population
    side = connectivity.barrier(problem, second, third, points=POINTS, seed=lab.seed, progress=told)
    together = [
        connectivity.align_together(
            problem,
            Population.concatenate([part[triple] for part in (first, ends.second, ends.third)]),
            seed=lab.seed,
            progress=told,
        ).population
        for triple in range(len(ends))
    ]
    centers = {
        PLAIN: mean(first, ends.second, ends.third),
        WEIGHTS: mean(first, second, third),
        "all to their mean": first.with_theta(torch.stack([three.theta.mean(0) for three in together])),
    }
    middle = mean(first, second)
    halfway = {
        "aligned": middle,
        "aligned, REPAIR": connectivity.repaired(problem, middle, [first, second], on="train"),
    }
    return Triples(
        second,
        third,
        {name: loss(population) for name, population in centers.items()},
        one.values(LOSS, WEIGHTS),
        side[LOSS][0],
        {name: loss(population) for name, population in halfway.items()},
    )


def found(lab: Lab, ends: Shared) -> Finding:
    """Align pairs at every width, pairs of the harder setting, and triples."""
    each = [measured(lab, one) for one in ends.all]
    digits, own = each[0], ends.digits.setting.widths[1]
    seeds = [seed for triple in ends.digits.seeds for seed in triple]
    by_width = {
        width: digits
        if width == own
        else measured(lab, trained(lab, ends.digits.setting.with_hidden(width, width), seeds))
        for width in WIDTHS[lab.scale]
    }
    three = triples(lab, digits)
    return lab.finding(
        claim=CLAIM,
        parts=judged(each, by_width, three),
        ran={
            "steps": min(one.ends.setting.steps for one in (*each, *by_width.values())),
            "units in the widest layer": max(by_width),
        },
        figures=[*(figure(one) for one in each), widths_figure(by_width), plane_figure(lab, digits, three)],
        readings=[
            *(
                lab.reading(
                    f"{one.ends.setting.text}: {name}, {on}",
                    [one.values(name, of, on) for of in one.lines],
                    {"line": list(one.lines), "pair": range(len(one.ends))},
                    unit="points" if name == ERROR else "nats",
                )
                for one in (*each, *(one for one in by_width.values() if one is not digits))
                for name in (LOSS, ERROR)
                for on in ("train", "test")
            ),
            lab.reading(
                "loss at the mean of three",
                [*three.center.values()],
                {"networks": list(three.center), "triple": range(len(three.between))},
                unit="nats",
            ),
        ],
        sentences=[*(sentence(one) for one in each), widths_sentence(by_width), triples_sentence(three)],
        numbers={
            "share of the barrier that is left, by width": {
                str(width): {of: one.left(of).tolist() for of in (*METHODS, RANDOM)} for width, one in by_width.items()
            },
            "training loss halfway": {name: values.tolist() for name, values in three.halfway.items()},
        },
    )


def judged(each: list[Measured], by_width: dict[int, Measured], three: Triples) -> dict[str, Interval]:
    """The interval of every part."""
    digits, *signals = each
    slopes = [
        interval.mean(exponents(list(by_width), np.stack([one.left(method) for one in by_width.values()])))
        for method in METHODS
    ]
    hard = [interval.geometric_mean(one.left(method)) for one in signals for method in METHODS]
    return {
        **{method: interval.geometric_mean(digits.left(method)) for method in METHODS},
        WIDTH: highest(slopes),
        SIGNALS: highest(hard) if hard else Interval.missing("not run at this scale"),
        CENTER: interval.geometric_mean(three.center[WEIGHTS] / three.center[PLAIN]),
        SIDE: interval.geometric_mean(three.between / np.maximum(three.to_first, FLOOR)),
    }


def sentence(one: Measured) -> str:
    """What was found in a setting."""
    means = {of: (one.values(LOSS, of).mean(), one.values(ERROR, of).mean()) for of in one.lines}
    listed = ", ".join(f"{of} {loss:.2g} nats and {error:.1f} points" for of, (loss, error) in means.items())
    return f"{one.ends.setting.text}: training loss and error rise along the line, with the second network {listed}."


def widths_sentence(by_width: dict[int, Measured]) -> str:
    """What was found over widths: most of the fall is at the narrow end."""
    listed = "; ".join(
        f"{width}: " + ", ".join(f"{of} {one.left(of).mean():.1%}" for of in METHODS) for width, one in by_width.items()
    )
    return f"Of the barrier on digits is left, by the width of the hidden layers, {listed}."


def triples_sentence(three: Triples) -> str:
    """What was found of three."""
    centers = ", ".join(f"{name} {values.mean():.2f}" for name, values in three.center.items())
    halves = ", ".join(f"{name} {values.mean():.3f}" for name, values in three.halfway.items())
    return (
        f"Two networks aligned to a third have {three.between.mean():.2f} nats between them, and "
        f"{three.to_first.mean():.2f} to it. The training loss at the mean of three: {centers} nats. "
        f"Halfway between two: {halves} nats."
    )


def figure(one: Measured) -> Figure:
    """Loss and error along the lines of a setting."""
    t = one.lines[PLAIN].reading.coordinate("t")
    panels = [
        Figure.of(
            title,
            [
                Line(t, values.mean(0), low=values.min(0), high=values.max(0), label=of)
                for of in one.lines
                for values in [one.values(name, of)]
            ],
            Axis("t from the first to the second network"),
            Axis(f"training {name}", unit),
        )
        for title, name, unit in (("Loss", "loss", "nats"), ("Error", "error", "%"))
    ]
    return Figure.row(
        panels,
        title=f"Lines to a second network, as it was and relabeled: {one.ends.setting.text}",
        caption=f"Means of {len(one.ends)} pairs with bands from the smallest to the largest, by what was done to the "
        "hidden units of the second network, whose function stays.",
    )


def widths_figure(by_width: dict[int, Measured]) -> Figure:
    """Which share of the barrier is left, by width."""
    x = np.array([*by_width])
    marks = []
    for of in (*METHODS, RANDOM):
        table = np.stack([one.left(of) for one in by_width.values()])
        marks.append(Line(x, table.mean(1), low=table.min(1), high=table.max(1), label=of))
    return Figure.of(
        "Barrier that is left after relabeling, digits",
        marks,
        Axis("width of the hidden layers", scale="log"),
        Axis("barrier / barrier as they were", scale="log"),
        caption="Means over pairs with bands from the smallest to the largest.",
    )


def plane_figure(lab: Lab, one: Measured, three: Triples) -> Figure:
    """The plane through the first triple."""
    found = connectivity.plane(
        one.ends.problem,
        one.ends.first[:1],
        three.second[:1],
        three.third[:1],
        resolution=lab.pick(quick=15, full=31),
        on=Sample("train", 500, lab.seed),
        progress=lab.labelled("plane through three networks"),
    )
    return found.figure(names=("A", "B aligned to A", "C aligned to A"))
