"""DD3: the norm explodes at the threshold, and least squares does what theory says, exactly, at finite sizes."""

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization.double_descent import (
    FeatureCurve,
    LinearCurve,
    hastie_limit,
    isotropic_risk,
    least_squares,
    optimal_ridge_limit,
    over_inputs,
    over_weak_features,
)
from thalweg.randomness import generator
from thalweg.statistics import SHARE, Interval, interval, standard_error
from thalweg.studies.double_descent.peak import NEAR, NOISE
from thalweg.studies.lab import Lab

ISOTROPIC = (10, 20, 40, 60, 80, 90, 95, 98, 100, 102, 105, 110, 120, 150, 180, 250, 400, 700, 1000)
WEAK = (5, 10, 20, 30, 35, 38, 40, 42, 45, 50, 60, 80, 100)
SIGNAL = 5**0.5  # with sigma = 1 a signal-to-noise ratio of 5
PENALTIES = tuple(10.0**-power for power in range(2, 13))  # of the ridgeless limit
CLAIM = Claim(
    id="DD3",
    statement="The norm of the coefficients is largest at the threshold, and risks of least squares on Gaussian inputs "
    "are within 4 standard errors of the exact expectation at finite n and p.",
    lecture="At the threshold the norm of the solution goes to infinity; past it the least norm is well conditioned.",
    rule=every_part(),
    unit="standard errors",
    corrected="For any given X the limit of (X'X + eps I)^-1 X'y as eps goes to 0 is X^+ y, and finite: it is the "
    "expectation of |theta|^2 over X that diverges as p comes to n. And X^+ is well conditioned far beyond n alone: of "
    "Gaussian inputs the condition number is (sqrt g + 1)/(sqrt g - 1) at p = g n, which is 10 at 1.5 and 2 at 10.",
    parts=(
        Part("norm", "On digits the norm is largest within 5 % of the threshold.", greater(0.6), "share", bounds=SHARE),
        Part("isotropic", "Isotropic inputs: farthest from theory.", less(4), "standard errors"),
        Part("isotropic, precision", "Its largest standard error.", less(0.1), "share of the risk"),
        Part("weak", "Weak features: farthest from theory.", less(4), "standard errors"),
        Part("weak, precision", "Its largest standard error.", less(0.1), "share of the risk"),
    ),
)


def exactly(curve: LinearCurve, name: str) -> dict[str, Interval]:
    """How far the means are off at the worst size, and how precisely that is known: the two parts of one model.

    Each is a number that was computed and no estimate, so its interval is a point.
    """
    draws = curve["risk"].shape[1]
    off, precision = float(np.nanmax(np.abs(curve.off))), float(np.nanmax(curve.precision))
    return {
        name: Interval(off, off, off, draws, "the largest of all sizes"),
        f"{name}, precision": Interval(precision, precision, precision, draws, "the largest of all sizes"),
    }


def ridgeless_limit(n: int, seed: int) -> tuple[NDArray[np.float64], float]:
    """The norm of ridge as its penalty goes to 0, for one Gaussian X (n, n) at its threshold, and that of X^+ y."""
    draw = generator(seed, "ridgeless limit")
    x, y = (torch.randn(shape, generator=draw, dtype=torch.float64).numpy() for shape in ((n, n), (n,)))
    fit = least_squares(x, y)
    return fit.ridge_norms(PENALTIES), float(fit.norms)


def finding(lab: Lab, curve: FeatureCurve) -> Finding:
    """Where the norm peaks on digits, and theory against simulation."""
    isotropic = over_inputs(ISOTROPIC, n=100, signal=SIGNAL, draws=200, seed=lab.seed)
    weak = over_weak_features(WEAK, n=40, inputs=100, draws=400, seed=lab.seed)
    largest = curve.sizes[curve["norm"].argmax(1)]
    near = (np.abs(largest / curve.thresholds - 1) <= NEAR)[list(NOISE).index(0.2)]
    parts = {"norm": interval.fraction(near.astype(float))} | exactly(isotropic, "isotropic") | exactly(weak, "weak")
    norms, least = ridgeless_limit(100, lab.seed)
    conditions = np.median(curve["condition"], 1)
    along = curve.sizes / curve.examples
    limit = Figure.of(
        "The ridgeless limit, one X",
        [Line(np.array(PENALTIES), norms, label="ridge"), ReferenceLine(least, label="minimum norm")],
        Axis("penalty", scale="log"),
        Axis("norm"),
    )
    condition = Figure.of(
        "Condition number on digits",
        [Line(along, conditions), ReferenceLine(1.0, "vertical", label="N = n")],
        Axis("features an example", scale="log"),
        Axis("condition number", scale="log"),
    )
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        figures=(
            Figure.row(
                [isotropic.figure().with_marks(*limits(isotropic)), weak.figure()],
                title="Least squares and its exact expectation",
                caption=f"{isotropic.reading.notes[0]} {weak.reading.notes[0]} Limits are those of sizes that grow in "
                "proportion, of the minimum norm and of the best ridge penalty, which has no peak.",
            ),
            Figure.row(
                [curve.figure(array="norm", ridge=False), condition, limit], title="The norm, and how it is conditioned"
            ),
        ),
        readings=(isotropic.reading, weak.reading),
        sentences=[
            f"Simulated risks are at most {parts['isotropic'].estimate:.1f} standard errors off the exact ones with "
            f"isotropic inputs and {parts['weak'].estimate:.1f} with weak features, at every size at least 4 from the "
            "threshold; nearer, where variances are infinite, medians are drawn.",
            f"For one X with p = n the norm goes from {norms[0]:.3g} at the penalty {PENALTIES[0]:g} to "
            f"{norms[-1]:.3g} at {PENALTIES[-1]:g}, and that of the minimum-norm solution is {least:.3g}: the limit is "
            "finite.",
        ],
        numbers={
            "condition number of the digits' features, median": {
                f"{ratio:g} n": float(conditions[int(np.argmax(along >= ratio))]) for ratio in (1, 1.5, 10)
            },
            "largest distance with examples and inputs exchanged": exchanged(isotropic),
        },
    )


def limits(curve: LinearCurve) -> list[Line]:
    """The excess risk as sizes grow in proportion, without a penalty and at the best one, along the curve's sizes."""
    fine = curve.reading.coordinate("theory size").astype(float)
    ratio = fine / curve.threshold
    known = ratio != 1
    return [
        Line(fine[known], hastie_limit(ratio[known], signal=SIGNAL), label="limit of large sizes"),
        Line(fine, optimal_ridge_limit(ratio, signal=SIGNAL), label="limit of the best ridge"),
    ]


def exchanged(curve: LinearCurve) -> float:
    """The largest distance from a wrong theory, with n and p exchanged: it must be far beyond 4."""
    risk = curve["risk"][curve.far]
    wrong = isotropic_risk(curve.reading.coordinate("size")[curve.far], curve.threshold, signal=SIGNAL, noise=1.0)
    return float(np.max(np.abs(risk.mean(1) - wrong) / standard_error(risk)))
