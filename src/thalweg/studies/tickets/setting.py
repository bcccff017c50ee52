"""What the study trains on MNIST-1D: a perceptron, its two settings, and the levels at which claims are scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from thalweg import data, nets, optim, schedules
from thalweg.evaluation import Sample
from thalweg.population import Problem
from thalweg.studies.lab import Lab
from thalweg.training import Recipe

TRAIN, TEST = 4_000, 10_000
TESTED = 43  # the seed of the generator that makes the test examples; 42 made those to train on
RATE = 0.3  # the dense network's best of 0.1, 0.2, 0.3, 0.4 and 0.6 on seeds on which nothing is scored
POINTS = 100.0  # a share in points
UNIT = "points of test accuracy"


@dataclass(frozen=True)
class Setting:
    """A width, a length of training, what a level of pruning keeps, and which level is scored.

    Args:
        width: units of both hidden layers.
        steps: of every training.
        keep: of what remains, at every level, by kind of layer.
        levels: how many.
        scored: the level at which claims are judged, fixed before anything was trained.
        sparse: that at which iterative pruning is.
    """

    width: int
    steps: int
    keep: Mapping[str, float]
    levels: int
    scored: int
    sparse: int


# Two published rounds of pruning (20 % of what remains, 10 % of the output layer) a level, and four.
TWO_ROUNDS, FOUR_ROUNDS = {"hidden": 0.64, "output": 0.81}, {"hidden": 0.43, "output": 0.65}
SMALL = Setting(100, 500, TWO_ROUNDS, levels=6, scored=4, sparse=6)
LARGE = Setting(200, 2_000, FOUR_ROUNDS, levels=3, scored=3, sparse=3)
LONG = Setting(100, 4_000, FOUR_ROUNDS, levels=2, scored=2, sparse=2)  # where tickets must not match


def network(width: int) -> nn.Sequential:
    """40-width-width-10 with ReLU, weights by He's rule, biases zero."""
    net = nets.mlp(40, width, width, 10)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def signals() -> data.Data:
    """The published 4,000 training examples, and 10,000 fresh ones to test on, of the same generator."""
    return replace(
        data.mnist1d(),
        test=data.mnist1d(train=TEST, test=10, seed=TESTED).train,
        notes=(f"MNIST-1D: {TRAIN:,} published training examples, {TEST:,} fresh test examples (seed {TESTED})",),
    )


def problem_of(lab: Lab, width: int, on: data.Data | None = None) -> Problem:
    """The network of a width on these data, or on MNIST-1D."""
    return Problem(partial(network, width), signals() if on is None else on, device=lab.device)


def recipe_of(steps: int, rate: float | Sequence[float] = RATE) -> Recipe:
    """Momentum 0.9, decay 1e-3, batches of 100, a cosine to 0; evaluated before the first step and after the last."""
    rule = optim.Momentum(rate, 0.9, weight_decay=1e-3)
    return Recipe(
        rule, steps, 100, schedules.Cosine(), evaluate=0, evaluate_train_on=Sample("train", 1_000), snapshot=0
    )
