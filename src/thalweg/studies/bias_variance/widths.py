"""What becomes of bias and variance across the interpolation threshold: MLPs of several widths on MNIST-1D."""

from dataclasses import dataclass

import numpy as np

from thalweg import data, nets, optim
from thalweg.evaluation import Sample
from thalweg.figures import Axis, Figure, interval_line
from thalweg.generalization.bias_variance import Decomposition, decompose, refit
from thalweg.population import Problem
from thalweg.results import Reading
from thalweg.studies.lab import Lab
from thalweg.training import Recipe

WIDTHS = (10, 16, 24, 32, 48, 64, 128)
SETS, SIZE, NOISE = 6, 2_000, 0.2
RECIPE = Recipe(optim.Adam(3e-3), steps=3_000, batch_size=100, evaluate=0)
LOSSES = {"squared_error": "squared error of probabilities", "cross_entropy": "cross-entropy"}


@dataclass(frozen=True)
class OverWidth:
    """What is shown of it."""

    figure: Figure
    reading: Reading
    sentence: str


def problem_of(lab: Lab, width: int) -> Problem:
    """MNIST-1D with wrong labels to train on, right ones to test on, and an MLP 40-h-h-10."""
    whole = data.mnist1d(train=SETS * SIZE, test=4_000).with_label_noise(NOISE, seed=lab.seed)
    return Problem(lambda: nets.mlp(40, width, width, 10), whole, device=lab.device)


def over_width(lab: Lab) -> OverWidth:
    """Train each width on disjoint sets, and decompose its Brier score and its cross-entropy."""
    found: dict[str, list[Decomposition]] = {loss: [] for loss in LOSSES}
    for width in WIDTHS:
        problem = problem_of(lab, width)
        told = lab.labelled(f"width {width}")
        fits = refit(problem, RECIPE, sets=SETS, size=SIZE, seed=lab.seed, progress=told, workers=lab.workers)
        for loss, each in found.items():
            each.append(decompose(problem, fits, on=Sample("test"), loss=loss))
    parts = ("error", "bias^2", "variance")
    panels = [
        Figure.of(
            title,
            [interval_line(WIDTHS, [one.interval(part) for one in found[loss]], label=part) for part in parts],
            Axis("width", scale="log"),
            Axis(title, "nats" if loss == "cross_entropy" else "", scale="log"),
        )
        for loss, title in LOSSES.items()
    ]
    caption = (
        f"MLPs 40-h-h-10 on {SETS} disjoint sets of {SIZE:,} examples of MNIST-1D, {NOISE:.0%} of the labels wrong; "
        "bands are 95 % for other sets and other test examples."
    )
    table = np.array([[[float(one[part]) for one in found[loss]] for part in parts] for loss in LOSSES])
    coordinates = {"loss": list(LOSSES.values()), "part": parts, "width": WIDTHS}
    bias, variance = table[0, 1], table[0, 2]
    peak = int(variance.argmax())
    sentence = (
        f"In the width of MLPs on MNIST-1D the variance of the Brier score goes from {variance[0]:.3f} at "
        f"{WIDTHS[0]} to {variance[peak]:.3f} at {WIDTHS[peak]} and {variance[-1]:.3f} at {WIDTHS[-1]}, and bias^2 "
        f"from {bias[0]:.3f} to {bias[peak]:.3f} and {bias[-1]:.3f}."
    )
    return OverWidth(
        Figure.row(panels, title="Bias and variance over the width of MLPs", caption=caption),
        lab.reading("bias^2, variance and error over width", table, coordinates),
        sentence,
    )
