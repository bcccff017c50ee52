"""What claims about wide networks share: digits of one norm, nets in NTK parameterization, one rate for all widths."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thalweg import data, nets, optim
from thalweg.data import Data, Examples
from thalweg.population import Population, Problem
from thalweg.randomness import generator
from thalweg.studies.lab import Lab
from thalweg.training import Recipe

# Hidden weights' standard deviation: what keeps the size of signals through ReLU; for tanh, on the side where two
# inputs grow apart, so that kernels are well conditioned.
WEIGHT_STD = {"relu": 2**0.5, "tanh": 1.5}
BIAS_STD = 0.1
ACTIVATIONS = tuple(WEIGHT_STD)


def digits_of_one_norm() -> tuple[Tensor, Tensor]:
    """All 1,797 digits, centered, every one scaled to the norm sqrt(64), and their classes: (1797, 64) and (1797,).

    Kernels of inputs of one norm have one number on their diagonal.
    """
    read = data.digits()
    assert isinstance(read.train, Examples)
    assert isinstance(read.test, Examples)
    pixels, classes = (
        torch.cat(pair) for pair in ((read.train.inputs, read.test.inputs), (read.train.targets, read.test.targets))
    )
    centered = pixels.double() - pixels.double().mean(0)
    return (8 * centered / centered.norm(dim=1, keepdim=True)).float(), classes


def parity() -> Data:
    """Those digits with the target +1 where the digit is even, -1 where it is odd."""
    pixels, classes = digits_of_one_norm()
    targets = (1 - 2 * (classes % 2)).float()[:, None]
    return Data(Examples(pixels, targets), name="digits by parity", notes=("digits, centered, of norm 8; target +-1",))


def dealt(examples: int, seeds: list[int], *sizes: int) -> list[Int64[Tensor, "seeds n"]]:
    """For every seed its own sets of these sizes, which share no example: one table (seeds, size) a size."""
    rows = [torch.randperm(examples, generator=generator(seed, "ntk examples")) for seed in seeds]
    return list(torch.stack(rows)[:, : sum(sizes)].split(list(sizes), 1))


def network(widths: tuple[int, ...], activation: str, readout_power: float = 0.5) -> nn.Sequential:
    """In NTK parameterization, or with readout_power 1 in that of a mean field."""
    return nets.ntk_mlp(
        *widths,
        activation=activation,
        weight_std=WEIGHT_STD[activation],
        bias_std=BIAS_STD,
        readout_power=readout_power,
    )


def problem_of(
    lab: Lab,
    on: Data,
    widths: tuple[int, ...],
    activation: str,
    *,
    readout_power: float = 0.5,
    dtype: torch.dtype | None = None,
) -> Problem:
    """Squared error of one such network."""
    model = partial(network, widths, activation, readout_power)
    return Problem(model, on, "squared_error", device=lab.device, dtype=dtype)


def descent(rate: float, steps: int, examples: int, outputs: int = 1, **when: int | tuple[int, ...]) -> Recipe:
    """Gradient descent at a rate on 1/2 sum (f - y)^2 over the examples and outputs.

    The loss of a problem is the mean of (f - y)^2, whose gradient is 2 / (examples x outputs) times as large.
    """
    return Recipe(optim.SGD(rate * examples * outputs / 2), steps, examples, **{"evaluate": 0, **when})


def largest_rate(kernels: Float[Tensor, "*seeds n n"]) -> float:
    """1 / the largest eigenvalue of any of them."""
    return 1 / float(torch.linalg.eigvalsh(kernels.double())[..., -1].max())


def untrained(lab: Lab, model: Callable[[], nn.Module], inputs: Tensor, dtype: torch.dtype | None = None) -> Problem:
    """Networks that are only asked about these inputs; their targets are zeros."""
    zeros = torch.zeros_like(model()(inputs))
    return Problem(model, Data(Examples(inputs, zeros)), "squared_error", device=lab.device, dtype=dtype)


def drawn(lab: Lab, problem: Problem, networks: int, purpose: str, numbers: int = 2**24) -> Iterator[Population]:
    """Networks all of whose parameters are N(0, 1), in populations of so many numbers at most.

    That is how a network in NTK parameterization starts.
    """
    one, at = problem.initialize([lab.seed]), 0
    most = max(1, numbers // one.theta.shape[1])
    while at < networks:
        count = min(most, networks - at)
        random = torch.randn(count, one.theta.shape[1], generator=generator(lab.seed, purpose, at))
        yield one.with_theta(random.to(one.theta))
        at += count
