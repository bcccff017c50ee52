"""NTK4: the closed form of training with a constant kernel against training, on examples held out."""

import numpy as np

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Axis, Figure, Line, Scatter, interval_line
from thalweg.statistics import POSITIVE, exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.initialization import READINGS
from thalweg.studies.ntk.wide import TEST, TRAIN, Wide

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


def found(lab: Lab, wide: Wide) -> Finding:
    """Compare answers in closed form with those of networks, with the right kernel and with wrong ones."""
    widths, seeds, arms = wide.widths["tanh"], wide.sets.seeds, ("tanh", "ReLU")
    kernels = ("own", "analytic", "NNGP", *READINGS)
    table = {(arm, kernel): wide.by_kernel(arm, "errors", kernel) for arm in arms for kernel in kernels}
    mean_field = wide.by_kernel("mean field", "errors", "own")
    slopes = {key: interval.mean(exponents(widths, values)) for key, values in table.items()}
    level = {key: interval.geometric_mean(values[-1]) for key, values in table.items()}
    ratios = {
        "NNGP": [table[arm, "NNGP"][-1] / table[arm, "own"][-1] for arm in arms],
        "lecture": [table[arm, reading][-1] / table[arm, "own"][-1] for arm in arms for reading in READINGS],
        "mean field": [mean_field[-1] / table[arm, "own"][-1] for arm in arms],
    }
    controls = {
        name: min(map(interval.geometric_mean, of), key=lambda one: one.estimate) for name, of in ratios.items()
    }
    panels = [
        Figure.of(
            f"Held out, {arm}",
            [
                interval_line(widths, [interval.geometric_mean(at) for at in values], label=name)
                for name, values in (
                    *((kernel, table[arm, kernel]) for kernel in kernels),
                    *([("mean field, own", mean_field)] if arm == "tanh" else []),
                )
            ],
            Axis("width", scale="log"),
            Axis("error of the closed form / change", scale="log"),
        )
        for arm in arms
    ]
    for place in (0, -1):
        one = wide.trained["tanh"][place]
        steps = np.array(one.steps, float)
        drawn: list[Line | Scatter] = []
        for number in range(one.answers.shape[1]):
            drawn.append(Line(steps, one.closed[:, number], label="closed form" if not number else ""))
            drawn.append(Scatter(steps, one.answers[:, number], label="network" if not number else ""))
        panels.append(Figure.of(f"Three answers, width {widths[place]:,}", drawn, Axis("step"), Axis("answer")))
    figure = Figure.row(
        panels,
        title="Training in closed form",
        caption=f"One hidden layer, {TRAIN} digits to train on and {TEST} held out a seed, {len(seeds)} seeds, "
        f"{wide.steps} steps of gradient descent; geometric means with 95 % intervals. Own: the kernel of the network "
        "before training; the others are of infinite width, and wrong ones are scaled to the trace of the analytic one."
        " Right: answers of one network of tanh, and the closed form with its own kernel.",
    )
    return lab.finding(
        claim=CLAIM,
        parts={f"{arm}, slope": slopes[arm, "own"] for arm in arms}
        | {f"{arm}, widest": level[arm, "own"] for arm in arms}
        | controls,
        ran={"units": widths[-1], "steps": wide.steps},
        figures=figure,
        readings=[
            lab.reading(
                f"error of the closed form, {arm}",
                [table[arm, kernel] for kernel in kernels],
                {"kernel": kernels, "width": widths, "seed": seeds},
            )
            for arm in arms
        ]
        + [lab.reading("error of the closed form, mean field", mean_field, {"width": widths, "seed": seeds})],
        sentences=[
            f"With {arm} the closed form errs by {level[arm, 'own'].estimate:.2%} of the change at width {widths[-1]:,}"
            f", and its error goes as the power {slopes[arm, 'own']} of the width; with the analytic kernel by "
            f"{level[arm, 'analytic'].estimate:.1%}, as the power {slopes[arm, 'analytic']}."
            for arm in arms
        ]
        + [
            "At the widest the error is larger "
            + ", ".join(f"{one.estimate:.1f} times ({name})" for name, one in controls.items())
            + "."
        ],
        numbers={
            "slopes": {f"{arm}, {kernel}": str(one) for (arm, kernel), one in slopes.items()}
            | {"mean field, own": str(interval.mean(exponents(widths, mean_field)))},
            "errors at the widest": {f"{arm}, {kernel}": str(one) for (arm, kernel), one in level.items()}
            | {"mean field, own": str(interval.geometric_mean(mean_field[-1]))},
        },
    )
