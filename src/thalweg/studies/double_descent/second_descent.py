"""DD2: beyond the peak the error falls below its first minimum, where labels are not too noisy."""

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, less
from thalweg.figures import Axis, Figure, ReferenceLine, interval_line
from thalweg.generalization.double_descent import FeatureCurve
from thalweg.statistics import Interval, interval
from thalweg.studies.double_descent.peak import LOG, NOISE, SCORED, WIDE
from thalweg.studies.lab import Lab

WORTH = -0.05  # log of 5 % less
CLAIM = Claim(
    id="DD2",
    statement="Of random Fourier features on digits, the squared test error with 20 n features is below the least "
    "error at fewer features than the threshold, with no and with 20 % of labels wrong.",
    lecture="Past interpolation test error falls a second time, below its first minimum.",
    rule=every_part(),
    unit=LOG,
    budget={"examples": 400},
    corrected="It depends on noise and on the measure: with enough wrong labels the error ends above the first "
    "minimum, and the share of wrong classes is shown beside squared error, with the noise at which the sign turns. "
    "Where every input carries its part of the signal, the minimum past the threshold is above the first one, exactly.",
    parts=tuple(
        Part(
            f"{100 * noise:g} % noise",
            f"With {100 * noise:g} % of labels wrong it ends below the first minimum.",
            less(0, worth=WORTH),
            LOG,
        )
        for noise in SCORED
    ),
)


def second_over_first(curve: FeatureCurve) -> NDArray[np.float64]:
    """log of the squared error at 20 n features over the least below the threshold: (noise, seeds)."""
    return np.log(curve.at(WIDE * curve.examples) / curve.left_minimum())


def turning(noise: NDArray[np.float64], means: NDArray[np.float64]) -> float:
    """The level of noise at which a mean log ratio goes from below 0 to above, by a straight line; NaN: nowhere."""
    for low, high, before, after in zip(noise[:-1], noise[1:], means[:-1], means[1:], strict=True):
        if before < 0 <= after:
            return float(low - before * (high - low) / (after - before))
    return np.nan


def finding(lab: Lab, curve: FeatureCurve) -> Finding:
    """What the curves say of the second descent, and from which noise it is none."""
    logs = second_over_first(curve)
    wrong = 100 * (curve.at(WIDE * curve.examples, "wrong") - curve.left_minimum("wrong"))
    parts: dict[str, Interval] = {
        f"{100 * noise:g} % noise": interval.mean(logs[NOISE.index(noise)]) for noise in SCORED
    }
    each = [interval.mean(row) for row in logs]
    points = [interval.mean(row) for row in wrong]
    turn = turning(np.array(NOISE), logs.mean(1))
    level = Axis("label noise", "%")
    along = 100 * np.array(NOISE)
    figure = Figure.row(
        [
            Figure.of("Squared error", [interval_line(along, each), ReferenceLine(0)], level, Axis(LOG)),
            Figure.of("Wrong classes", [interval_line(along, points), ReferenceLine(0)], level, Axis("points")),
        ],
        title="The error at 20 n features against the first minimum",
        caption=f"{curve.reading.notes[0].split(',')[0]}, {curve.examples} examples; means over {logs.shape[1]} seeds "
        "with 95 % intervals. Below 0 the second descent goes below the first.",
    )
    found = "at none of these levels of noise" if np.isnan(turn) else f"at about {turn:.0%} of labels wrong"
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        ran={"examples": curve.examples},
        figures=figure,
        readings=lab.reading(
            "error at 20 n features over the first minimum",
            logs,
            {"noise": NOISE, "seed": curve.reading.coordinate("seed")},
            unit=LOG,
        ),
        sentences=[
            f"With {curve.examples} examples the error at 20 n features is "
            + ", ".join(
                f"{np.exp(one.estimate):.2f} times ({100 * noise:g} % noise)"
                for noise, one in zip(NOISE, each, strict=True)
            )
            + f" the first minimum; the sign turns {found}. The share of wrong classes differs by "
            + ", ".join(f"{one.estimate:+.1f}" for one in points)
            + " points."
        ],
        numbers={
            "log ratio, 95 % interval, by noise": {
                str(noise): [one.low, one.estimate, one.high] for noise, one in zip(NOISE, each, strict=True)
            },
            "wrong classes, points, 95 % interval, by noise": {
                str(noise): [one.low, one.estimate, one.high] for noise, one in zip(NOISE, points, strict=True)
            },
            "noise at which the sign turns": None if np.isnan(turn) else turn,
        },
    )
