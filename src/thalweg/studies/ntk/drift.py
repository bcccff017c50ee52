"""NTK3: by which power of the width the tangent kernel moves in training."""

import numpy as np

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis, Figure, Line, interval_line
from thalweg.statistics import POSITIVE, exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.wide import TRAIN, Wide

UNIT = "slope of log drift against log width"
CLAIM = Claim(
    id="NTK3",
    statement="Training moves the tangent kernel of a network with one hidden layer by width^(-1) with tanh and by "
    "width^(-3/4) with ReLU. (24 digits, squared error, NTK parameterization, gradient descent at one rate for all "
    "widths, 60 steps or more, at least 1,024 units.)",
    lecture="The kernel stays constant in training: feature learning, and the change of the kernel, go as "
    "1 / sqrt(width).",
    rule=every_part(),
    unit=UNIT,
    budget={"units": 1_024, "steps": 60},
    corrected="1 / sqrt(width) is how far a single hidden unit moves. The kernel is a mean over units, in which "
    "movements of random signs cancel: it drifts as 1 / width where the activation is smooth, and as width^(-3/4) "
    "where units cross the kink of ReLU. That is so in NTK parameterization; in a mean field the kernel moves at any "
    "width.",
    parts=(
        Part("tanh", "With tanh the kernel drifts as width^(-1).", within(-1.15, -0.85), UNIT),
        Part("ReLU", "With ReLU the kernel drifts as width^(-3/4).", within(-0.9, -0.6), UNIT),
        Part("tanh - ReLU", "With tanh drift falls faster.", less(0), f"difference of the {UNIT}", decides=False),
        Part(
            "a hidden unit",
            "A single hidden unit of tanh moves as width^(-1/2) before its nonlinearity.",
            within(-0.6, -0.4),
            "slope of log movement against log width",
            decides=False,
        ),
        Part("mean field", "Control: in a mean field drift does not fall.", within(-0.1, 0.1), UNIT, decides=False),
        Part(
            "mean field, widest",
            "Control: there the kernel moves by more than half of its size.",
            greater(0.5),
            "drift at the widest",
            decides=False,
            bounds=POSITIVE,
        ),
    ),
    lecture_rule=within(-0.6, -0.4),
)


def found(lab: Lab, wide: Wide) -> Finding:
    """Fit the power of the width by which the kernel of the training examples drifts."""
    widths, seeds = wide.widths["tanh"], wide.sets.seeds
    drift = {arm: wide.table(arm, "drift") for arm in ("tanh", "ReLU", "mean field")}
    moved = {arm: wide.table(arm, "moved") for arm in drift}
    powers = {arm: exponents(widths, values) for arm, values in drift.items()}
    slopes = {arm: interval.mean(values) for arm, values in powers.items()}
    units = {arm: interval.mean(exponents(widths, values)) for arm, values in moved.items()}
    deeper = sorted(set(wide.widths) - set(drift))
    x = np.array(widths, float)
    lines = {**drift, "a hidden unit of tanh": moved["tanh"]}
    guides = {"-1": ("tanh", -1.0), "-3/4": ("ReLU", -0.75), "-1/2": ("a hidden unit of tanh", -0.5)}
    figure = Figure.of(
        "What training moves",
        [
            *(
                interval_line(widths, [interval.geometric_mean(at) for at in values], label=name)
                for name, values in lines.items()
            ),
            *(
                Line(x, 0.75 * np.exp(np.log(lines[of][0]).mean()) * (x / x[0]) ** power, label=f"slope {name}")
                for name, (of, power) in guides.items()
            ),
        ],
        Axis("width", scale="log"),
        Axis("drift of the kernel / its size; movement of a unit", scale="log"),
        caption=f"One hidden layer, {TRAIN} digits and one network a seed, {len(seeds)} seeds, {wide.steps} steps of "
        "gradient descent at one rate for all widths; geometric means with 95 % intervals. Mean field: tanh, outputs "
        "smaller by sqrt(width), the rate larger by the width.",
    )
    ends = {arm: np.exp(np.log(values).mean(1))[[0, -1]] for arm, values in drift.items()}
    return lab.finding(
        claim=CLAIM,
        parts={
            "tanh": slopes["tanh"],
            "ReLU": slopes["ReLU"],
            "tanh - ReLU": interval.difference(powers["tanh"], powers["ReLU"]),
            "a hidden unit": units["tanh"],
            "mean field": slopes["mean field"],
            "mean field, widest": interval.mean(drift["mean field"][-1], bounds=POSITIVE),
        },
        lecture=slopes["ReLU"],
        ran={"units": widths[-1], "steps": wide.steps},
        figures=figure,
        readings=[
            lab.reading(name, list(of.values()), {"arm": list(of), "width": widths, "seed": seeds})
            for name, of in (
                ("drift of the kernel", drift),
                ("movement of a hidden unit", moved),
                ("last loss / first loss", {arm: wide.table(arm, "loss") for arm in drift}),
            )
        ],
        sentences=[
            *(
                f"{arm}: the kernel drifts by {first:.1%} at width {widths[0]} and {last:.2%} at {widths[-1]:,}: as "
                f"the power {slopes[arm]} of the width."
                for arm, (first, last) in ends.items()
            ),
            f"A hidden unit of tanh moves as the power {units['tanh']} of the width; of the two kernels that of ReLU, "
            "whose drift falls more slowly, is judged by the lecture's 1 / sqrt(width).",
        ],
        numbers={
            "slope of a hidden unit's movement": {arm: str(one) for arm, one in units.items()},
            "last loss / first loss, largest": {arm: float(wide.table(arm, "loss").max()) for arm in drift},
        }
        | {
            f"slope of drift, {arm}, widths {wide.widths[arm]}": str(
                interval.mean(exponents(wide.widths[arm], wide.table(arm, "drift")))
            )
            for arm in deeper
        },
    )
