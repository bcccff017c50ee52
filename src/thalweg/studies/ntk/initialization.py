"""NTK2: the tangent kernel of wide networks before training is the analytic one, up to 1 / sqrt(width)."""

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, within
from thalweg.figures import Axis
from thalweg.ntk import empirical_kernels
from thalweg.results import spread
from thalweg.statistics import POSITIVE, exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.setting import own_kernels, problem_of
from thalweg.studies.ntk.subsets import TRAIN, Sets, analytic, distance
from thalweg.studies.ntk.wide import ARMS, DEEPER, Arm, Wide, guide

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
            f"Control: with ReLU and a second hidden layer that stays at {NARROW} units the distance does not fall.",
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
    """The distance where the last of two hidden layers of ReLU stays narrow; None: grows too: (widths, seeds)."""
    right, found = analytic(sets, "relu", 2)["analytic"][:, :TRAIN], []
    inputs = sets.inputs[:, :TRAIN]
    for width in widths:
        problem = problem_of(lab, sets.data, (64, width, narrow or width, 1), "relu")
        kernel = own_kernels(problem, problem.initialize(sets.seeds), inputs)
        found.append(distance(kernel, right, right))
    return np.stack(found)


def fluctuation(lab: Lab, sets: Sets, widths: tuple[int, ...], arm: Arm, subsets: int) -> Array:
    """The standard deviation over networks of the kernel of some examples, relative to its size: (widths, subsets)."""
    found = np.empty((len(widths), subsets))
    for row, width in enumerate(widths):
        problem = problem_of(lab, sets.data, arm.widths(width), arm.activation)
        networks = problem.initialize(sets.seeds)
        for column, inputs in enumerate(sets.inputs[:subsets, :TRAIN]):
            kernels = empirical_kernels(problem, networks, inputs, outputs="trace").double().cpu()
            found[row, column] = (kernels.var(0).sum() / kernels.mean(0).square().sum()).sqrt()
    return found


def found(lab: Lab, wide: Wide) -> Finding:
    """Fit the power of the width by which the kernel before training is away from the analytic one."""
    widths, seeds, arms = wide.widths["tanh"], wide.sets.seeds, ("tanh", "ReLU")
    away = {arm: wide.by_kernel(arm, "distances", "analytic") for arm in arms}
    narrow = beside_narrow(lab, wide.sets, widths)
    lecture = {f"{name}, {arm}": wide.by_kernel(arm, "distances", name) for arm in arms for name in READINGS}
    nearest = min(lecture.values(), key=lambda values: values[-1].mean())
    slopes = {arm: interval.mean(exponents(widths, values)) for arm, values in away.items()}
    deeper = {arm: wide.by_kernel(arm, "distances", "analytic") for arm in wide.widths if arm in DEEPER}
    further = {
        f"slope of the distance, {arm}, widths {wide.widths[arm]}": str(
            interval.mean(exponents(wide.widths[arm], values))
        )
        for arm, values in deeper.items()
    }
    if lab.scale == "full":
        for arm in arms:
            values = fluctuation(lab, wide.sets, widths, ARMS[arm], 5)
            further[f"slope of the standard deviation, {arm}"] = str(interval.mean(exponents(widths, values)))
    drawn = away | {f"ReLU, second layer of {NARROW}": narrow, "from the lecture's sum": nearest}
    distances = lab.reading(
        "distance from infinite width", list(drawn.values()), {"of": list(drawn), "width": widths, "seed": seeds}
    )
    figure = spread(
        distances,
        x="width",
        over="seed",
        center="geometric mean",
        title="Kernels before training",
        x_axis=Axis("width", scale="log"),
        y_axis=Axis("distance / size of the analytic kernel", scale="log"),
        caption=f"One hidden layer, {TRAIN} digits and one network a seed. The lecture's sum is of the nearer reading.",
    ).with_marks(guide(widths, 0.7 * away["tanh"], -0.5))
    return lab.finding(
        claim=CLAIM,
        parts=slopes
        | {
            "narrow layer": interval.mean(exponents(widths, narrow)),
            "the lecture's sum": interval.mean(nearest[-1], bounds=POSITIVE),
        },
        ran={"units": widths[-1]},
        figures=figure,
        readings=distances,
        sentences=[
            *(
                f"With {arm} kernels are {of[0].mean():.1%} away from the analytic one at width {widths[0]} and "
                f"{of[-1].mean():.1%} at {widths[-1]:,}: as the power {slopes[arm]} of the width."
                for arm, of in away.items()
            ),
            f"Beside a layer of {NARROW} units they stay {narrow[0].mean():.0%} to {narrow[-1].mean():.0%} away; from "
            f"the lecture's sum, by the nearer reading, they are {nearest[-1].mean():.0%} away at the widest.",
        ],
        numbers=further
        | {"distance from the lecture's sum, widest": {name: float(of[-1].mean()) for name, of in lecture.items()}},
    )
