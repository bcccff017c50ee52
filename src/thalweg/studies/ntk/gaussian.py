"""NTK1: the outputs of wide networks before training are Gaussian, with the analytic covariance.

Given the features of the last hidden layer, the outputs f of a network on some inputs are N(0, Khat), Khat = h h^T / m
+ bias_std^2. So their fourth cumulants are three times the covariances of Khat over networks: nothing is lost by
leaving the last layer out, and what is measured has no noise floor. (A distance between samples of outputs and of a
Gaussian has one, which it meets near width 64; it is drawn, and not scored.)
"""

import numpy as np
from scipy import stats

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis, Figure, Line
from thalweg.results import spread
from thalweg.statistics import POSITIVE, exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.covariances import BATCHES, LAYERS, Covariances, covariances, limits
from thalweg.studies.ntk.setting import ACTIVATIONS, digits_of_one_norm
from thalweg.studies.study import decides

DIGITS, NARROW = 6, 4
FALL = "slope of log non-Gaussianity against log width"
AWAY = "distance of the mean covariance from the analytic one, relative to its size"
BOTTLENECK, LEVEL, CLOSE, WRONG = "narrow layer", "narrow layer, size", "within 2 %", "wrong covariances"
CLAIM = Claim(
    id="NTK1",
    statement="Networks with three hidden layers, ReLU or tanh, before training: the non-Gaussianity of their outputs "
    "falls as 1 / width, and their covariance is the analytic one within 5 %. (6 digits of one norm, NTK "
    "parameterization, widths from 32 to at least 128.)",
    lecture="At initialization f(x) goes to a Gaussian process GP(0, Sigma) as the width goes to infinity.",
    rule=every_part(),
    unit=FALL,
    parts=(
        *(
            Part(
                f"{name}, fall",
                f"With {name} it falls as 1 / width.",
                within(-1.25, -0.85),
                FALL,
                repeats="batches of networks",
            )
            for name in ACTIVATIONS
        ),
        *(
            Part(f"{name}, covariance", f"With {name} it is the analytic one.", less(0.05), AWAY, bounds=POSITIVE)
            for name in ACTIVATIONS
        ),
        Part(CLOSE, "Both are within 2 %.", less(0.02), AWAY, decides=False, bounds=POSITIVE),
        Part(
            BOTTLENECK,
            f"Control: with ReLU and a middle layer that stays at {NARROW} units it levels off.",
            greater(-0.45),
            FALL,
            decides=False,
        ),
        Part(
            LEVEL,
            "Control: there it is at least 5 times as large at the widest.",
            greater(1, worth=5),
            "ratio to the network all of whose layers grow",
            decides=False,
            bounds=POSITIVE,
        ),
        Part(
            WRONG,
            "Control: the mean covariance of tanh networks is not the one without biases, of one layer less or of "
            "another activation.",
            greater(0),
            f"{AWAY}, of the nearest",
            decides=False,
            bounds=POSITIVE,
        ),
    ),
)


