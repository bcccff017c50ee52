"""A quadratic, on which each eigenvector's share of the error, a mode, goes its own way at a known rate."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.figures import Axis, Figure, HeatMap, Line
from thalweg.optim import SGD, Momentum, Rule, follow

Array = NDArray[np.float64]
CONDITION = 100.0
FALLEN = 1e-6  # of the loss at the start
_SHOWN = 1e-8  # of a mode at the start: what is smaller is drawn as this


@dataclass(frozen=True)
class Quadratic:
    """Both rules at their optimal constants: the ratio of steps, contraction a step by rule, and the pictures."""

    ratio: float
    measured: dict[str, float]
    predicted: dict[str, float]
    figures: tuple[Figure, ...]


def modes(rule: Rule, eigenvalues: torch.Tensor, steps: int) -> Array:
    """The error theta of every mode before each step, from 1: (steps, modes)."""
    start = torch.ones(1, len(eigenvalues), dtype=torch.float64)
    return follow(rule, lambda theta: eigenvalues * theta, start, steps - 1)[:, 0].numpy()


def losses(errors: Array, eigenvalues: torch.Tensor) -> Array:
    """Loss sum(h theta^2)/2 of every step, divided by that of the first: (steps,)."""
    values = (eigenvalues.numpy() * errors**2).sum(1) / 2
    return values / values[0]


def contraction(values: Array) -> float:
    """By what the distance to the minimum shrinks a step, over the later half of the losses before underflow."""
    last = int((values > 1e-280).sum()) - 1
    first = last // 2
    return float((values[last] / values[first]) ** (0.5 / (last - first)))


def quadratic(steps: int) -> Quadratic:
    """SGD and heavy ball at their optimal constants (Polyak, 1964) on eigenvalues from 1/CONDITION to 1."""
    eigenvalues = torch.logspace(-np.log10(CONDITION), 0, 100, dtype=torch.float64)
    small, large = float(eigenvalues[0]), float(eigenvalues[-1])
    root = CONDITION**0.5
    rules: dict[str, Rule] = {
        "SGD": SGD(2 / (large + small)),
        "momentum": Momentum(4 / (large**0.5 + small**0.5) ** 2, ((root - 1) / (root + 1)) ** 2),
    }
    predicted = {"SGD": (CONDITION - 1) / (CONDITION + 1), "momentum": (root - 1) / (root + 1)}
    errors = {name: modes(rule, eigenvalues, 20 * steps) for name, rule in rules.items()}
    far = {name: losses(each, eigenvalues) for name, each in errors.items()}
    needed = {name: int((values <= FALLEN).argmax()) for name, values in far.items()}
    at = np.arange(steps, dtype=float)
    fall = Figure.of(
        f"A quadratic of condition {CONDITION:g} at the optimal constants",
        [
            *(Line(at, values[:steps], label=name) for name, values in far.items()),
            *(Line(at, rate ** (2 * at), label=f"predicted slope, {name}") for name, rate in predicted.items()),
        ],
        x=Axis("step"),
        y=Axis("loss / loss at the start", scale="log"),
        caption="Each mode contracts at the predicted rate in the long run; the loss falls with its square.",
    )
    panels = [
        Figure.of(
            name,
            (HeatMap(at, eigenvalues.numpy(), np.maximum(np.abs(each[:steps]), _SHOWN).T, label="mode"),),
            x=Axis("step"),
            y=Axis("eigenvalue", scale="log"),
            z=Axis("what is left of the mode", scale="log", limits=(_SHOWN, 1.0)),
        )
        for name, each in errors.items()
    ]
    by_mode = Figure.row(
        panels,
        title="The same quadratic, mode by mode",
        caption="SGD is slow where the eigenvalue is small, and a larger rate would diverge where it is large. "
        f"Momentum brings every mode down at one rate, swinging. Less than {_SHOWN:g} is drawn as that.",
    )
    measured = {name: contraction(values) for name, values in far.items()}
    return Quadratic(needed["SGD"] / needed["momentum"], measured, predicted, (fall, by_mode))
