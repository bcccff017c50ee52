"""The problems that the study trains on."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import one_hot

from thalweg import data
from thalweg.nets import convnet, convnet1d, mlp
from thalweg.population import Problem
from thalweg.studies.lab import Lab


class Task(NamedTuple):
    """A data set, how it is made from the study's seed, and examples a step; None for all."""

    source: str  # of its examples; tasks of one source are no independent evidence
    make: Callable[[int], data.Data]
    batch: int | None


class Posed(NamedTuple):
    """A task with a model: what one population is trained on."""

    name: str
    source: str
    problem: Problem
    batch: int | None


# Data of all kinds: real images, a field benchmark, tables, text, a photograph, known functions, algebra.
TASKS: dict[str, Task] = {
    "digits": Task("digits", lambda seed: data.digits(), 128),
    "few digits": Task("digits", lambda seed: data.digits().subset(train=256, seed=seed), None),
    "MNIST-1D": Task("MNIST-1D", lambda seed: data.mnist1d(), 128),
    "teacher": Task("Gaussian", lambda seed: data.gaussian_teacher(1024, 16, noise=0.1, seed=seed), 128),
    "linear teacher": Task("Gaussian", lambda seed: data.gaussian_linear(1024, 16, noise=0.1, seed=seed), 64),
    "modular addition": Task("modular", lambda seed: data.modular(23, train_fraction=0.8, seed=seed), 128),
    "modular product": Task("modular", lambda seed: data.modular(19, "*", train_fraction=0.8, seed=seed), 64),
    "breast cancer": Task("breast cancer", lambda seed: data.table("breast_cancer", seed=seed), 32),
    "wine": Task("wine", lambda seed: data.table("wine", seed=seed), 32),
    "diabetes": Task("diabetes", lambda seed: data.table("diabetes", seed=seed), 32),
    "iris": Task("iris", lambda seed: data.table("iris", seed=seed), 32),
    "text": Task("text", lambda seed: next_byte(1024, 3, seed), 64),
    "photograph": Task("photograph", lambda seed: data.photograph(1024, seed=seed), 64),
    "Friedman": Task("Friedman", lambda seed: data.friedman(1024, seed=seed), 64),
    "parity": Task("parity", lambda seed: data.parity(1024, seed=seed), 64),
}
# From convex to saturating: inputs and outputs to a model.
MODELS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": lambda i, o: mlp(i, o),
    "shallow": lambda i, o: mlp(i, 32, o),
    "deep tanh": lambda i, o: mlp(i, 32, 32, 32, o, activation="tanh"),
    "deep linear": lambda i, o: mlp(i, 16, 16, o, activation="identity"),
}


def digits_mlp(lab: Lab) -> Problem:
    """Real digits, one hidden layer."""
    return Problem(lambda: mlp(64, 32, 10), data.digits(), device=lab.device)


def grid(lab: Lab, pairs: list[tuple[str, str]]) -> Iterator[Posed]:
    """Tasks with models, both by name."""
    for name, model in pairs:
        task = TASKS[name]
        problem = _problem(lab, task.make(lab.seed), MODELS[model])
        yield Posed(f"{name}, {model}", task.source, problem, task.batch)


def convolutional(lab: Lab) -> Iterator[Posed]:
    """Images and signals with the networks made for them."""
    image = Problem(lambda: convnet((4, 8)), data.digits(image=True), device=lab.device)
    signal = Problem(lambda: convnet1d(8), data.mnist1d(), device=lab.device)
    yield Posed("digits, convnet", "digits", image, 64)
    yield Posed("MNIST-1D, convnet", "MNIST-1D", signal, 64)


def next_byte(n: int, before: int, seed: int) -> data.Data:
    """The next byte of Python's documentation from the few before it, each as a one-hot code."""
    windows = data.text(context=before).subset(train=n, test=64, seed=seed)
    x, y = _all(windows)
    classes = len(windows.ground_truth["vocabulary"])
    return data.Data(data.Examples(one_hot(x, classes).flatten(1).float(), y[:, -1].clone()), None, "text", classes)


def _problem(lab: Lab, given: data.Data, model: Callable[[int, int], nn.Module]) -> Problem:
    x, y = _all(given)
    outputs = given.classes or y.shape[1]
    loss = "squared_error" if given.classes is None else "cross_entropy"
    return Problem(lambda: model(x.shape[1], outputs), given, loss, device=lab.device, dtype=torch.float32)


def _all(given: data.Data) -> tuple[Any, Any]:
    """All training examples of data whose inputs and targets are one tensor each."""
    return given.train.take(torch.arange(len(given.train)))
