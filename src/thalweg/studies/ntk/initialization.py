"""NTK2: the tangent kernel of wide networks before training is the analytic one, up to 1 / sqrt(width)."""

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, within
from thalweg.figures import Axis, Figure, Line, interval_line
from thalweg.ntk import empirical_kernels
from thalweg.statistics import POSITIVE, exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.setting import own_kernels, problem_of
from thalweg.studies.ntk.wide import TRAIN, Sets, Wide, analytic, distance

Array = NDArray[np.float64]
NARROW = 32  # units of the layer that does not grow, in the control
UNIT = "slope of log distance from the analytic kernel against log width"
READINGS = ("lecture, layer by layer", "lecture, from the inputs")
CLAIM = Claim(
    id="NTK2",
    statement="The tangent kernel of a network with one hidden layer, tanh or ReLU, before training approaches the "
    "analytic kernel as width^(-1/2). (24 digits of one norm, NTK parameterization, at least 1,024 units.)",
    lecture="At initialization the kernel goes to a deterministic kernel as the width goes to infinity.",
    rule=every_part(),
    unit=UNIT,
    budget={"units": 1_024},
    corrected="How fast: the relative distance falls as width^(-1/2), the variance as 1 / width. And the kernel that "
    "it goes to is a sum over layers in which every term has the product of all later Sigma-dot.",
    parts=(
        Part("tanh", "With tanh the distance falls as width^(-1/2).", within(-0.6, -0.4), UNIT),
        Part("ReLU", "With ReLU the distance falls as width^(-1/2).", within(-0.6, -0.4), UNIT),
        Part(
            "narrow layer",
            f"Control: with a second hidden layer that stays at {NARROW} units the distance does not fall.",
            greater(-0.2),
            UNIT,
            decides=False,
        ),
        Part(
            "the lecture's sum",
            "Control: from the lecture's sum, without products, kernels stay away at any width.",
            greater(0.3),
            "distance at the widest, relative to the analytic kernel, by the nearer of two readings",
            decides=False,
            bounds=POSITIVE,
        ),
    ),
)


def beside_narrow(lab: Lab, sets: Sets, widths: tuple[int, ...], narrow: int | None = NARROW) -> Array:
    """The distance where the last of two hidden layers, with tanh, stays narrow; None: grows too: (widths, seeds)."""
    right, found = analytic(sets, "tanh", 2)["analytic"][:, :TRAIN], []
    inputs = sets.inputs[:, :TRAIN]
    for width in widths:
        problem = problem_of(lab, sets.data, (64, width, narrow or width, 1), "tanh")
        kernel = own_kernels(problem, problem.initialize(sets.seeds), inputs, inputs).cpu()
        found.append(distance(kernel, right, right))
    return np.stack(found)


def fluctuation(lab: Lab, sets: Sets, widths: tuple[int, ...], activation: str, subsets: int) -> Array:
    """The standard deviation over networks of the kernel of some examples, relative to its size: (widths, subsets)."""
    found = np.empty((len(widths), subsets))
    for row, width in enumerate(widths):
        problem = problem_of(lab, sets.data, (64, width, 1), activation)
        networks = problem.initialize(sets.seeds)
        for column, inputs in enumerate(sets.inputs[:subsets, :TRAIN]):
            kernels = empirical_kernels(problem, networks, inputs, outputs="trace").double().cpu()
            found[row, column] = (kernels.var(0).sum() / kernels.mean(0).square().sum()).sqrt()
    return found


def found(lab: Lab, wide: Wide) -> Finding:
    """Fit the power of the width by which the kernel before training is away from the analytic one."""
    widths, seeds = wide.widths["tanh"], wide.sets.seeds
    away = {arm: wide.by_kernel(arm, "distances", "analytic") for arm in ("tanh", "ReLU")}
    narrow = beside_narrow(lab, wide.sets, widths)
    lecture = {f"{reading}, {arm}": wide.by_kernel(arm, "distances", reading) for arm in away for reading in READINGS}
    nearest = min(lecture.values(), key=lambda values: values[-1].mean())
    slopes = {arm: interval.mean(exponents(widths, values)) for arm, values in away.items()}
    numbers = {}
    if lab.scale == "full":
        spreads = {
            arm: fluctuation(lab, wide.sets, widths, kind, 5) for arm, kind in (("tanh", "tanh"), ("ReLU", "relu"))
        }
        numbers["slope of the relative standard deviation over networks, 5 sets of examples"] = {
            arm: str(interval.mean(exponents(widths, values))) for arm, values in spreads.items()
        }
    for arm in sorted(set(wide.widths) - {*away, "mean field"}):
        values = wide.by_kernel(arm, "distances", "analytic")
        numbers[f"slope, {arm}, widths {wide.widths[arm]}"] = str(interval.mean(exponents(wide.widths[arm], values)))
    lines = {**away, f"tanh, second layer of {NARROW}": narrow, "from the lecture's sum": nearest}
    guide = away["tanh"][0].mean() * (np.array(widths) / widths[0]) ** -0.5
    means = {arm: values.mean(1) for arm, values in away.items()}
    figure = Figure.of(
        "Kernels before training",
        [
            *(
                interval_line(widths, [interval.geometric_mean(at) for at in values], label=name)
                for name, values in lines.items()
            ),
            Line(np.array(widths, float), 0.8 * guide, label="width^(-1/2)"),
        ],
        Axis("width", scale="log"),
        Axis("distance from the analytic kernel / its size", scale="log"),
        caption=f"One hidden layer, {TRAIN} digits and one network a seed, {len(seeds)} seeds; geometric means with "
        "95 % intervals. The lecture's sum is that of the nearer reading.",
    )
    return lab.finding(
        claim=CLAIM,
        parts=slopes
        | {
            "narrow layer": interval.mean(exponents(widths, narrow)),
            "the lecture's sum": interval.mean(nearest[-1], bounds=POSITIVE),
        },
        ran={"units": widths[-1]},
        figures=figure,
        readings=[
            lab.reading(
                "distance from the analytic kernel",
                list(away.values()),
                {"activation": list(away), "width": widths, "seed": seeds},
            ),
            lab.reading("distance, second layer narrow", narrow, {"width": widths, "seed": seeds}),
            lab.reading(
                "distance from the lecture's sum",
                list(lecture.values()),
                {"reading": list(lecture), "width": widths, "seed": seeds},
            ),
        ],
        sentences=[
            *(
                f"With {arm} kernels are {at[0]:.1%} away from the analytic one at width {widths[0]} and {at[-1]:.1%} "
                f"at {widths[-1]:,}: as the power {slopes[arm]} of the width."
                for arm, at in means.items()
            ),
            f"Beside a layer of {NARROW} units they stay {narrow[0].mean():.0%} to {narrow[-1].mean():.0%} away.",
            f"From the lecture's sum they are {nearest[-1].mean():.0%} away at width {widths[-1]:,}.",
        ],
        numbers=numbers
        | {
            "distance from the lecture's sum at the widest": {
                name: float(values[-1].mean()) for name, values in lecture.items()
            }
        },
    )
