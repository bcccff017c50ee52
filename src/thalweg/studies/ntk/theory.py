"""What kernel theory bounds without a test example, of true and of random labels: shown beside NTK7, not judged."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.data import Examples
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.randomness import generator
from thalweg.studies.ntk.image_kernels import fully_connected, limit
from thalweg.studies.ntk.setting import parity

Array = NDArray[np.float64]
SIZES = (125, 250, 500, 1_000)


@dataclass(frozen=True)
class Guarantee:
    """Of kernel regression on the first examples, and what it errs by on others.

    Args:
        complexity: the norm of the predictor times root(trace K) / n: (sizes,).
        bound: on the risk, the mean of min(1, |f(x) - y|), with a probability of 95 %: (sizes,).
        risk: measured on held-out examples: (sizes,).
        wrong: the share of wrong signs there: (sizes,).
    """

    complexity: Array
    bound: Array
    risk: Array
    wrong: Array


def guarantee(kernel: Float[Tensor, "all all"], targets: Float[Tensor, "all 1"], sizes: tuple[int, ...]) -> Guarantee:
    """Bounds from the first n examples, and the risk on all beyond the last of the sizes."""
    held, rows = slice(max(sizes), None), []
    for n in sizes:
        found = ntk.bounds(kernel[:n, :n], targets[:n, 0])
        fit = ntk.regression(kernel[:n, :n], kernel[held, :n], targets[:n])["test"][0, :, 0]
        y = targets[held, 0].numpy()
        risk = np.minimum(1, np.abs(fit - y)).mean()
        rows.append((found["RKHS bound"][0], found["risk bound"][0], risk, (fit * y <= 0).mean()))
    return Guarantee(*np.array(rows).T)


def guarantees(seed: int, sizes: tuple[int, ...] = SIZES) -> dict[str, Guarantee]:
    """By digits' parity, and by the toss of a coin in its place: the kernel of a fully connected net."""
    read = parity().train
    assert isinstance(read, Examples)
    inputs, targets = read.inputs, read.targets
    assert isinstance(inputs, Tensor)
    assert isinstance(targets, Tensor)
    draw = generator(seed, "ntk bounds")
    order = torch.randperm(len(inputs), generator=draw)
    tossed = 1 - 2.0 * torch.randint(2, (len(inputs), 1), generator=draw)
    kernel = limit(fully_connected(inputs.shape[1])).ntk(inputs[order])
    return {
        "true labels": guarantee(kernel, targets[order].double(), sizes),
        "random labels": guarantee(kernel, tossed.double(), sizes),
    }


def shown(seed: int) -> tuple[Figure, list[str]]:
    """The figure of bounds and risks over training examples, and sentences rendered from them."""
    found = guarantees(seed)
    lines = [
        Line(np.array(SIZES), values, label=f"{what}, {labels}")
        for labels, one in found.items()
        for what, values in (("bound", one.bound), ("RKHS complexity", one.complexity), ("measured risk", one.risk))
    ]
    figure = Figure.of(
        "What kernel theory bounds",
        [*lines, ReferenceLine(1.0, label="says nothing")],
        Axis("training examples", scale="log"),
        Axis("risk: mean of min(1, |f(x) - y|)", scale="log"),
        caption="Whether a digit is even: kernel regression without ridge, tangent kernel of two hidden ReLU layers; "
        "bounds see training examples alone. The bound in full is training risk + twice the complexity (of the next of "
        "a row of radii) + a term for the 5 % of cases in which it may fail. Shown, not judged.",
    )
    true, random = found.values()
    return figure, [
        f"{labels}: at {SIZES[-1]:,} examples the complexity of the predictor is {one.complexity[-1]:.2f}, the bound "
        f"in full {one.bound[-1]:.2f}; the risk is {one.risk[-1]:.2f}, with {one.wrong[-1]:.1%} of signs wrong."
        for labels, one in found.items()
    ] + [
        f"Kernel theory applies, and tells learnable labels from random ones: from {SIZES[0]:,} to {SIZES[-1]:,} "
        f"examples the complexity goes from {true.complexity[0]:.2f} to {true.complexity[-1]:.2f} on true labels and "
        f"from {random.complexity[0]:.2f} to {random.complexity[-1]:.2f} on random ones. A bound of 1 says nothing."
    ]
