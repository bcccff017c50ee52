"""Shown beside LTH1: what a mask learned over weights that stay as they were initialized comes to, by width."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg import tickets
from thalweg.figures import Axis, Figure, interval_line
from thalweg.results import Reading
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.setting import problem_of

STEPS, SHARE = 500, 0.5
WIDTHS = (25, 50, 100, 200)
KINDS = ("learned", "random")


@dataclass(frozen=True, eq=False)
class Frozen:
    """Test accuracies under learned and under random masks: (kinds, widths, seeds)."""

    accuracy: NDArray[np.float64]

    def figure(self) -> Figure:
        """Both over width."""
        lines = [
            interval_line(WIDTHS, [interval.mean(100 * at, bounds=(0, 100)) for at in of], label=f"{kind} mask")
            for kind, of in zip(KINDS, self.accuracy, strict=True)
        ]
        caption = (
            f"MNIST-1D, MLP: half of the weights of each layer are kept as they were initialized, and {STEPS} steps "
            f"learn which. Means over {self.accuracy.shape[2]} seeds with 95 % intervals."
        )
        axes = Axis("width", scale="log"), Axis("test accuracy", "%")
        return Figure.of("Masks over untrained weights", lines, *axes, caption=caption)

    def reading(self, lab: Lab) -> Reading:
        """The same as numbers."""
        coordinates = {"mask": KINDS, "width": WIDTHS, "seed": range(self.accuracy.shape[2])}
        return lab.reading("accuracy of untrained weights under masks", self.accuracy, coordinates, unit="fraction")

    @property
    def sentence(self) -> str:
        """In words."""
        learned, random = (of.mean(1) for of in self.accuracy)
        return (
            f"A mask learned over weights that stay untrained comes to {learned[0]:.0%} at width {WIDTHS[0]} and "
            f"{learned[-1]:.0%} at {WIDTHS[-1]}, random ones to {random[-1]:.0%}."
        )


def frozen(lab: Lab, seeds: list[int]) -> Frozen:
    """Learn masks at every width."""
    accuracy = np.empty((len(KINDS), len(WIDTHS), len(seeds)))
    for column, width in enumerate(WIDTHS):
        problem = problem_of(lab, width)
        told = lab.labelled(f"masks of untrained weights, width {width}")
        learned = tickets.supermask(problem, problem.initialize(seeds), SHARE, seeds=seeds, steps=STEPS, progress=told)
        accuracy[:, column] = [learned[f"{kind} accuracy"] for kind in KINDS]
    return Frozen(accuracy)
