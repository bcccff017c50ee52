"""What NTK8 and NTK10 share: centered nets of one hidden layer on examples of each seed's own, and their kernel."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg import data, ntk
from thalweg.data import Data, Examples
from thalweg.evaluation import outputs
from thalweg.population import Problem
from thalweg.randomness import generator
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.setting import (
    BIAS_STD,
    WEIGHT_STD,
    dealt,
    descent,
    digits_of_one_norm,
    largest_rate,
    problem_of,
)
from thalweg.training import Run

Array = NDArray[np.float64]
POWERS = {"NTK": 0.5, "muP": 1.0}  # of the width, by which the output is divided


@dataclass(frozen=True)
class Task:
    """What every seed learns, and on what it is tested.

    Args:
        name: of the task.
        seeds: whose examples are dealt.
        inputs, targets: of all examples: (examples, d), and (examples, outputs) of squared error.
        train, test: every seed's examples, by index: (seeds, n), (seeds, k).
    """

    name: str
    seeds: list[int]
    inputs: Float[Tensor, "examples d"]
    targets: Float[Tensor, "examples outputs"]
    train: Int64[Tensor, "seeds n"]
    test: Int64[Tensor, "seeds k"]

    def kernels(self) -> tuple[Float[Tensor, "seeds n n"], Float[Tensor, "seeds k n"]]:
        """The analytic tangent kernel of such nets, on the training examples and of test with training ones."""
        train, test = (self.inputs[rows] for rows in (self.train, self.test))
        first, cross = (
            ntk.over_depth(one, train, weight_std=WEIGHT_STD["relu"], bias_std=BIAS_STD, depths=[1]).ntk[0]
            for one in (train, test)
        )
        return first, cross

    def accuracies(self, outputs: Array) -> Array:
        """Of outputs on the test examples, (seeds, ..., k, outputs): (seeds, ...)."""
        alone = self.targets.shape[1] == 1
        labels = self.targets[:, 0].sign() if alone else self.targets.argmax(1)
        return np.array([ntk.accuracy(one, labels[rows].numpy()) for one, rows in zip(outputs, self.test, strict=True)])


def right(answers: Tensor, targets: Tensor) -> Tensor:
    """Whether every example's answer is right, by the sign of a single output, else by the largest."""
    if targets.shape[-1] == 1:
        return (answers * targets > 0)[..., 0]
    return answers.argmax(-1) == targets.argmax(-1)


def two_parity(seeds: list[int], examples: int, tested: int, *, bits: int = 20, coin: bool = False) -> Task:
    """y = x1 x2 of vectors of +-1, no two of a seed's alike; with `coin`, y is the toss of a coin."""
    inputs, targets = [], []
    for seed in seeds:
        draw = generator(seed, "ntk parity")
        numbers = torch.randperm(2**bits, generator=draw)[: examples + tested]
        signs = 1 - 2.0 * (numbers[:, None] >> torch.arange(bits) & 1)
        tossed = 1 - 2.0 * torch.randint(2, (len(numbers),), generator=draw)
        inputs.append(signs)
        targets.append(tossed if coin else signs[:, 0] * signs[:, 1])
    rows = torch.arange(len(seeds) * (examples + tested)).reshape(len(seeds), -1)
    train, test = rows[:, :examples], rows[:, examples:]
    return Task("2-parity", seeds, torch.cat(inputs), torch.cat(targets)[:, None], train, test)


def classes(seeds: list[int], examples: int, tested: int, of: str = "digits") -> Task:
    """Digits of one norm, or the signals of MNIST-1D, by one-hot targets less their mean."""
    if of == "digits":
        inputs, labels = digits_of_one_norm()
    else:
        train = data.mnist1d().train
        assert isinstance(train, Examples)
        inputs, labels = train.inputs, train.targets
        assert isinstance(inputs, Tensor)
        assert isinstance(labels, Tensor)
        inputs = inputs.flatten(1)
        inputs = (inputs - inputs.mean(0)) / inputs.std()
    rows = dealt(len(inputs), seeds, examples, tested)
    return Task(of, seeds, inputs, ntk.one_hot(labels, 10).float(), *rows)


def infinite(task: Task, steps: int) -> tuple[Array, float]:
    """Accuracies of the kernel after as many steps as the nets take, (seeds,), and the rate of all of them."""
    kernel, cross = task.kernels()
    rate = largest_rate(kernel)
    path = ntk.gradient_descent(kernel, cross, task.targets[task.train], lr=rate, steps=steps)
    return task.accuracies(path["test"][:, 0]), rate


@dataclass(frozen=True, eq=False)
class Learned:
    """Nets that were trained, and on how many test examples each is right: (members,)."""

    run: Run
    accuracy: Array

    def steps_to(self, level: float) -> Array:
        """The first step at which every net's loss is this share of its first, infinite where none is: (members,)."""
        loss = self.run.history.batch_loss
        there = loss <= level * loss[0]
        return np.where(there.any(0), there.argmax(0), np.inf)


def trained(lab: Lab, task: Task, hidden: int, parameterization: str, rate: float, steps: int) -> Learned:
    """A net for every seed; in muP the rate is `hidden` times as large, since the kernel is that much smaller.

    It is f - f_0 that learns the targets, as of `nets.centered`: f learns them plus f_0, which is known once and for
    all.
    """
    power, n, outs = POWERS[parameterization], task.train.shape[1], task.targets.shape[1]
    rows = torch.cat([task.train, task.test], 1)
    inputs, targets = (part[rows] for part in (task.inputs, task.targets))
    widths, own = (inputs.shape[-1], hidden, outs), torch.arange(rows.numel()).reshape(rows.shape)

    def problem(values: Tensor) -> Problem:
        examples = Examples(inputs.flatten(0, 1), values.flatten(0, 1))
        return problem_of(lab, Data(examples, name=task.name), widths, "relu", readout_power=power)

    plain = problem(targets)
    start = outputs(plain, plain.initialize(task.seeds), "train", rows=own, plan="stacked").cpu()
    centered = problem(targets + start)
    recipe = descent(rate * hidden ** (2 * power - 1), steps, n, outs)
    label = f"{task.name}, {parameterization}, width {hidden:,}"
    run = lab.train(centered, recipe, task.seeds, label, examples=own[:, :n])
    end = outputs(centered, run.final, "train", rows=own[:, n:], plan=run.plans["outputs"]).cpu()
    return Learned(run, right(end - start[:, n:], targets[:, n:]).double().mean(1).numpy())
