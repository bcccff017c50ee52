"""The problems that the study trains on."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from thalweg.data import Data, digits, gaussian_linear, gaussian_teacher, mnist1d, modular, table
from thalweg.nets import convnet, convnet1d, mlp
from thalweg.population import Problem
from thalweg.studies.study import Context

# Data of all kinds (real images, a field benchmark, tables, known teachers, algebra) and the batch size, None for all.
DATA: dict[str, tuple[Callable[[int], Data], int | None]] = {
    "digits": (lambda seed: digits(), 128),
    "noisy digits": (lambda seed: digits().with_label_noise(0.2, seed), 128),
    "few digits": (lambda seed: digits().subset(train=256, seed=seed), None),
    "MNIST-1D": (lambda seed: mnist1d(), 128),
    "teacher": (lambda seed: gaussian_teacher(1024, 16, noise=0.1, seed=seed), 128),
    "linear teacher": (lambda seed: gaussian_linear(1024, 16, noise=0.1, seed=seed), 64),
    "modular addition": (lambda seed: modular(23, train_fraction=0.8, seed=seed), 128),
    "modular product": (lambda seed: modular(19, "*", train_fraction=0.8, seed=seed), 64),
    "breast cancer": (lambda seed: table("breast_cancer", seed=seed), 32),
    "wine": (lambda seed: table("wine", seed=seed), 32),
    "diabetes": (lambda seed: table("diabetes", seed=seed), 32),
}
# From convex to saturating: inputs and outputs to a model.
MODELS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": lambda i, o: mlp(i, o),
    "shallow": lambda i, o: mlp(i, 32, o),
    "deep tanh": lambda i, o: mlp(i, 32, 32, 32, o, activation="tanh"),
    "deep linear": lambda i, o: mlp(i, 16, 16, o, activation="identity"),
}


def digits_mlp(context: Context) -> Problem:
    """Real digits, one hidden layer."""
    return Problem(lambda: mlp(64, 32, 10), digits(), device=context.device)


def grid(context: Context, data: list[str], models: list[str]) -> Iterator[tuple[str, Problem, int | None]]:
    """Every data set with every model: name, problem and batch size."""
    for source in data:
        make, batch = DATA[source]
        rows = make(context.seed)
        for model in models:
            yield f"{source}, {model}", _problem(context, rows, MODELS[model]), batch


def convolutional(context: Context) -> Iterator[tuple[str, Problem, int | None]]:
    """Images and signals with the networks made for them."""
    yield "digits, convnet", Problem(lambda: convnet((8, 16)), digits(image=True), device=context.device), 64
    yield "MNIST-1D, convnet", Problem(lambda: convnet1d(8), mnist1d(), device=context.device), 64


def _problem(context: Context, data: Data, model: Callable[[int, int], nn.Module]) -> Problem:
    first: Any = data.train.take(torch.zeros(1, dtype=torch.long))[0]
    inputs, outputs = first.shape[1], data.classes or 1
    loss = "squared_error" if data.classes is None else "cross_entropy"
    return Problem(lambda: model(inputs, outputs), data, loss, device=context.device, dtype=torch.float32)
