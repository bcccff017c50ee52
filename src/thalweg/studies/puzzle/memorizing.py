"""GEN1: one recipe fits random labels, and the same network generalizes on true ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis, Figure, interval_line
from thalweg.generalization import Memorization
from thalweg.statistics import SHARE, Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.puzzle.setting import FULL, QUICK, Setting, trained

Array = NDArray[np.float64]
MEMORIZES, GAP, CHANCE, SMALL = "memorizes", "true against random", "at chance", "small ones do not"
SEEDS, POINTS = "share of seeds", "points of test accuracy"
UNFITTED = "Steps are geometric means with 95 % intervals; a seed that fits nothing counts with the last step."
NULLS = {"softmax regression": (), "8 hidden units": (8,)}
CLAIM = Claim(
    id="GEN1",
    statement="On digits one recipe (ReLU MLP with one hidden layer, Adam, no decay) comes in most seeds to no "
    "training error at every fraction of random labels from none to all, and the same network tests more than 50 "
    "points better on true labels than on random ones, where it is at chance; in most seeds one of 8 hidden units and "
    "softmax regression, whose loss no longer falls, do not "
    f"({QUICK.text}, or {FULL.text}).",
    lecture="Models with 100B+ parameters, training on only millions of examples, memorize their training data "
    "perfectly; yet they generalize.",
    rule=every_part(),
    unit=SEEDS,
    corrected="That is not what language models do: they see 1e12 to 1e13 tokens, about once, and do not interpolate "
    "them. The fact is the experiment with random labels. It is not special to networks either: 1-nearest-neighbor "
    "fits all labels, and generalizes on true ones.",
    parts=(
        Part(
            MEMORIZES,
            "In most seeds all training labels are fitted at every fraction.",
            greater(0.5),
            SEEDS,
            bounds=SHARE,
        ),
        Part(
            GAP,
            "True labels generalize, random ones do not.",
            greater(50),
            POINTS,
            bounds=(-100, 100),
        ),
        Part(
            CHANCE,
            "After random labels the test is at chance: nothing leaks.",
            within(5, 15),
            POINTS,
            bounds=(0, 100),
        ),
        Part(
            SMALL,
            "In most seeds neither a narrow network nor a linear model fits them, the one that does more often.",
            less(0.5),
            SEEDS,
            bounds=SHARE,
        ),
    ),
    budget={"examples": 300, "steps": 800},
)


@dataclass(frozen=True, eq=False)
class Compared:
    """The networks of the claim, and what they are compared with.

    Args:
        main: at every fraction.
        nulls: smaller models with the same recipe, at no random labels and all, by name.
        larger: on twice the examples, with three times the steps; at full scale alone.
    """

    main: Memorization
    nulls: Mapping[str, Memorization]
    larger: Memorization | None = None


def compared(lab: Lab, main: Memorization) -> Compared:
    """Train what the networks are compared with."""
    ends, own = (0.0, 1.0), lab.pick(quick=QUICK, full=FULL)
    small = Setting((), own.n, own.steps, ends)
    nulls = {name: trained(lab, small.with_hidden(*hidden), main.seeds) for name, hidden in NULLS.items()}
    larger = Setting(own.hidden, 2 * own.n, 3 * own.steps, ends)
    return Compared(main, nulls, None if lab.scale == "quick" else trained(lab, larger, main.seeds[:3]))


def memorizes(found: Memorization) -> Interval:
    """The share of seeds that fit every fraction; unknown where some do not and their loss still falls."""
    if found.still_falling:
        return Interval.missing("training stopped while the loss still fell: more steps")
    return found.memorizes


def tested(found: Memorization) -> Array:
    """Test accuracy after the last step, in percent: (fraction, seed)."""
    return 100 * found["test accuracy"][:, -1]


def judged(runs: Compared) -> dict[str, Interval]:
    """The interval of every part."""
    last = tested(runs.main)
    return {
        MEMORIZES: memorizes(runs.main),
        GAP: interval.difference(last[0], last[-1], bounds=(-100, 100)),
        CHANCE: interval.mean(last[-1], bounds=(0, 100)),
        SMALL: max(
            (memorizes(one) for one in runs.nulls.values()), key=lambda share: (not share.known, share.estimate)
        ),
    }


def nearest(found: Memorization) -> tuple[Array, Array]:
    """Training and test accuracy of 1-nearest-neighbor, in percent: (fraction, seed) each."""
    both = np.empty((2, len(found.examples)))
    for member in range(len(found.examples)):
        known = found.training_set(member)
        inputs, labels = torch.as_tensor(known.inputs), torch.as_tensor(known.targets)
        for row, asked in enumerate((known, found.held_out(member))):
            closest = torch.cdist(torch.as_tensor(asked.inputs), inputs).argmin(1)
            both[row, member] = 100 * float((labels[closest] == torch.as_tensor(asked.targets)).double().mean())
    train, test = both.reshape(2, len(found.fractions), -1)
    return train, test


def times(found: Memorization) -> Figure:
    """Steps until all training labels are fitted, over the fraction."""
    limit = float(found.reading.coordinate("step")[-1])
    known = [np.minimum(row, limit) for row in found.fitted]
    return Figure.of(
        "Steps until no training error is left",
        [interval_line(found.fractions, [interval.geometric_mean(row) for row in known])],
        Axis("share of random labels"),
        Axis("step", scale="log"),
    )


def found(lab: Lab, runs: Compared) -> Finding:
    """What the networks and those they are compared with say of the claim."""
    main, last = runs.main, tested(runs.main)
    limit, best = float(main.reading.coordinate("step")[-1]), 100 * main["test accuracy"].max(1)
    fitted_by_neighbor, by_neighbor = nearest(main)
    longer = interval.ratio_of_times(main.fitted[-1], main.fitted[0], limit)
    pictures = [main.figure(), times(main)]
    sentences = [
        f"With {main.reading.notes[0].lower()[:-1]}, the median step of the last training error is "
        + ", ".join(
            f"{np.median(row):,.0f} at a share of {share:g} random labels ({changed:.0%} of the labels are others)"
            for share, row, changed in zip(main.fractions, main.fitted, main["changed"].mean(1), strict=True)
        )
        + f". All random takes {longer} times as long as none.",
        "Test accuracy at the last step, and the highest on the way, is "
        + ", ".join(
            f"{one.mean():.1f} and {other.mean():.1f} % at {share:g}"
            for share, one, other in zip(main.fractions, last, best, strict=True)
        )
        + " of random labels"
        + "".join(
            f"; at {share:g} it falls by {gap.mean():.1f} points from there to the last step"
            for share, gap in zip(main.fractions, best - last, strict=True)
            if 0 < share < 1
        )
        + ".",
        *(
            f"With {name} and the same recipe, {100 * null['train accuracy'][0, -1].mean():.0f} % of true training "
            f"labels are fitted and {100 * null['train accuracy'][-1, -1].mean():.0f} % of random ones "
            f"(the training loss {'still falls' if null.still_falling else 'has stopped falling'})."
            for name, null in runs.nulls.items()
        ),
        f"1-nearest-neighbor fits {fitted_by_neighbor.min():.0f} % of the training labels where it fits fewest, and "
        f"is right on {by_neighbor[0].mean():.1f} % of the test with true labels, {by_neighbor[-1].mean():.1f} % with "
        "random ones.",
    ]
    if main.still_falling:
        loss = main["train loss"][:, -1].mean(1)
        sentences.append(
            "Where labels are not fitted the training loss still falls ("
            + ", ".join(f"{one:.2g} at {share:g}" for share, one in zip(main.fractions, loss, strict=True))
            + " at the last step): that is a short budget, and not too small a network."
        )
    if runs.larger is not None:
        sentences.append(
            f"With {runs.larger.reading.notes[0].lower()[:-1]} and {runs.larger.reading.coordinate('step')[-1]:,} "
            f"steps, random labels are fitted in {np.isfinite(runs.larger.fitted[-1]).mean():.0%} of "
            f"{len(runs.larger.seeds)} seeds."
        )
    return lab.finding(
        claim=CLAIM,
        parts=judged(runs),
        ran={"examples": main.examples.shape[1], "steps": limit},
        numbers={
            "steps to no training error": {
                f"{share:g}": [str(one) for one in row] for share, row in zip(main.fractions, main.fitted, strict=True)
            },
            "test accuracy of 1-nearest-neighbor, %": by_neighbor.mean(1).tolist(),
            "share of seeds that memorize": {name: null.memorizes.estimate for name, null in runs.nulls.items()},
            "steps, all random / none": [longer.low, longer.estimate, longer.high],
        },
        figures=Figure.row(pictures, title="Memorizing random labels", caption=f"{pictures[0].caption} {UNFITTED}"),
        readings=[
            lab.reading(
                name,
                main[name],
                {
                    "fraction": main.fractions,
                    "step": main.reading.coordinate("step"),
                    "seed": main.seeds,
                },
            )
            for name in ("train accuracy", "test accuracy", "train loss")
        ],
        sentences=sentences,
    )