def panels(lab: Lab, plain: dict[str, Covariances], narrow: Covariances, narrowest: Covariances) -> Figure:
    """Non-Gaussianity against width; a distance of samples with its noise floor; quantiles at two widths."""
    kinds, widths = {**plain, f"relu, middle layer of {NARROW}": narrow}, narrow.widths
    values = [one.non_gaussianity() for one in kinds.values()]
    reading = lab.reading("non-Gaussianity", values, {"network": list(kinds), "width": widths, "batch": range(BATCHES)})
    x = np.array(widths, dtype=np.float64)
    guide = Line(x, 40 / x, label="1 / width")
    falls = spread(
        reading,
        x="width",
        over="batch",
        center="geometric mean",
        title="Non-Gaussianity",
        x_axis=Axis("width", scale="log"),
        y_axis=Axis("non-Gaussianity", scale="log"),
    ).with_marks(guide)
    both = {
        at: one
        for kind in (narrowest, plain["relu"])
        for at, one in zip(kind.widths, kind.outputs(lab.seed), strict=True)
    }
    networks = len(both[widths[0]])
    drawn_at, far = np.array(list(both)), np.array([stats.kstest(one, "norm").statistic for one in both.values()])
    floor = stats.kstwo.ppf([[0.05], [0.5], [0.95]], networks) * np.ones(len(both))
    away = Figure.of(
        "A distance of samples",
        [
            Line(drawn_at, far, label="relu"),
            Line(drawn_at, floor[1], low=floor[0], high=floor[2], label=f"{networks:,} normal draws"),
        ],
        Axis("width", scale="log"),
        Axis("Kolmogorov-Smirnov distance", scale="log"),
    )
    shares = np.concatenate([[0.002, 0.005], np.linspace(0.01, 0.99, 50), [0.995, 0.998]])
    points = stats.norm.ppf(shares)
    quantiles = Figure.of(
        "Quantiles of one output",
        [
            *(Line(points, np.quantile(both[at], shares), label=f"relu, width {at}") for at in (min(both), max(both))),
            Line(points[[0, -1]], points[[0, -1]], label="Gaussian"),
        ],
        Axis("quantile of N(0, 1)"),
        Axis("quantile of output / deviation"),
    )
    return Figure.row(
        [falls, away, quantiles],
        title="Outputs before training become Gaussian",
        caption=f"{LAYERS} hidden layers, {DIGITS} digits, {networks:,} networks a width in {BATCHES} batches, bands "
        "from the smallest to the largest batch. Samples of outputs cannot be told from Gaussian ones once they are "
        "no farther than the band (90 % of such samples); non-Gaussianity, for which the last layer is left out "
        "exactly, has no such floor.",
    )


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Draw networks of every width, and fit the power of it by which their outputs become Gaussian."""
    inputs = digits_of_one_norm()[0][:DIGITS]
    widths = lab.pick(quick=(32, 64, 128), full=(32, 64, 128, 256))
    networks = lab.pick(quick=800, full=4_000)
    limit = {name: limits(inputs, name, other) for name, other in zip(ACTIVATIONS, reversed(ACTIVATIONS), strict=True)}
    plain = {name: covariances(lab, inputs, name, widths, networks, limit[name]) for name in ACTIVATIONS}
    narrow = covariances(lab, inputs, "relu", widths, networks, limit["relu"], NARROW)
    narrowest = covariances(lab, inputs, "relu", (4, 8, 16), networks, limit["relu"])
    return found(lab, plain, narrow, narrowest)


def found(lab: Lab, plain: dict[str, Covariances], narrow: Covariances, narrowest: Covariances) -> Finding:
    """What these covariances say, with wrong ones beside the analytic one."""
    widths, networks = narrow.widths, len(narrow.found[0])
    sizes = {name: one.non_gaussianity() for name, one in plain.items()}
    slopes = {name: interval.mean(exponents(widths, one)) for name, one in sizes.items()}
    away = {name: one.away() for name, one in plain.items()}
    level = narrow.non_gaussianity()
    wrong = {name: {which: one.away(other) for which, other in one.wrong.items()} for name, one in plain.items()}
    parts = {f"{name}, fall": slopes[name] for name in plain} | {f"{name}, covariance": away[name] for name in plain}
    parts |= {
        CLOSE: max(away.values(), key=lambda one: one.high),
        BOTTLENECK: interval.mean(exponents(widths, level)),
        LEVEL: interval.ratio(level[-1], sizes["relu"][-1]),
        WRONG: min(wrong["tanh"].values(), key=lambda one: one.low),
    }
    sentences = [
        f"With {name} non-Gaussianity falls {of[0].mean() / of[-1].mean():.1f}-fold from width {widths[0]} to "
        f"{widths[-1]}, as the power {slopes[name]} of the width; the mean covariance at the widest is "
        f"{away[name]:.1%} away from the analytic one."
        for name, of in sizes.items()
    ]
    sentences.append(
        f"With a middle layer of {NARROW} units it falls as the power {parts[BOTTLENECK]}, and is {parts[LEVEL]:.0f} "
        "times as large at the widest."
    )
    return lab.finding(
        parts=parts,
        figures=panels(lab, plain, narrow, narrowest),
        readings=lab.reading(
            "non-Gaussianity",
            [*sizes.values(), level],
            {"network": [*sizes, f"relu, middle layer of {NARROW}"], "width": widths, "batch": range(BATCHES)},
        ),
        sentences=sentences,
        numbers={
            "networks a width": networks,
            "excess kurtosis of one output": {name: one.kurtosis().tolist() for name, one in plain.items()},
            "distance from wrong covariances": {
                f"{name}, {which}": str(one) for name, each in wrong.items() for which, one in each.items()
            },
        },
    )
