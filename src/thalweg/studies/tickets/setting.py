"""What the claims look at: networks on MNIST-1D, and how they are trained."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import nn

from thalweg import data, nets, optim, schedules, sweep
from thalweg.evaluation import Sample
from thalweg.population import Problem
from thalweg.statistics import Interval
from thalweg.studies.lab import Lab
from thalweg.training import Recipe

# Seeds of the generator: 42 made the examples to train on, these make those to test on.
TESTED = 43
RATE = 0.3  # the dense network's best of 0.1, 0.2, 0.3, 0.4 and 0.6, on seeds on which nothing is scored
UNIT = "points of test accuracy"
ALL = (-100.0, 100.0)  # bounds of a difference in points
MARGIN = 0.5  # points by which a ticket may be worse and match
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"), 0, "not run at this scale")


def network(width: int) -> nn.Sequential:
    """40-width-width-10 with ReLU, weights by He's rule, biases zero."""
    net = nets.mlp(40, width, width, 10)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def signals(*, test: int = TESTED, train: int | None = None) -> data.Data:
    """MNIST-1D: the published 4,000 training examples, or as many fresh ones; 10,000 fresh ones of a seed to test on.

    The 1,000 test examples of the package would leave 1.5 points of doubt.
    """
    published = data.mnist1d()
    drawn = published if train is None else data.mnist1d(seed=train)
    fresh = data.mnist1d(train=10_000, test=10, seed=test).train
    note = f"MNIST-1D, training examples of seed {train or 42}, 10,000 test examples of seed {test}"
    return replace(published, train=drawn.train, test=fresh, notes=(note,))


def problem_of(lab: Lab, width: int, on: data.Data | None = None) -> Problem:
    """The network of a width on these data, or on MNIST-1D."""
    return Problem(partial(network, width), signals() if on is None else on, device=lab.device)


def recipe_of(steps: int, rate: float | Sequence[float] = RATE) -> Recipe:
    """Momentum 0.9, decay 1e-3, batches of 100, a cosine to 0; evaluated before the first step and after the last."""
    rule = optim.Momentum(sweep.values(rate) if isinstance(rate, Sequence) else rate, weight_decay=1e-3)
    seen = Sample("train", 1_000)
    return Recipe(rule, steps, 100, schedules.Cosine(), evaluate=0, evaluate_train_on=seen)
