"""CON1: the straight line between networks from different seeds is high, which alone does not make them different."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import connectivity
from thalweg.claims import Claim, Finding, Part, every_part, greater
from thalweg.connectivity import Barrier
from thalweg.evaluation import outputs
from thalweg.figures import Axis, Bars, Figure, Line
from thalweg.population import Population, Problem
from thalweg.randomness import generator
from thalweg.statistics import POSITIVE, interval
from thalweg.studies.connectivity.line_widths import by_width
from thalweg.studies.connectivity.setting import POINTS, POINTS_OF_ERROR, Ends, Shared, along, lowest, trained
from thalweg.studies.lab import Lab

Array = NDArray[np.float64]
LOSS, ERROR, COPY = "loss", "error", "permuted copy"
CLAIM = Claim(
    id="CON1",
    statement="Between networks trained from different seeds the training loss rises by more than 0.1 nats above the "
    "chord of the straight line, and the training error by more than 2 points above the mean of its ends: on digits "
    "(ReLU MLP 64-64-64-10, 600 steps of momentum), and at full scale on MNIST-1D (40-100-100-10), too.",
    lecture="Different training runs find different minima.",
    rule=every_part(),
    unit="how high the line is",
    corrected="Their end points are not joined by a straight line of low loss. That they are different solutions does "
    "not follow: the line to a copy of the same network with its hidden units in another order is high, too.",
    parts=(
        Part(LOSS, "The loss rises.", greater(0.1), "nats above the chord", bounds=POSITIVE, repeats="pairs"),
        Part(
            ERROR,
            "The error rises.",
            greater(2),
            "points of training error above the mean of the ends",
            bounds=POINTS_OF_ERROR,
            repeats="pairs",
        ),
        Part(
            COPY,
            "So it does between a network and its copy with permuted units, which are one function.",
            greater(0.1),
            "nats above the chord",
            decides=False,
            bounds=POSITIVE,
            repeats="pairs",
        ),
    ),
    budget={"steps": 600},
)
PAIRS = {"quick": 6, "full": 10}
SEEDS, PERMUTED, CONVEX = "different seeds", "one network, units permuted", "different seeds, no hidden layer"
DEFINITIONS = {  # of the height of a line: what it is above, by the array of the reading
    "loss barrier": "loss above the chord",
    "loss barrier, over mean": "loss above the mean of the ends",
    "error barrier, over mean": "error above the mean of the ends",
}


@dataclass(frozen=True, eq=False)
class Measured:
    """Lines of one setting: between the pairs, from each first network to a permuted copy, and without hidden layer.

    Args:
        ends: between which they are.
        lines: by what they join.
        disagree: the share of test examples that the two networks of a pair put into different classes: (pairs,).
    """

    ends: Ends
    lines: dict[str, Barrier]
    disagree: Array

    def values(self, name: str, of: str = SEEDS, on: str = "train") -> Array:
        """An array of these lines on some examples, of errors in points: (pairs, ...)."""
        return along(self.lines[of], name, on)


def relabeled(problem: Problem, population: Population, seed: int) -> Population:
    """The same functions, the hidden units of every layer in a random order, another one for each member."""
    for place, group in enumerate(problem.structure.groups):
        drawn = generator(seed, "relabeling", place)
        orders = torch.stack([torch.randperm(group.units, generator=drawn) for _ in range(len(population))])
        population = problem.structure.permuted(population, group, orders)
    return population


def measured(lab: Lab, ends: Ends) -> Measured:
    """The lines of a setting."""
    convex = trained(lab, ends.setting.with_hidden(), [seed for triple in ends.seeds for seed in triple])
    joined = {
        SEEDS: (ends.problem, ends.first, ends.second),
        PERMUTED: (ends.problem, ends.first, relabeled(ends.problem, ends.first, lab.seed)),
        CONVEX: (convex.problem, convex.first, convex.second),
    }
    lines = {
        name: connectivity.barrier(
            problem,
            first,
            second,
            points=POINTS,
            on=["train", "test"],
            resamples=0,
            seed=lab.seed,
            progress=lab.labelled(f"{ends.setting.text}, lines: {name}"),
        )
        for name, (problem, first, second) in joined.items()
    }
    classes = [outputs(ends.problem, one, on="test").argmax(-1) for one in (ends.first, ends.second)]
    return Measured(ends, lines, (classes[0] != classes[1]).double().mean(1).cpu().numpy())


def found(lab: Lab, ends: Shared) -> Finding:
    """Walk along the lines of every setting of the scale."""
    each = [measured(lab, one.few(PAIRS[lab.scale])) for one in ends.all]
    widths = by_width(lab, ends.digits) if lab.scale == "full" else {}
    heights = [
        {
            LOSS: interval.mean(one.values("loss barrier"), bounds=POSITIVE),
            ERROR: interval.mean(one.values("error barrier, over mean"), bounds=POINTS_OF_ERROR),
            COPY: interval.mean(one.values("loss barrier", PERMUTED), bounds=POSITIVE),
        }
        for one in each
    ]
    return lab.finding(
        claim=CLAIM,
        parts={name: lowest([one[name] for one in heights]) for name in (LOSS, ERROR, COPY)},
        ran={"steps": min(one.ends.setting.steps for one in each)},
        figures=[figure(one) for one in each],
        readings=[
            lab.reading(
                f"{one.ends.setting.text}: {title}, {on}",
                [one.values(name, of, on) for of in one.lines],
                {"line": list(one.lines), "pair": range(len(one.ends))},
                unit="points" if name.startswith("error") else "nats",
            )
            for one in each
            for name, title in DEFINITIONS.items()
            for on in ("train", "test")
        ],
        sentences=[*map(sentence, each), *([of_widths(widths)] if widths else [])],
        numbers={
            "95 % intervals": {
                one.ends.setting.text: {name: str(height) for name, height in own.items()}
                for one, own in zip(each, heights, strict=True)
            },
            "nats above the chord and points of error, by width": {str(width): [*at] for width, at in widths.items()},
            "share of test examples on which a pair disagrees": {
                one.ends.setting.text: one.disagree.tolist() for one in each
            },
            "means, by definition": {
                one.ends.setting.text: {
                    of: {
                        f"{title}, {on}": float(one.values(name, of, on).mean())
                        for name, title in DEFINITIONS.items()
                        for on in ("train", "test")
                    }
                    for of in one.lines
                }
                for one in each
            },
        },
    )


def sentence(one: Measured) -> str:
    """What was found in a setting."""
    high, copy, flat = (float(one.values("loss barrier", of).mean()) for of in one.lines)
    error, test = (float(one.values("error barrier, over mean", on=on).mean()) for on in ("train", "test"))
    over_mean = float(one.values("loss barrier, over mean", CONVEX).mean())
    return (
        f"{one.ends.setting.text}: the loss rises {high:.2f} nats above the chord between different seeds, {copy:.2f} "
        f"between a network and itself with permuted units, and {flat:.1g} without a hidden layer, where the mean of "
        f"the ends instead of the chord would leave {over_mean:.1g}. The error rises {error:.0f} points in training, "
        f"{test:.0f} in test; the two networks of a pair disagree on {one.disagree.mean():.0%} of the test examples."
    )


def of_widths(found: dict[int, tuple[float, float]]) -> str:
    """What was found at several widths."""
    loss, error = zip(*found.values(), strict=True)
    return (
        f"By one recipe at the widths {', '.join(map(str, found))} of digits perceptrons the loss rises "
        f"{', '.join(f'{one:.2f}' for one in loss)} nats and the error {', '.join(f'{one:.1f}' for one in error)} "
        "points: that few errors are made on the line between wide networks does not say that the loss is low there."
    )


def figure(one: Measured) -> Figure:
    """Loss and error along the lines of a setting, and how high they are by each definition."""
    t = one.lines[SEEDS].reading.coordinate("t")
    panels = [
        Figure.of(
            title,
            [
                *(Line(t, values, thin=True) for values in one.values(name)),
                *(Line(t, one.values(name, of).mean(0), label=of) for of in one.lines),
            ],
            Axis("t from one end to the other"),
            Axis(f"training {name}", unit),
        )
        for title, name, unit in (("Loss", "loss", "nats"), ("Error", "error", "%"))
    ]
    bars = [
        Bars(
            ["loss, chord", "loss, mean", "error, mean"],
            np.array([one.lines[of][name][0].mean() for name in DEFINITIONS]),
            label=of,
        )
        for of in one.lines
    ]
    return Figure.row(
        [*panels, Figure.of("By definition", bars, Axis(), Axis("height", "nats, share of errors"))],
        title=f"Straight lines between networks: {one.ends.setting.text}",
        caption=f"Thin: {len(one.ends)} pairs of different seeds, no network in two of them; thick: means. "
        "Right: the maximum of the line above the chord, and above the mean of the ends, which is not 0 on a convex "
        "loss, either.",
    )
