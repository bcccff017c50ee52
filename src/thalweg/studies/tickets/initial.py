"""Shown beside LTH1: how much of the solution the initialization holds, by width. Nothing of it is scored.

A mask is learned while the weights stay as they were drawn (Ramanujan et al., 2020, arXiv:1911.13299). What it reaches
is set against random masks on the same weights, and against the same networks trained.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import data, nets, tickets
from thalweg.data import Data
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, Line
from thalweg.population import Problem
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.speed import RECIPE, problem_of

SHARE = 0.5  # of the weights of every layer
ARMS = ("trained", "learned mask on initial weights", "random mask on initial weights")


def shown(lab: Lab) -> tuple[Figure, tuple[str, ...]]:
    """Test accuracy against width of untrained weights under a learned mask, on two tasks, and sentences on it.

    About a minute at full scale.
    """
    widths, steps = lab.pick(quick=(25, 100), full=(25, 50, 100, 200)), lab.pick(quick=100, full=400)
    seeds = lab.seeds(quick=2, full=2).scored
    tasks = {"digits": data.digits(), "MNIST-1D": problem_of(lab).data}
    tables = {
        task: np.array([accuracies(lab, of, width, steps, seeds) for width in widths]) for task, of in tasks.items()
    }
    figure = Figure.row(
        [panel(task, widths, table) for task, table in tables.items()],
        title="What the initialization holds",
        caption=f"Two hidden layers; masks keep {SHARE:.0%} of the weights of every layer and are learned in {steps:,} "
        f"steps, biases are 0. Means of {len(seeds)} seeds, bands from the smallest to the largest.",
    )
    sentences = tuple(words(task, widths, table) for task, table in tables.items())
    return figure, (*sentences, "A learned mask is trained too: the solution is in the choice as in the weights.")


def panel(task: str, widths: Sequence[int], table: NDArray[np.float64]) -> Figure:
    """Of one task: (widths, arms, seeds)."""
    percent = 100 * np.moveaxis(table, 1, 0)
    lines = [
        Line(np.array(widths, float), of.mean(1), low=of.min(1), high=of.max(1), label=name)
        for name, of in zip(ARMS, percent, strict=True)
    ]
    return Figure.of(task, lines, Axis("width", scale="log"), Axis("test accuracy", "%", limits=(0, 100)))


def words(task: str, widths: Sequence[int], table: NDArray[np.float64]) -> str:
    """Of one task, in a sentence."""
    (trained, learned, random), narrow = table[-1].mean(1), table[0, 1].mean()
    return (
        f"On {task}, at width {widths[-1]}, a mask learned on untrained weights is right on {learned:.0%} of test "
        f"examples (at width {widths[0]} on {narrow:.0%}), random masks on {random:.0%}, trained networks on "
        f"{trained:.0%}."
    )


def accuracies(lab: Lab, of: Data, width: int, steps: int, seeds: list[int]) -> list[list[float]]:
    """Of networks of one width, trained, under learned masks, and under random ones: (arms, seeds)."""
    (row,) = torch.utils._pytree.tree_leaves(of.train.slice(0, 1)[0])
    problem = Problem(lambda: nets.mlp(row.shape[1], width, width, 10), of, device=lab.device)
    told = lab.labelled(f"masks on untrained weights, width {width}")
    masked = tickets.supermask(problem, problem.initialize(seeds), SHARE, seeds=seeds, steps=steps, progress=told)
    run = lab.train(problem, RECIPE, seeds, f"width {width}")
    trained = evaluate(problem, run.final, "test")["accuracy"].tolist()
    return [trained, masked["learned accuracy"].tolist(), masked["random accuracy"].tolist()]
