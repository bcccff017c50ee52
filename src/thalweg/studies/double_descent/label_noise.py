"""DD7: label noise makes the peak higher, in itself; not relative to what is beyond it."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater
from thalweg.figures import Axis, Figure, interval_line
from thalweg.generalization.double_descent import FeatureCurve
from thalweg.statistics import interval
from thalweg.studies.double_descent.peak import LOG, NOISE, WIDE
from thalweg.studies.lab import Lab

BESIDE = 1.02  # features an example where the height is taken: at the threshold itself it has no expectation
STEPS = tuple((f"{100 * low:g} to {100 * high:g} %", low, high) for low, high in pairwise(NOISE))
CLAIM = Claim(
    id="DD7",
    statement="Of random Fourier features on digits, the squared test error beside the peak, at 1.02 n features, rises "
    "with every step of label noise, from none to 10, 20 and 40 %.",
    lecture="Double descent appears even with label noise, which makes it worse.",
    rule=every_part(),
    unit=LOG,
    budget={"examples": 100},
    corrected="Noise is not an axis of double descent; it makes the whole curve higher. The peak is there without any, "
    "and what noise does to its height relative to the right end is another thing, which is shown beside.",
    parts=tuple(Part(name, f"From {name} it rises.", greater(0), LOG) for name, _, _ in STEPS),
)


def rises(logs: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The steps between levels of noise of logs (noise, seeds), by name: (seeds,) each."""
    return {name: after - before for (name, _, _), before, after in zip(STEPS, logs[:-1], logs[1:], strict=True)}


def finding(lab: Lab, curve: FeatureCurve) -> Finding:
    """How the height beside the peak goes with noise, in itself and over the right end."""
    at = round(BESIDE * curve.examples)
    height = np.log(curve.at(at))
    over = height - np.log(curve.at(WIDE * curve.examples))
    lines = {"in itself, against that without noise": height - height[0], "over that at 20 n features": over}
    figure = Figure.of(
        "The height beside the peak",
        [
            interval_line(100 * np.array(NOISE), [interval.mean(row) for row in values], label=name)
            for name, values in lines.items()
        ],
        Axis("label noise", "%"),
        Axis(LOG),
        caption=f"Squared test error at {at} features of {curve.examples} digits; means over {height.shape[1]} seeds "
        "with 95 % intervals.",
    )
    parts = {name: interval.mean(values) for name, values in rises(height).items()}
    relative = {name: interval.mean(values) for name, values in rises(over).items()}
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        ran={"examples": curve.examples},
        figures=figure,
        readings=lab.reading(
            "squared test error at 1.02 n features",
            np.exp(height),
            {"noise": NOISE, "seed": curve.reading.coordinate("seed")},
        ),
        sentences=[
            f"At {at} features the error grows by the factors "
            + ", ".join(f"{np.exp(one.estimate):.2f} ({name})" for name, one in parts.items())
            + "; relative to the right end by "
            + ", ".join(f"{np.exp(one.estimate):.2f}" for one in relative.values())
            + "."
        ],
        numbers={
            "relative to the right end, 95 % interval": {
                name: [one.low, one.estimate, one.high] for name, one in relative.items()
            }
        },
    )
