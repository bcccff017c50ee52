"""NTK3: by which power of the width the tangent kernel moves in training."""

import numpy as np

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis
from thalweg.results import spread
from thalweg.statistics import POSITIVE, exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.subsets import TRAIN
from thalweg.studies.ntk.wide import ARMS, DEEPER, Wide, guide

UNIT = "slope of log drift against log width"
UNIT_OF_TANH = "a hidden unit of tanh"
GUIDES = {"tanh": -1.0, "ReLU": -0.75, UNIT_OF_TANH: -0.5}  # powers of the width
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
    drift = {arm: wide.table(arm, "drift") for arm in ARMS}
    moved = {arm: wide.table(arm, "moved") for arm in ARMS}
    powers = {arm: exponents(widths, values) for arm, values in drift.items()}
    slopes = {arm: interval.mean(values) for arm, values in powers.items()}
    units = {arm: interval.mean(exponents(widths, moved[arm])) for arm in ("tanh", "ReLU")}
    drawn = drift | {UNIT_OF_TANH: moved["tanh"]}
    movement = lab.reading(
        "movement in training", list(drawn.values()), {"of": list(drawn), "width": widths, "seed": seeds}
    )
    figure = spread(
        movement,
        x="width",
        over="seed",
        center="geometric mean",
        title="What training moves",
        x_axis=Axis("width", scale="log"),
        y_axis=Axis("movement", scale="log"),
        caption=f"One hidden layer, {TRAIN} digits and one network a seed, {wide.steps} steps of gradient descent at "
        "one rate for all widths. Kernels move relative to their size, the hidden unit in the root mean square. Mean "
        "field: tanh, outputs smaller by sqrt(width), the rate larger by the width.",
    ).with_marks(*(guide(widths, 0.7 * drawn[of], power) for of, power in GUIDES.items()))
    ends = {arm: np.exp(np.log(values).mean(1))[[0, -1]] for arm, values in drift.items()}
    loss = {arm: wide.table(arm, "loss") for arm in ARMS}
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
            movement,
            lab.reading("last loss / first", list(loss.values()), {"arm": list(ARMS), "width": widths, "seed": seeds}),
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
            "last loss / first, largest": {arm: float(values.max()) for arm, values in loss.items()},
            "slope of drift of two layers": {
                f"{arm}, widths {wide.widths[arm]}": str(
                    interval.mean(exponents(wide.widths[arm], wide.table(arm, "drift")))
                )
                for arm in wide.widths
                if arm in DEEPER
            },
        },
    )
