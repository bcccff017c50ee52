"""NTK10: whether there is a width between too narrow and infinite that is best, and what makes it so."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Axis, Figure, ReferenceLine, interval_line
from thalweg.statistics import POSITIVE, SHARE, interval, own_choices, taken
from thalweg.studies.lab import Lab, Seeds
from thalweg.studies.ntk.best_width import ADAM_STEPS, LEVEL, Widths, with_adam
from thalweg.studies.ntk.centered import POWERS, classes, infinite, trained, two_parity
from thalweg.studies.study import decides

Array = NDArray[np.float64]
POINTS = "percentage points of test accuracy"
STEPS, EXAMPLES, TESTED = 300, 100, 500
NARROW, WIDE = 32, 1_024
RATE, RATES = 1e-2, (1e-3, 3e-3, 1e-2, 3e-2)
MIDDLE, WIDEST = 256, 2_048
PARITY_EXAMPLES = 150
CLAIM = Claim(
    id="NTK10",
    statement="One hidden ReLU layer, 100 digits: width 32 takes more than 1.5 times as many steps to 5 % of the loss "
    "as width 1,024, in NTK parameterization at one rate; no finite width is then better than the infinite one by a "
    "point; in torch's parameterization, 200 steps of Adam, width 256 is better than 2,048 by more than a point at "
    "the rate 0.01, and not at 0.01 x 32 / width.",
    lecture="Narrow nets (below 100) are hard to train, infinite ones do not learn features, and a width near 1,000 is "
    "the sweet spot.",
    rule=every_part(),
    unit=POINTS,
    corrected="Narrow nets train more slowly. The optimum belongs to the recipe, not to the width: at a rate that does "
    "not follow the width wide nets take steps that are too large; at one that does, digits have no best width, and a "
    "target with features has one at 8 to 32 units in NTK parameterization and none in muP.",
    lecture_rule=greater(0, worth=1),
    parts=(
        Part("narrow", "Width 32 is slower than 1,024.", greater(1, worth=1.5), "steps / steps", bounds=POSITIVE),
        Part("width 8", "Most nets of width 8 never arrive.", greater(0.5), "share", decides=False, bounds=SHARE),
        Part("no peak", "The infinite net is no point below the best finite width.", greater(-1), POINTS),
        Part("fixed rate", "At Adam's fixed rate 256 beats 2,048.", greater(0, worth=1), POINTS),
        Part("scaled rate", "At a rate in proportion to 1 / width it does not.", less(1), POINTS),
    ),
)


def rule(tuned: Widths) -> float:
    """Of rates (rates x seeds) at one width the fastest whose accuracy is within a standard error of the best."""
    accuracy, steps = (values[0].reshape(len(RATES), -1) for values in (tuned.accuracy, tuned.steps))
    best = accuracy.mean(1).argmax()
    least = accuracy[best].mean() - accuracy[best].std(ddof=1) / accuracy.shape[1] ** 0.5
    return RATES[np.where(accuracy.mean(1) >= least, np.median(steps, 1), np.inf).argmin()]


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train over widths at one rate beside the infinite net, with Adam at a fixed and a scaled rate, and on parity."""
    seeds = lab.seeds(quick=8, full=16, tuning=1)
    widths = lab.pick(quick=(8, NARROW, 256, WIDE), full=(8, NARROW, 128, 512, WIDE))
    adam_widths = lab.pick(quick=(NARROW, MIDDLE, WIDEST), full=(NARROW, MIDDLE, WIDE, WIDEST))
    parity_widths = lab.pick(quick=(8, 32), full=(8, 16, 32, 128, 512))
    digits, scored, tuning = (
        classes(some, EXAMPLES, TESTED) for some in (seeds.own, seeds.scored, seeds.own[: -len(seeds)])
    )
    kernel, rate = infinite(digits, STEPS)
    constant = Widths.of({hidden: trained(lab, digits, hidden, "NTK", rate, STEPS) for hidden in widths})
    fixed = {hidden: with_adam(lab, scored, hidden, RATE) for hidden in adam_widths}
    others = {hidden: with_adam(lab, scored, hidden, RATE * NARROW / hidden) for hidden in adam_widths[1:]}
    adam = {"fixed": Widths.of(fixed), "scaled": Widths.of({NARROW: fixed[NARROW]} | others)}
    chosen = rule(Widths.of({NARROW: with_adam(lab, tuning, NARROW, sweep.values(RATES))}))
    parity = two_parity(seeds.scored, PARITY_EXAMPLES, TESTED)
    alike, parity_rate = infinite(parity, STEPS)
    features = {
        name: Widths.of({hidden: trained(lab, parity, hidden, name, parity_rate, STEPS) for hidden in parity_widths})
        for name in POWERS
    }
    return judged(lab, seeds, constant, kernel, adam, (features, alike), chosen)


