"""GEN4: what weight decay and dropout add where a network generalizes without them.

Six arms were planned, the strongest of them so that the choice lies inside; where it did not, one stronger arm of each
kind was added for all settings, which mostly raises what the choice gains. The line of a tenth stays where it was.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from thalweg.claims import Claim, Finding, Part, greater, less, within
from thalweg.figures import Axis, Figure, Line, ReferenceLine, Scatter
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.puzzle.arms import CHANCE, DIGITS, NOISY, NONE, QUICK, SETTINGS, SHIFTS, SIGNALS, Arms, trained
from thalweg.studies.study import decides

LINE = 0.1
RATIO, POINTS = "gap / (accuracy of none - chance)", "points of test accuracy"
HELPS, DONE, ON_DIGITS, ON_NOISE = "helps", "trained out", "digits", "random labels"
FITTED = 0.99  # training accuracy of the plain network, below which it is not trained out
CLAIM = Claim(
    id="GEN4",
    statement="On MNIST-1D with true labels (2,000 examples, MLP 40-128-10, 3,000 steps of Adam), weight decay or "
    "dropout, chosen on other seeds, gains less than a tenth of what the plain network has above chance.",
    lecture="Not just explicit regularization: L2 and dropout help but aren't necessary; unregularized networks still "
    "generalize.",
    rule=less(LINE),
    unit=RATIO,
    corrected="Of true labels. With 40 % random labels, which the plain network memorizes, the choice gains more than "
    "a tenth. On digits the plain network is right on so many that nothing could gain a tenth.",
    parts=(
        Part(HELPS, "The choice gains something on MNIST-1D.", greater(0), POINTS, decides=False),
        Part(
            DONE,
            "The second half of training moves the plain network by less than a point there.",
            within(-1, 1),
            POINTS,
            decides=False,
        ),
        Part(
            ON_DIGITS,
            "On digits it gains less than a tenth; it could not gain more.",
            less(LINE),
            RATIO,
            decides=False,
        ),
        Part(
            ON_NOISE,
            "With 40 % random labels, which the plain network fits, it gains more than a tenth.",
            greater(LINE),
            RATIO,
            decides=False,
        ),
    ),
    budget={"steps on MNIST-1D": 3_000},
)


def judged(found: Mapping[str, Arms]) -> tuple[Interval, dict[str, Interval]]:
    """The interval of the claim, and of every part, from the settings that were trained, by name."""
    missing = Interval.missing("trained at full scale alone")
    parts = dict.fromkeys((HELPS, DONE, ON_DIGITS, ON_NOISE), missing)
    if DIGITS in found:
        parts[ON_DIGITS] = interval.mean(found[DIGITS].ratio(found[DIGITS].best))
    if NOISY in found:
        parts[ON_NOISE] = trained_out(found[NOISY])
    if SIGNALS not in found:
        return missing, parts
    signals = found[SIGNALS]
    parts[HELPS] = interval.mean(100 * signals.gap(signals.best))
    parts[DONE] = interval.mean(100 * signals.later)
    return trained_out(signals), parts


def trained_out(arms: Arms) -> Interval:
    """The ratio of the choice; unknown where the plain network does not fit its training set."""
    if arms.train[arms.choosing :].mean() < FITTED:
        return Interval.missing(f"the plain network fits less than {FITTED:.0%} of its training set")
    return interval.mean(arms.ratio(arms.best))


def dumbbell(found: Mapping[str, Arms]) -> Figure:
    """From the test accuracy of none to that of the chosen arm, for every setting, with chance at the left."""
    places, both = np.arange(len(found), dtype=float), []
    for arms in found.values():
        both.append([float(100 * arms.scored(arm).mean()) for arm in (NONE, arms.best)])
    marks = [
        *(Line(np.array(ends), np.full(2, place), thin=True) for place, ends in zip(places, both, strict=True)),
        Scatter(np.array(both)[:, 0], places, label="none", hollow=True, size=9),
        Scatter(np.array(both)[:, 1], places, label="best decay or dropout", size=9),
        ReferenceLine(100 * CHANCE, "vertical", label="chance"),
    ]
    names = [f"{name}: {arms.best}" for name, arms in found.items()]
    return Figure.of(
        "What weight decay or dropout adds",
        marks,
        Axis("test accuracy", "%", limits=(0, 102)),
        Axis("data, and what was chosen", names=names),
        caption="Means over "
        + ", ".join(f"{len(arms.seeds)} seeds of {name}" for name, arms in found.items())
        + "; the arm is chosen on other seeds. Test labels are true.",
    )


def sentences(found: Mapping[str, Arms]) -> Iterator[str]:
    """What each setting says."""
    for name, arms in found.items():
        gap, ratio = interval.mean(100 * arms.gap(arms.best)), interval.mean(arms.ratio(arms.best))
        quarter, half, last = (100 * row[arms.choosing :].mean() for row in arms.test[NONE])
        most, fitted = (100 - last) / (last - 100 * CHANCE), arms.train[arms.choosing :].mean()
        yield (
            f"On {name} the plain network is right on {quarter:.1f}, {half:.1f} and {last:.1f} % of the test after a "
            f"quarter, a half and all of {arms.setting.steps:,} steps, and fits {fitted:.1%} of its training set. "
            f"{arms.best.capitalize()}, the best of {len(arms.choices)} on {arms.choosing} other seeds, gains {gap} "
            f"points, {ratio} of what is above chance, of which no arm could gain more than {most:.2g}."
        )
        if arms.at_edge:
            yield f"That is the strongest {arms.best.split()[0]} tried on {name}: a stronger one might gain more."
        if SHIFTS in arms.test:
            yield (
                f"Shifts by one place, which add knowledge of the task, change {name} by "
                f"{interval.mean(100 * arms.gap(SHIFTS))} points, {interval.mean(arms.ratio(SHIFTS))} of what is "
                "above chance."
            )


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train every setting of the scale with every arm, choose on some seeds and score others."""
    seeds = lab.seeds(quick=5, full=12, shared_tuning=lab.pick(quick=2, full=4))
    return finding(lab, {one.name: trained(lab, one, seeds) for one in lab.pick(quick=(QUICK,), full=SETTINGS)})


def finding(lab: Lab, found: Mapping[str, Arms]) -> Finding:
    """What the settings, by name, say of the claim."""
    own, parts = judged(found)
    return lab.finding(
        own,
        claim=CLAIM,
        parts=parts,
        ran={"steps on MNIST-1D": found[SIGNALS].setting.steps if SIGNALS in found else 0},
        numbers={
            "mean test accuracy": {
                name: {arm: float(arms.scored(arm).mean()) for arm in arms.test} for name, arms in found.items()
            },
            "chosen": {name: arms.best for name, arms in found.items()},
        },
        figures=dumbbell(found),
        readings=[
            lab.reading(
                f"test accuracy, {name}",
                [arms.scored(arm) for arm in arms.test],
                {"arm": list(arms.test), "seed": arms.seeds.scored},
            )
            for name, arms in found.items()
        ],
        sentences=list(sentences(found)),
    )
