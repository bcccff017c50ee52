"""What the study trains: perceptrons on two problems, and trained ends of lines and curves.

The two problems answer differently. On digits training interpolates: the loss of the ends is near 0. On MNIST-1D it
does not: a few percent of the training examples stay wrong. No network has a normalization layer, so there are no
running statistics to recompute on the way from one to another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thalweg import data, nets, optim, schedules
from thalweg.connectivity import Barrier
from thalweg.evaluation import Sample
from thalweg.population import Population, Problem
from thalweg.statistics import Interval
from thalweg.studies.lab import Lab
from thalweg.training import Recipe

Array = NDArray[np.float64]
TRAINED_DIGITS = 1_347  # of 1,797; the 450 others are held out
TESTED = 43  # the seed of the generator of MNIST-1D that draws the examples to test on; 42 drew those to train on
POINTS = 25  # on a line
POINTS_OF_ERROR = (0.0, 100.0)  # within which errors lie
OF_TRIPLE = 3  # networks that belong together: the pair of which lines and curves are taken, and a third


@dataclass(frozen=True)
class Setting:
    """A problem and how it is trained.

    Args:
        name: of the data.
        make: the data from the seed of the study.
        widths: of the inputs, every hidden layer and the outputs.
        rate: of momentum.
        batch: examples a step.
        steps: of training.
    """

    name: str
    make: Callable[[int], data.Data]
    widths: tuple[int, ...]
    rate: float
    batch: int
    steps: int = 600

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.name}, {'-'.join(map(str, self.widths))}"

    def with_hidden(self, *hidden: int) -> "Setting":
        """The same with other hidden layers; without any the loss is convex."""
        return replace(self, widths=(self.widths[0], *hidden, self.widths[-1]))

    def problem(self, lab: Lab) -> Problem:
        """The network on its data."""
        return Problem(partial(network, self.widths), self.make(lab.seed), device=lab.device)

    @property
    def recipe(self) -> Recipe:
        """Momentum 0.9, weight decay 1e-3 on all parameters, a cosine to 0; evaluated at both ends."""
        rule = optim.Momentum(self.rate, weight_decay=1e-3)
        seen = Sample("train", 1_000)
        return Recipe(rule, self.steps, self.batch, schedules.Cosine(), evaluate=0, evaluate_train_on=seen)


def network(widths: tuple[int, ...]) -> nn.Sequential:
    """A perceptron with ReLU, weights by He's rule, biases zero."""
    net = nets.mlp(*widths)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def digits(seed: int) -> data.Data:
    """Digits split anew; from all pixels one mean is subtracted, and all are divided by one standard deviation.

    Both are of the training images.
    """
    split = data.digits().split_anew(TRAINED_DIGITS, seed=seed, stream="connectivity")
    assert split.test is not None
    parts: list[Any] = [part.take(torch.arange(len(part))) for part in (split.train, split.test)]
    (x, y), (held, classes) = parts
    center, scale = x.mean(), x.std()
    train, test = data.Examples((x - center) / scale, y), data.Examples((held - center) / scale, classes)
    return replace(split, train=train, test=test, notes=(*split.notes, "one mean and one scale of all pixels removed"))


def signals(_seed: int) -> data.Data:
    """MNIST-1D as published to train on, and 4,000 examples of a fresh draw of its generator to test on."""
    published, fresh = data.mnist1d(), data.mnist1d(train=4_000, test=10, seed=TESTED).train
    note = f"MNIST-1D, training examples of seed 42, 4,000 test examples of seed {TESTED}"
    return replace(published, test=fresh, notes=(note,))


DIGITS = Setting("digits", digits, (64, 64, 64, 10), rate=0.1, batch=50)
SIGNALS = Setting("MNIST-1D", signals, (40, 100, 100, 10), rate=0.3, batch=100)


@dataclass(frozen=True, eq=False)
class Ends:
    """Trained networks between which lines and curves are drawn; the i-th of all three belong together.

    No network is in two pairs or triples, so pairs are independent of one another, given the data.

    Args:
        setting: of which they are.
        problem: on which they were trained.
        first, second: of every pair.
        third: beside a pair, for what needs three.
        seeds: of initialization and data order: (triples, 3).
    """

    setting: Setting
    problem: Problem
    first: Population
    second: Population
    third: Population
    seeds: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.seeds)

    def few(self, count: int) -> "Ends":
        """The first so many."""
        chosen = slice(count)
        first, second, third = self.first[chosen], self.second[chosen], self.third[chosen]
        return replace(self, first=first, second=second, third=third, seeds=self.seeds[chosen])


def trained(lab: Lab, setting: Setting, seeds: Sequence[int], label: str = "") -> Ends:
    """Train a network for each seed, as one population; three seeds in a row make a triple."""
    if len(seeds) % OF_TRIPLE:
        msg = f"Ends are trained by threes; got {len(seeds)} seeds."
        raise ValueError(msg)
    problem = setting.problem(lab)
    run = lab.train(problem, setting.recipe, seeds, label or f"ends, {setting.text}")
    rows = torch.arange(len(seeds)).reshape(-1, OF_TRIPLE)
    first, second, third = (run.final[rows[:, place]] for place in range(OF_TRIPLE))
    triples = tuple(tuple(int(seeds[row]) for row in triple) for triple in rows.tolist())
    return Ends(setting, problem, first, second, third, triples)


@dataclass(frozen=True, eq=False)
class Shared:
    """The ends that CON1, CON2 and CON4 look at, so that their verdicts are not independent of one another.

    Args:
        digits: at both scales.
        signals: at full scale alone.
    """

    digits: Ends
    signals: Ends | None = None

    @property
    def all(self) -> tuple[Ends, ...]:
        """Of every setting of the scale."""
        return (self.digits,) if self.signals is None else (self.digits, self.signals)


def shared(lab: Lab) -> Shared:
    """Train them: 8 triples at quick scale, 10 in both settings at full scale."""
    seeds = lab.seeds(quick=8 * OF_TRIPLE, full=10 * OF_TRIPLE).scored
    return Shared(trained(lab, DIGITS, seeds), trained(lab, SIGNALS, seeds) if lab.scale == "full" else None)


def lowest(intervals: Sequence[Interval]) -> Interval:
    """Of intervals that are all to lie above a threshold, the one nearest to it; one that is unknown comes first."""
    return min(intervals, key=lambda one: one.low if one.known else -float("inf"))


def highest(intervals: Sequence[Interval]) -> Interval:
    """Of intervals that are all to lie below a threshold, the one nearest to it; one that is unknown comes first."""
    return max(intervals, key=lambda one: one.high if one.known else float("inf"))


def along(lines: Barrier, name: str, on: str) -> Array:
    """An array of barriers on some examples, of errors in points: (pairs, ...)."""
    table = lines[name][lines.reading.coordinate("on").tolist().index(on)]
    return 100 * table if name.startswith("error") else table