def judged(
    lab: Lab,
    seeds: Seeds,
    constant: Widths,
    kernel: Array,
    adam: Mapping[str, Widths],
    parity: tuple[Mapping[str, Widths], Array],
    chosen: float,
) -> Finding:
    """The parts, of nets at one rate and their kernel on all seeds, and of the others on those that are scored."""
    count = len(seeds)
    tuned, accuracy = seeds.apart(100 * constant.accuracy)
    steps, infinitely = constant.steps[:, -count:], 100 * kernel[-count:]
    best = own_choices(-tuned)
    slower = interval.ratio_of_times(steps[constant.at(NARROW)], steps[constant.at(WIDE)], STEPS)
    never = interval.fraction(np.isinf(steps[constant.at(8)]).astype(float))
    ends = {name: interval.mean(of.better(MIDDLE, WIDEST)) for name, of in adam.items()}
    parts = {
        "narrow": slower,
        "width 8": never,
        "no peak": interval.mean(infinitely - taken(accuracy, best)),
        "fixed rate": ends["fixed"],
        "scaled rate": ends["scaled"],
    }
    features, alike = parity
    peaks = {name: of.widths[int(of.accuracy.mean(1).argmax())] for name, of in features.items()}
    arrays = {"NTK, one rate": (constant.widths, accuracy)} | {
        f"Adam, {name} rate": (of.widths, 100 * of.accuracy) for name, of in adam.items()
    }
    return lab.finding(
        parts=parts,
        lecture=interval.mean(accuracy[constant.at(WIDE)] - infinitely),
        figures=figure(arrays, infinitely, Widths(constant.widths, accuracy, steps), parity),
        readings=[
            *(
                lab.reading(f"test accuracy, {name}", table, {"width": of, "seed": seeds.scored}, unit="percent")
                for name, (of, table) in arrays.items()
            ),
            lab.reading("test accuracy of the infinite net", infinitely, {"seed": seeds.scored}, unit="percent"),
            lab.reading(
                f"steps to {LEVEL:.0%} of the loss",
                steps,
                {"width": constant.widths, "seed": seeds.scored},
                unit="steps",
            ),
        ],
        sentences=[
            f"Width {NARROW} takes {slower} times as many steps to {LEVEL:.0%} of the loss as {WIDE:,}; of width 8 "
            f"{np.isinf(steps[constant.at(8)]).sum()} of {count} do not come there in {STEPS}.",
            f"At one rate width {WIDE:,} is right on {accuracy[constant.at(WIDE)].mean():.1f}% of the digits, and the "
            f"infinite net on {infinitely.mean():.1f}%; other seeds chose the widths "
            f"{sorted({constant.widths[place] for place in best})}.",
            f"With Adam width {MIDDLE} is better than {WIDEST:,} by {ends['fixed']} points at the rate {RATE:g}, and "
            f"by {ends['scaled']} at {RATE:g} x {NARROW} / width; on the tuning seeds the fastest of {list(RATES)} "
            f"that is as good as the best at width {NARROW} is {chosen:g}.",
            f"On 2-parity with {PARITY_EXAMPLES} examples, of which the kernel is right on {alike.mean():.1%}, the "
            f"best of the widths {list(features['NTK'].widths)} is {peaks['NTK']} in NTK parameterization, with "
            f"{features['NTK'].accuracy.mean(1).max():.1%}, and {peaks['muP']} in muP, where the widest has "
            f"{features['muP'].accuracy[-1].mean():.1%}.",
        ],
        numbers={
            "rate that the rule chooses": chosen,
            "2-parity, accuracy by width": {
                name: dict(zip(map(str, of.widths), of.accuracy.mean(1).tolist(), strict=True))
                for name, of in features.items()
            },
        },
    )


def figure(
    arrays: Mapping[str, tuple[tuple[int, ...], Array]],
    infinitely: Array,
    constant: Widths,
    parity: tuple[Mapping[str, Widths], Array],
) -> Figure:
    """Accuracy over width of every recipe, steps to the level, and accuracy on parity."""
    percent, width = Axis("test accuracy", "%"), Axis("width", scale="log")
    bounded = lambda values: interval.mean(values, bounds=(0, 100))  # noqa: E731
    features, alike = parity
    reached = np.minimum(constant.steps, STEPS)
    panels = (
        Figure.of(
            "Digits",
            [
                *(
                    interval_line(of, [bounded(row) for row in table], label=name)
                    for name, (of, table) in arrays.items()
                ),
                ReferenceLine(float(infinitely.mean()), label="infinite width"),
            ],
            width,
            percent,
        ),
        Figure.of(
            f"Steps to {LEVEL:.0%} of the loss",
            [interval_line(constant.widths, [interval.geometric_mean(row) for row in reached], label="NTK, one rate")],
            width,
            Axis("steps", scale="log"),
        ),
        Figure.of(
            "2-parity",
            [
                *(
                    interval_line(of.widths, [bounded(row) for row in 100 * of.accuracy], label=f"{name}, one rate")
                    for name, of in features.items()
                ),
                ReferenceLine(100 * float(alike.mean()), label="infinite width"),
            ],
            width,
            percent,
        ),
    )
    return Figure.row(
        panels,
        title="Is there a best width?",
        caption=f"One hidden ReLU layer. Digits: {EXAMPLES} examples, gradient descent on f - f_0 at one rate for "
        f"{STEPS} steps, or Adam for {ADAM_STEPS} at {RATE:g} (fixed) and {RATE:g} x {NARROW} / width (scaled). "
        f"2-parity: {PARITY_EXAMPLES} examples. Runs that do not arrive count as {STEPS} steps. Means over "
        f"{len(infinitely)} seeds with 95 % intervals.",
    )
