"""The runs behind SCH1: a transformer with and without warmup, over a grid of rates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.evaluation import Sample
from thalweg.optim import Adam
from thalweg.population import Batch, Problem
from thalweg.population.derivatives import gradient
from thalweg.schedules import Warmup
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.schedules.language import BETA2
from thalweg.studies.schedules.trainable import Largest, gain
from thalweg.studies.seeds import labelled
from thalweg.training import Recipe, train

Array = NDArray[np.float64]
DEPTH, BATCH = 2, 8
WARMUP = round(2 / (1 - BETA2))  # steps (Ma & Yarats, 2021, arXiv:1910.04209)
BARE, WARM = "without warmup", "with warmup"
ARMS = {BARE: 0, WARM: WARMUP}
FRACTION = 0.95  # of the loss by frequencies alone: a run trains if it ends below; one that does not stays near 0.98
MEASURED = 128  # windows that the loss is measured on
EARLY = LATE = 4  # steps at either end whose gradients are compared,
WINDOWS = 32  # on so many windows


@dataclass(frozen=True)
class Found:
    """What one placement of the normalization gave.

    Args:
        losses: at the end, by arm (rates, seeds).
        limit: the largest rate that trains, by arm.
        at: the steps of the gradients (steps,).
        norms: of the gradients, without warmup (steps, seeds).
    """

    losses: Mapping[str, Array]
    limit: Mapping[str, Largest]
    at: NDArray[np.int64]
    norms: Array

    @property
    def gain(self) -> interval.Interval:
        """The largest rate with / without warmup."""
        return gain(self.limit[WARM], self.limit[BARE])

    @property
    def fall(self) -> interval.Interval:
        """The norm of the gradient at the first steps / at the last."""
        return interval.ratio(self.norms[:EARLY].mean(0), self.norms[-LATE:].mean(0))


def final_losses(
    lab: Lab, problem: Problem, rates: Array, steps: int, seeds: list[int], label: str
) -> dict[str, Array]:
    """Training loss after `steps`, at most what it was before the first, by arm: (rates, seeds)."""
    rule = Adam(sweep.values(rates.tolist()), beta2=BETA2)
    schedule = Warmup(sweep.values(list(ARMS.values())))
    recipe = Recipe(rule, steps, BATCH, schedule, evaluate=0, evaluate_train_on=Sample("train", MEASURED))
    history = train(problem, recipe, seeds, progress=labelled(lab, label)).history
    before, after = history["train_loss"][0], history["train_loss"][-1]
    final = np.fmin(after, before).reshape(len(rates), len(ARMS), len(seeds))
    return {arm: final[:, i] for i, arm in enumerate(ARMS)}


def gradient_norms(
    lab: Lab, problem: Problem, lr: float, steps: int, seeds: list[int], label: str
) -> tuple[NDArray[np.int64], Array]:
    """Steps, and the norm of the gradient there without warmup, always on the same windows: (steps, seeds)."""
    at = (*range(EARLY), *range(EARLY, steps - LATE, steps // 8), *range(steps - LATE + 1, steps + 1))
    recipe = Recipe(Adam(lr, beta2=BETA2), steps, BATCH, evaluate=0, snapshot=at, evaluate_train_on=Sample("train", 1))
    run = train(problem, recipe, seeds, progress=labelled(lab, label))
    batch = Batch.of(problem.data.train, torch.arange(WINDOWS)[None])
    norms = [gradient(problem, kept, batch).norm(dim=1).double().numpy() for kept in run.snapshots.values()]
    return np.array(at), np.stack(norms)


def bytes_to_predict(problem: Problem) -> torch.Tensor:
    """All targets of the training set."""
    _, targets = problem.data.train.take(torch.arange(len(problem.data.train)))
    assert isinstance(targets, torch.Tensor)
    return targets
