"""The problems that the study trains on."""

import torch

from thalweg.data import digits, gaussian_linear, gaussian_teacher, mnist1d, modular
from thalweg.nets import convnet, convnet1d, mlp
from thalweg.population import Problem
from thalweg.studies.study import Context


def digits_mlp(context: Context) -> Problem:
    """Real digits, one hidden layer."""
    return Problem(lambda: mlp(64, 32, 10), digits(), device=context.device)


def mnist1d_mlp(context: Context) -> Problem:
    """The field's small benchmark, two hidden layers."""
    return Problem(lambda: mlp(40, 64, 64, 10), mnist1d(), device=context.device)


def teacher_mlp(context: Context) -> Problem:
    """Regression on a random two-layer teacher with Gaussian inputs."""
    data = gaussian_teacher(1024, 16, noise=0.1, seed=context.seed)
    return Problem(
        lambda: mlp(16, 64, 1, activation="tanh"), data, "squared_error", device=context.device, dtype=torch.float32
    )


def modular_mlp(context: Context) -> Problem:
    """Addition modulo 23 as a table to be learned."""
    return Problem(lambda: mlp(46, 128, 23), modular(23, train_fraction=0.8, seed=context.seed), device=context.device)


def digits_convnet(context: Context) -> Problem:
    """Real digits as images."""
    return Problem(lambda: convnet((8, 16)), digits(image=True), device=context.device)


def digits_linear(context: Context) -> Problem:
    """Logistic regression on real digits: convex."""
    return Problem(lambda: mlp(64, 10), digits(), device=context.device)


def digits_deep(context: Context) -> Problem:
    """Real digits, three hidden layers that saturate."""
    return Problem(lambda: mlp(64, 32, 32, 32, 10, activation="tanh"), digits(), device=context.device)


def noisy_digits_mlp(context: Context) -> Problem:
    """Real digits, a fifth of whose labels are wrong."""
    return Problem(lambda: mlp(64, 32, 10), digits().with_label_noise(0.2, context.seed), device=context.device)


def few_digits_mlp(context: Context) -> Problem:
    """So few digits that all of them make a batch."""
    return Problem(lambda: mlp(64, 32, 10), digits().subset(train=256, seed=context.seed), device=context.device)


def mnist1d_convnet(context: Context) -> Problem:
    """The field's small benchmark as a signal."""
    return Problem(lambda: convnet1d(8), mnist1d(), device=context.device)


def deep_linear(context: Context) -> Problem:
    """Linear regression by a product of three matrices: not convex, and badly conditioned."""
    data = gaussian_linear(1024, 16, noise=0.1, seed=context.seed)
    return Problem(
        lambda: mlp(16, 16, 16, 1, activation="identity"),
        data,
        "squared_error",
        device=context.device,
        dtype=torch.float32,
    )
