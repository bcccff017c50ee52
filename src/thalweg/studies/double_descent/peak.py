"""DD1: test error peaks where the features' rank on the training set reaches the number of examples."""

import math

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Figure
from thalweg.generalization.double_descent import FeatureCurve
from thalweg.statistics import SHARE, Interval, interval
from thalweg.studies.double_descent.layer import beside_theory
from thalweg.studies.lab import Lab

NOISE = (0.0, 0.1, 0.2, 0.4)
SCORED = (0.0, 0.2)  # levels of noise that DD1 and DD2 are about
NEAR = 0.05  # of the threshold
HIGH = 10.0  # times as high as both sides
WIDE, LATER = 20, 0.2  # features an example at the right end, and from where ridge is judged
RISE = 0.05  # of ridge that would count
MEMBERS = 8  # draws of features of the ensemble that is drawn beside
LOG = "log ratio of squared test errors"


def _parts() -> tuple[Part, ...]:
    found: list[Part] = []
    for noise in SCORED:
        at = f"{100 * noise:g} % noise"
        found += [
            Part(
                f"place, {at}",
                "The largest error is within 5 % of where rank and training error say that every label is met.",
                greater(0.6),
                "share of seeds",
                bounds=SHARE,
            ),
            Part(f"left, {at}", "It is 10 times the least error below.", greater(math.log(HIGH)), LOG),
            Part(f"right, {at}", "It is 10 times the error at 20 n features.", greater(math.log(HIGH)), LOG),
            Part(
                f"ridge, {at}",
                "Beyond 0.2 n tuned ridge nowhere rises by 5 %.",
                less(RISE),
                LOG,
            ),
        ]
    return tuple(found)


CLAIM = Claim(
    id="DD1",
    statement="Squared test error of least squares on random Fourier features of digits peaks, more than 10 times as "
    "high as on both sides, within 5 % of where the measured rank of the features reaches the number of examples; with "
    "a tuned ridge penalty there is no peak.",
    lecture="Test error peaks at the interpolation threshold, where parameters are about as many as data.",
    rule=every_part(),
    unit=LOG,
    budget={"examples": 100},
    corrected="The threshold is where the rank of the features on the training set reaches n. Of ten classes that "
    "share N features that is N = n, not 10 N = n nor N = 10 n, and features that repeat others do not count. A tuned "
    "penalty removes the peak.",
    parts=_parts(),
)


def parts_of(curve: FeatureCurve) -> dict[str, Interval]:
    """The interval of every part; none of a level of noise is by itself what others share."""
    levels = curve.reading.coordinate("noise").tolist()
    peak = curve["test error"].max(1)
    found: dict[str, Interval] = {}
    for noise in SCORED:
        at, row = f"{100 * noise:g} % noise", levels.index(noise)
        near = np.abs(curve.peaks[row] / curve.thresholds[row] - 1) <= NEAR  # without a threshold it is not near one
        found[f"place, {at}"] = interval.fraction(near.astype(float))
        found[f"left, {at}"] = interval.mean(np.log(peak / curve.left_minimum())[row])
        found[f"right, {at}"] = interval.mean(np.log(peak / curve.at(WIDE * curve.examples))[row])
        found[f"ridge, {at}"] = interval.mean(rise_of_ridge(curve)[row])
    return found


def rise_of_ridge(curve: FeatureCurve) -> NDArray[np.float64]:
    """The most by which log ridge error rises over its least at fewer features, from 0.2 n on: (noise, seeds)."""
    ridge = np.log(curve["ridge error"][:, curve.sizes >= LATER * curve.examples])
    return (ridge - np.minimum.accumulate(ridge, axis=1)).max(1)


def finding(lab: Lab, curve: FeatureCurve, axes: FeatureCurve, layer: FeatureCurve) -> Finding:
    """What the curves say of the place and height of the peak."""
    parts = parts_of(curve)
    shown = (0, NOISE.index(0.2))
    theory = beside_theory(layer)
    hero = Figure.row(
        [curve.only(shown).figure(), theory],
        title="Test error over the number of features",
        caption=f"Left: {curve.reading.notes[0]} Right, where theory has the whole curve: {theory.caption}",
    )
    x = ("features", "features an example", "effective model complexity", "effective parameters")
    four = Figure.row(
        [axes.figure(one, ridge=False) for one in x],
        title="One curve along four axes",
        caption=f"{axes.reading.notes[0]} 20 % of labels wrong. Against effective parameters at test inputs, which "
        "fall again beyond the threshold, the two descents lie on each other. Of the ensemble the predictions of "
        f"{MEMBERS} draws of features are averaged.",
    )
    heights = {noise: np.median(curve["test error"].max(1)[NOISE.index(noise)]) for noise in SCORED}
    least = {noise: np.median(curve.left_minimum()[NOISE.index(noise)]) for noise in SCORED}
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        ran={"examples": curve.examples},
        figures=(hero, four),
        readings=curve.reading,
        sentences=[
            f"With {100 * noise:g} % of labels wrong the error has its peak at "
            f"{np.median(curve.peaks[NOISE.index(noise)] / curve.examples):.3g} n features (median of "
            f"{len(curve.peaks[0])} seeds) and rank reaches n = {curve.examples} at "
            f"{np.nanmedian(curve.thresholds[NOISE.index(noise)]):g}; it goes from {least[noise]:.3g} to "
            f"{heights[noise]:.3g} (medians)."
            for noise in SCORED
        ],
        numbers={
            "condition number at 1, 1.5 and 10 n features, median": [
                float(np.median(curve["condition"][int(np.argmax(curve.sizes >= ratio * curve.examples))]))
                for ratio in (1, 1.5, 10)
            ],
        },
    )
