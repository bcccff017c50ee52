"""What the condition number says of a width, beside what linear training says: tanh nets of one hidden layer."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.evaluation import outputs
from thalweg.figures import Axis, Figure, interval_line
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.setting import (
    BIAS_STD,
    WEIGHT_STD,
    dealt,
    descent,
    largest_rate,
    own_kernels,
    parity,
    problem_of,
)

Array = NDArray[np.float64]
TRAIN, TEST, STEPS = 32, 64, 100
FROM, TO = 512, 2_048
CONDITION, DISTANCE, DRIFT, BEYOND = (
    "condition number / that of infinite width",
    "kernel at the start from the analytic one",
    "kernel after training from its start",
    "f - f_lin after training",
)


@dataclass(frozen=True)
class Measured:
    """Each quantity by width and seed, all but the first relative to the size of what changes.

    Args:
        widths: of the hidden layer.
        tables: by name: (widths, seeds).
    """

    widths: tuple[int, ...]
    tables: dict[str, Array]

    def change(self, name: str) -> Array:
        """log of what it is at width 512 over what it is at 2,048: (seeds,)."""
        first, last = (np.log(self.tables[name][self.widths.index(width)]) for width in (FROM, TO))
        return first - last

    @property
    def told(self) -> Array:
        """The condition number's change by that of f - f_lin: near 1 if one told the other, 0 if nothing: (seeds,)."""
        return self.change(CONDITION) / self.change(BEYOND)

    def figure(self) -> Figure:
        """All of them over the width."""
        lines = [
            interval_line(self.widths, [interval.geometric_mean(row) for row in table], label=name)
            for name, table in self.tables.items()
        ]
        return Figure.of("When is it wide enough?", lines, Axis("width", scale="log"), Axis("ratio", scale="log"))


def distance(one: Tensor, other: Tensor) -> Array:
    """|one - other| / |other| on the training examples, in the Frobenius norm: (seeds,)."""
    apart, size = ((each[:, :TRAIN]).norm(dim=(1, 2)) for each in (one - other, other))
    return (apart / size).numpy()


def measured(lab: Lab, seeds: list[int], widths: tuple[int, ...]) -> Measured:
    """Train at the largest rate of the analytic kernels, and set every net beside its linearization."""
    data = parity()
    rows = torch.cat(dealt(len(data.train), seeds, TRAIN, TEST), 1)
    inputs, targets = data.train.take(rows)
    assert isinstance(inputs, Tensor)
    assert isinstance(targets, Tensor)
    limit = ntk.over_depth(
        inputs, inputs[:, :TRAIN], activation="tanh", weight_std=WEIGHT_STD["tanh"], bias_std=BIAS_STD, depths=[1]
    ).ntk[0]
    rate, infinite = largest_rate(limit[:, :TRAIN]), ntk.scores.condition_number(limit[:, :TRAIN]).log10
    found: dict[str, list[Array]] = {name: [] for name in (CONDITION, DISTANCE, DRIFT, BEYOND)}
    for width in widths:
        problem = problem_of(lab, data, (inputs.shape[-1], width, 1), "tanh")
        recipe = descent(rate, STEPS, TRAIN, snapshot=(0, STEPS))
        run = lab.train(problem, recipe, seeds, f"tanh, width {width:,}", examples=rows[:, :TRAIN])
        before, after = run.snapshots[0], run.final
        first = own_kernels(problem, before, inputs, TRAIN)
        last = own_kernels(problem, after, inputs[:, :TRAIN])
        start, end = (outputs(problem, one, "train", rows=rows).double() for one in (before, after))
        path = ntk.gradient_descent(
            first[:, :TRAIN], first[:, TRAIN:], targets[:, :TRAIN], lr=rate, steps=STEPS,
            start=start[:, :TRAIN], start_test=start[:, TRAIN:],
        )  # fmt: skip
        held, closed = end[:, TRAIN:].numpy(), path["test"][:, 0]
        moved, beyond = (np.linalg.norm((held - one)[..., 0], axis=1) for one in (start[:, TRAIN:].numpy(), closed))
        found[CONDITION].append(10 ** (ntk.scores.condition_number(first[:, :TRAIN]).log10 - infinite))
        found[DISTANCE].append(distance(first, limit))
        found[DRIFT].append(distance(last, first[:, :TRAIN]))
        found[BEYOND].append(beyond / moved)
    return Measured(widths, {name: np.array(rows) for name, rows in found.items()})
