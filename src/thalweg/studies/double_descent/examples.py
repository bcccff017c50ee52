"""DD6: double descent in the number of examples: near as many as inputs, more of them make it worse."""

import math

import numpy as np

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Line
from thalweg.generalization.double_descent import LinearCurve, optimal_ridge_limit, over_examples
from thalweg.statistics import SHARE, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

SIZES = (20, 40, 60, 80, 90, 100, 110, 120, 150, 200, 300)
INPUTS, BEFORE, NOISE = 100, 60, 0.5
CLAIM = Claim(
    id="DD6",
    statement="Of linear regression with 100 inputs the risk of the minimum-norm solution peaks at 100 examples, more "
    "than twice as high as at 60; that of ridge at the best penalty falls with every step.",
    lecture="Double descent appears in data size, too: more data can hurt.",
    rule=every_part(),
    unit="log ratio of risks",
    corrected="It does without a penalty. The best one, d sigma^2 / |beta|^2 for any n, makes every example help.",
    parts=(
        Part("place", "The largest risk is at n = d.", greater(0.9), "share of seeds", bounds=SHARE),
        Part("height", "It is more than twice that at 60.", greater(math.log(2)), "log ratio of risks"),
        Part("ridge", "The largest step of ridge is down.", less(0), "log ratio of risks"),
    ),
)


def numbers_of(curve: LinearCurve) -> dict[str, np.ndarray]:
    """What the parts judge: (seeds,) each."""
    sizes, logs = list(curve.reading.coordinate("size")), np.log(curve["risk"])
    return {
        "place": (logs.argmax(0) == sizes.index(INPUTS)).astype(float),
        "height": logs[sizes.index(INPUTS)] - logs[sizes.index(BEFORE)],
        "ridge": np.diff(np.log(curve["ridge risk"]), axis=0).max(0),
    }


def limit(curve: LinearCurve) -> Line:
    """The risk of ridge at the best penalty as sizes grow in proportion, along the curve's sizes."""
    fine = curve.reading.coordinate("theory size").astype(float)
    return Line(fine, NOISE**2 + optimal_ridge_limit(INPUTS / fine, noise=NOISE), label="limit of the best ridge")


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """More and more examples, with and without a penalty."""
    curve = over_examples(SIZES, inputs=INPUTS, noise=NOISE, draws=lab.pick(quick=50, full=200), seed=lab.seed)
    found = numbers_of(curve)
    risk, ridge = np.median(curve["risk"], 1), curve["ridge risk"].mean(1)
    return lab.finding(
        parts={
            name: interval.fraction(values) if name == "place" else interval.mean(values)
            for name, values in found.items()
        },
        figures=curve.figure().with_marks(limit(curve)),
        readings=curve.reading,
        sentences=[
            f"The median risk is {risk[SIZES.index(BEFORE)]:.2f} with {BEFORE} examples, "
            f"{risk[SIZES.index(INPUTS)]:.0f} with {INPUTS} and {risk[-1]:.2f} with {SIZES[-1]}; with ridge it goes "
            f"from {ridge[0]:.2f} to {ridge[-1]:.2f} and never up."
        ],
    )
