"""Grokking that can be solved, as a figure beside GRK1: linear regression from a large start, exact at every step."""

import numpy as np
import torch

from thalweg.figures import Axis, Figure, Line, ReferenceLine, Scatter
from thalweg.generalization import grokking
from thalweg.generalization.grokking import LinearGrokking
from thalweg.randomness import generator

FEATURES, TRAIN, TEST, START = 40, 30, 200, 3.0
RATE, STEPS = 0.1, 20_000
DECAYS, TOLERANCE = (2e-3, 8e-3), 0.01


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of both sets, true weights of length 1 that the training set sees in full, and a start far from them."""
    draw = generator(seed, "linear grokking")
    x, of_rows, start = (
        torch.randn(shape, generator=draw, dtype=torch.float64).numpy()
        for shape in ((TRAIN + TEST, FEATURES), (TRAIN,), (FEATURES,))
    )
    w = x[:TRAIN].T @ of_rows
    return x, w / np.linalg.norm(w), START * start / np.linalg.norm(start)


def curves(seed: int) -> dict[float, LinearGrokking]:
    """The exact errors at every step, by the decay."""
    x, w, start = problem(seed)
    sets = [(part, part @ w) for part in (x[:TRAIN], x[TRAIN:])]
    return {
        decay: grokking.linear(sets[0], sets[1], start, lr=RATE, decay=decay, steps=STEPS, tolerance=TOLERANCE)
        for decay in DECAYS
    }


def stepped(seed: int, decay: float, steps: int) -> np.ndarray:
    """Test errors of gradient descent that takes its steps: (steps + 1,)."""
    x, w, start = problem(seed)
    (fitted, held), at, found = np.split(x, [TRAIN]), start.copy(), []
    for _ in range(steps + 1):
        off = held @ (at - w)
        found.append(off @ off / (2 * TEST))
        at = at - RATE * (fitted.T @ (fitted @ (at - w)) / TRAIN + decay * at)
    return np.array(found)


def figure(seed: int) -> Figure:
    """Exact train and test errors at two decays, with the steps of one of them on its curve."""
    found, steps = curves(seed), np.arange(STEPS + 1)
    marks: list[Line | Scatter | ReferenceLine] = []
    for decay, one in found.items():
        marks.append(Line(steps[1:].astype(float), one["test"][1:], label=f"test, decay {decay:g}"))
        if np.isfinite(one["generalized"]):
            marks.append(ReferenceLine(float(one["generalized"]), "vertical", label=f"T_grok, decay {decay:g}"))
    first = found[DECAYS[0]]
    marks.append(Line(steps[1:].astype(float), first["train"][1:], label=f"train, decay {DECAYS[0]:g}"))
    at = np.unique(np.geomspace(1, STEPS, 24).round().astype(int))
    taken = stepped(seed, DECAYS[0], STEPS)
    marks.append(Scatter(at.astype(float), taken[at], label="steps that are taken"))
    ratio = float(found[DECAYS[0]]["generalized"]) / float(found[DECAYS[1]]["generalized"])
    return Figure.of(
        "Linear regression that generalizes late",
        marks,
        Axis("step", scale="log"),
        Axis("half the mean squared error", scale="log"),
        caption=f"{TRAIN} examples, {FEATURES} features, gradient descent at the rate {RATE:g} from weights {START:g} "
        "times as long as the true ones, which lie in the span of the examples. Lines are in closed form, which the "
        "steps follow. What the training set does "
        f"not see only shrinks by the decay: {DECAYS[1] / DECAYS[0]:g} times the decay, {ratio:.2f} times as soon.",
    )
