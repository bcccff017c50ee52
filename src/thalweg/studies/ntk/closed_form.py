"""NTK4: the closed form of training with a constant kernel against training, on examples held out."""

import numpy as np

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Axis, Figure, Line, Scatter
from thalweg.results import spread
from thalweg.statistics import POSITIVE, exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.initialization import READINGS
from thalweg.studies.ntk.subsets import TEST, TRAIN
from thalweg.studies.ntk.wide import Trained, Wide

KERNELS = ("own", "analytic", "NNGP", *READINGS)
SLOPE = "slope of log error of the closed form against log width"
LEVEL = "error of the closed form on examples held out at the widest, relative to what training changed"
RATIO = "error at the widest by that of the right kernel, where it is the smallest ratio of both activations"
CLAIM = Claim(
    id="NTK4",
    statement="The closed form of gradient descent with the kernel before training predicts what a network with one "
    "hidden layer answers to digits held out: the error falls faster than width^(-1/2), to below 2 % of the change at "
    "the widest. (tanh and ReLU, 24 digits, NTK parameterization, 60 steps or more, at least 1,024 units.)",
    lecture="Training is a linear differential equation with the closed-form solution "
    "f(x, t) = f(x, 0) + Theta(x, X)^T (I - e^(-Theta t)) Theta^(-1) (y - f(X, 0)).",
    rule=every_part(),
    unit=SLOPE,
    budget={"units": 1_024, "steps": 60},
    corrected="That is gradient flow of 1/2 sum (f - y)^2, with the kernel that the network has before training. "
    "Gradient descent at the rate eta has (1 - eta lambda)^k in the place of e^(-lambda t). With the kernel of "
    "infinite width the error is larger, and falls as width^(-1/2) only; in a mean field it stays.",
    parts=(
        *(
            Part(f"{arm}, slope", f"With {arm} the error falls faster than width^(-1/2).", less(-0.5), SLOPE)
            for arm in ("tanh", "ReLU")
        ),
        *(
            Part(f"{arm}, widest", f"With {arm} it is below 2 % there.", less(0.02), LEVEL, bounds=POSITIVE)
            for arm in ("tanh", "ReLU")
        ),
        *(
            Part(name, f"Control: the error is three times as large {how}.", greater(3), RATIO, False, POSITIVE)
            for name, how in (
                ("NNGP", "with the kernel of the Gaussian process, scaled to equal trace"),
                ("lecture", "with the lecture's sum without products, by either reading, scaled to equal trace"),
                ("mean field", "of the closed form of a network in a mean field"),
            )
        ),
    ),
)


def answers(one: Trained, width: int) -> Figure:
    """What a network answers to three examples held out, step by step, and the closed form."""
    steps, marks = np.array(one.steps, float), []
    for number in range(one.answers.shape[1]):
        marks.append(Line(steps, one.closed[:, number], label="closed form"))
        marks.append(Scatter(steps, one.answers[:, number], label="network"))
    return Figure.of(f"Three answers, width {width:,}", marks, Axis("step"), Axis("answer"))


def found(lab: Lab, wide: Wide) -> Finding:
    """Compare answers in closed form with those of networks, with the right kernel and with wrong ones."""
    widths, seeds, arms = wide.widths["tanh"], wide.sets.seeds, ("tanh", "ReLU")
    table = {arm: {kernel: wide.by_kernel(arm, "errors", kernel) for kernel in KERNELS} for arm in arms}
    mean_field = wide.by_kernel("mean field", "errors", "own")
    table["tanh"]["own, mean field"] = mean_field
    own = {arm: table[arm]["own"] for arm in arms}
    slopes = {
        (arm, kernel): interval.mean(exponents(widths, table[arm][kernel])) for arm in arms for kernel in KERNELS[:2]
    }
    level = {key: interval.geometric_mean(table[key[0]][key[1]][-1]) for key in slopes}
    wrong = {
        "NNGP": [table[arm]["NNGP"] / own[arm] for arm in arms],
        "lecture": [table[arm][reading] / own[arm] for arm in arms for reading in READINGS],
        "mean field": [mean_field / own[arm] for arm in arms],
    }
    controls = {
        name: interval.geometric_mean(min((one[-1] for one in of), key=lambda ratios: np.log(ratios).mean()))
        for name, of in wrong.items()
    }
    readings = {
        arm: lab.reading(
            f"error of the closed form, {arm}", list(of.values()), {"kernel": list(of), "width": widths, "seed": seeds}
        )
        for arm, of in table.items()
    }
    errors = [
        spread(
            reading,
            x="width",
            over="seed",
            center="geometric mean",
            title=f"Held out, {arm}",
            x_axis=Axis("width", scale="log"),
            y_axis=Axis("error of the closed form / change", scale="log"),
        )
        for arm, reading in readings.items()
    ]
    figure = Figure.row(
        [*errors, *(answers(wide.trained["tanh"][place], widths[place]) for place in (0, -1))],
        title="Training in closed form",
        caption=f"One hidden layer, {TRAIN} digits to train on and {TEST} held out a seed, {len(seeds)} seeds, "
        f"{wide.steps} steps of gradient descent; geometric means, bands from the smallest to the largest. Own: the "
        "kernel of the network before training; the others are of infinite width, and wrong ones are scaled to the "
        "trace of the analytic one. Right: answers of one network of tanh, and the closed form with its own kernel.",
    )
    return lab.finding(
        claim=CLAIM,
        parts={f"{arm}, slope": slopes[arm, "own"] for arm in arms}
        | {f"{arm}, widest": level[arm, "own"] for arm in arms}
        | controls,
        ran={"units": widths[-1], "steps": wide.steps},
        figures=figure,
        readings=list(readings.values()),
        sentences=[
            f"With {arm} the closed form errs by {level[arm, 'own'].estimate:.2%} of the change at width "
            f"{widths[-1]:,}, and its error goes as the power {slopes[arm, 'own']} of the width; with the analytic "
            f"kernel by {level[arm, 'analytic'].estimate:.1%}, as the power {slopes[arm, 'analytic']}."
            for arm in arms
        ]
        + [
            "At the widest the error is larger "
            + ", ".join(f"{one.estimate:.1f} times ({name})" for name, one in controls.items())
            + ", by the smallest ratio of both activations."
        ],
        numbers={
            "error at the widest, geometric mean": {
                arm: {kernel: float(np.exp(np.log(values[-1]).mean())) for kernel, values in of.items()}
                for arm, of in table.items()
            },
        },
    )
