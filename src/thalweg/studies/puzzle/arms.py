"""What GEN4 trains: a plain perceptron, and the same with weight decay, with dropout, or on shifted examples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg import data, nets, optim, sweep
from thalweg.data import Data, Examples, pooled
from thalweg.generalization.dealt import drawn_anew
from thalweg.population import Problem
from thalweg.studies.lab import Lab, Seeds
from thalweg.training import Recipe

Array = NDArray[np.float64]
NONE, SHIFTS = "none", "shifts"
# A decay and a dropout stronger than those planned, so that the strongest of a kind is one that hurts and the choice
# lies inside: a stronger one mostly raises what the choice gains, which makes the claim harder.
DECAYS, DROPOUTS = (0.1, 0.3, 1.0, 3.0, 10.0), (0.2, 0.5, 0.8)
CHANCE = 0.1
SIGNALS, DIGITS, NOISY = "MNIST-1D", "digits", "digits, 40 % random labels"


@dataclass(frozen=True)
class Setting:
    """What is trained, with every arm, on sets that each seed draws for itself.

    Args:
        name: of the data.
        widths: of the inputs, the hidden layer and the outputs.
        n, tested: examples to train and to test on; None: all others.
        steps, rate: of Adam with batches of 100.
        decays, dropouts: the arms beside none.
        random: the share of training labels that are random.
        shifted: whether there is an arm with inputs shifted by one at most.
    """

    name: str
    widths: tuple[int, int, int]
    n: int
    steps: int
    rate: float
    decays: tuple[float, ...] = DECAYS
    dropouts: tuple[float, ...] = DROPOUTS
    tested: int | None = None
    random: float = 0.0
    shifted: bool = True

    @property
    def parts(self) -> tuple[int, ...]:
        """A quarter, a half and all of the steps, after which accuracy is measured."""
        return tuple(self.steps * part // 4 for part in (1, 2, 4))


QUICK = Setting(DIGITS, (64, 128, 10), 500, 800, 3e-3, (1.0,), (0.5,), shifted=False)
SETTINGS = (
    Setting(SIGNALS, (40, 128, 10), 2_000, 3_000, 2e-3, tested=4_000),
    Setting(DIGITS, (64, 128, 10), 500, 1_500, 2e-3),
    # Planned were 1,000 steps, which fit 95 % of these labels; 1,500, as of digits, fit more than 99 %.
    Setting(NOISY, (64, 128, 10), 500, 1_500, 3e-3, random=0.4, shifted=False),
)


@dataclass(frozen=True, eq=False)
class Arms:
    """One setting trained with every arm.

    Args:
        setting: which one.
        seeds: to choose on, and to score.
        test: accuracy of every arm by its name, after a quarter, a half and all of the steps: (3, all seeds).
        train: of the plain network at the end: (all seeds,).
    """

    setting: Setting
    seeds: Seeds
    test: Mapping[str, Array]
    train: Array

    @property
    def choosing(self) -> int:
        """How many seeds come first, to choose on."""
        return len(self.seeds.shared_tuning)

    @property
    def choices(self) -> list[str]:
        """Every decay and dropout."""
        return [arm for arm in self.test if arm not in (NONE, SHIFTS)]

    @cached_property
    def best(self) -> str:
        """The decay or dropout with the highest test accuracy on the seeds to choose on."""
        return max(self.choices, key=lambda arm: self.test[arm][-1, : self.choosing].mean())

    @property
    def at_edge(self) -> bool:
        """Whether the best is the strongest of its kind, of several."""
        kind = [arm for arm in self.choices if arm.split()[0] == self.best.split()[0]]
        return len(kind) > 1 and self.best == kind[-1]

    def scored(self, arm: str) -> Array:
        """Test accuracy at the end on scored seeds: (seeds,)."""
        return self.test[arm][-1, self.choosing :]

    def gap(self, arm: str) -> Array:
        """What an arm gains over none: (seeds,)."""
        return self.scored(arm) - self.scored(NONE)

    def ratio(self, arm: str) -> Array:
        """The gap over what the plain network has above chance: (seeds,)."""
        return self.gap(arm) / (self.scored(NONE) - CHANCE)

    @property
    def later(self) -> Array:
        """By how much the second half of training moves the plain network: (seeds,)."""
        return self.test[NONE][-1, self.choosing :] - self.test[NONE][1, self.choosing :]


def source(setting: Setting) -> Data:
    """All examples that are drawn from."""
    return data.mnist1d(train=19_000, test=1_000) if setting.name == SIGNALS else data.digits()


def shifted(examples: Examples, widths: tuple[int, int, int]) -> list[Examples]:
    """The examples moved by one place at most in every direction, zeros coming in: 9 copies of images, 3 of signals."""
    inputs = torch.as_tensor(examples.inputs)
    images = inputs.view(-1, 8, 8) if widths[0] == 64 else inputs[:, None]
    around = nn.functional.pad(images, (1, 1, 1, 1))
    rows, columns = images.shape[1:]
    downs = range(3) if rows > 1 else (1,)
    return [
        Examples(around[:, down : down + rows, right : right + columns].reshape(len(images), -1), examples.targets)
        for down in downs
        for right in range(3)
    ]


def dropped(widths: tuple[int, int, int], share: float) -> nn.Sequential:
    """The same perceptron, at the same initialization, with dropout of its hidden layer."""
    layers = dict(nets.mlp(*widths).named_children())
    return nn.Sequential(layers["hidden1"], layers["activation1"], nn.Dropout(share), layers["output"])


def sets_of(setting: Setting, seeds: list[int]) -> tuple[list[Examples], Examples, Tensor]:
    """The training set of every seed, all examples with true labels, and which of them each seed is tested on."""
    sets, whole, tested = drawn_anew(source(setting), setting.n, seeds, stream="regularization", test=setting.tested)
    if setting.random:
        clean = [Data(one, classes=10) for one in sets]
        noisy = [one.with_random_labels(setting.random, seed) for one, seed in zip(clean, seeds, strict=True)]
        sets = [one.train for one in noisy if isinstance(one.train, Examples)]
    return sets, whole, tested


def trained(lab: Lab, setting: Setting, seeds: Seeds) -> Arms:
    """Train every arm, those with decay as one population; all see the same sets, starts and test examples."""
    every = seeds.shared_tuning + seeds.scored
    sets, whole, tested = sets_of(setting, every)
    own, plain = pooled(sets), partial(nets.mlp, *setting.widths)

    def run(
        name: str, model: Callable[[], nn.Module], rule: optim.AdamW, on: tuple[Examples, Tensor] = own
    ) -> tuple[Array, Array]:
        """Test accuracy after each part of the steps, and training accuracy after the last."""
        problem = Problem(model, Data(on[0], whole, setting.name, 10), device=lab.device)
        recipe = Recipe(rule, setting.steps, 100, evaluate=setting.parts)
        label = f"{setting.name}, {name}"
        history = lab.train(problem, recipe, every, label, examples=on[1], test_examples=tested).history
        return history["test_accuracy"][1:], history["train_accuracy"][-1]

    without = optim.AdamW(setting.rate, weight_decay=0.0)
    decays = optim.AdamW(setting.rate, weight_decay=sweep.values([0.0, *setting.decays]))
    accuracy, fitted = run("weight decay", plain, decays)
    names = [NONE, *(f"decay {one:g}" for one in setting.decays)]
    test = dict(zip(names, np.split(accuracy, len(names), axis=1), strict=True))
    for share in setting.dropouts:
        name = f"dropout {share:g}"
        test[name], _ = run(name, partial(dropped, setting.widths, share), without)
    if setting.shifted:
        pool, table = pooled([one for each in sets for one in shifted(each, setting.widths)])
        test[SHIFTS], _ = run(SHIFTS, plain, without, (pool, table.reshape(len(every), -1)))
    return Arms(setting, seeds, test, fitted[: len(every)])
