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


def share_of(kernel: Float[Tensor, "*members n n"], share: float) -> Float[Tensor, "*members"]:
    """A ridge that is this share of the mean of each kernel's diagonal."""
    return share * kernel.diagonal(dim1=-2, dim2=-1).double().mean(-1)


def digits_of_one_norm() -> tuple[Tensor, Tensor]:
    """All 1,797 digits, centered, every one scaled to the norm sqrt(64), and their classes: (1797, 64) and (1797,).

    Kernels of inputs of one norm have one number on their diagonal.
    """
    read = data.digits()
    assert isinstance(read.train, Examples)
    assert isinstance(read.test, Examples)
    inputs, targets = zip(*((part.inputs, part.targets) for part in (read.train, read.test)), strict=True)
    pixels, classes = (torch.cat([one for one in both if isinstance(one, Tensor)]) for both in (inputs, targets))
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


def descent(
    rate: float,
    steps: int,
    examples: int,
    outputs: int = 1,
    *,
    evaluate: int | tuple[int, ...] = 0,
    snapshot: int | tuple[int, ...] = 0,
) -> Recipe:
    """Gradient descent at a rate on 1/2 sum (f - y)^2 over the examples and outputs.

    The loss of a problem is the mean of (f - y)^2, whose gradient is 2 / (examples x outputs) times as large.
    """
    return Recipe(optim.SGD(rate * examples * outputs / 2), steps, examples, evaluate=evaluate, snapshot=snapshot)


def largest_rate(kernels: Float[Tensor, "*seeds n n"]) -> float:
    """1 / the largest eigenvalue of any of them."""
    return 1 / float(torch.linalg.eigvalsh(kernels.double())[..., -1].max())


def own_kernels(
    problem: Problem, population: Population, inputs: Float[Tensor, "members n d"], first: int | None = None
) -> Float[Tensor, "members n first"]:
    """The tangent kernel of every member between inputs of its own and the first of them; None: all.

    Of such a network with one output it is a sum over layers: what `ntk.empirical_kernels` gives for inputs that all
    members share.

        Theta = sum_l (weight_scale^2 h h'^T + bias_scale^2) (d f / d z) (d f' / d z')^T
    """
    tensors, kernel = dict(population.layout.views(population.theta)), torch.zeros(())
    with torch.enable_grad():
        values = inputs.to(population.theta, copy=True).requires_grad_()
        layers, given, made = [], [], []
        for name, layer in problem.template.named_children():
            if not isinstance(layer, nets.ScaledLinear):
                values = layer(values)
                continue
            given.append(values.detach())
            bias = layer.bias_scale * tensors[f"{name}.bias"][:, None]
            values = layer.weight_scale * values @ tensors[f"{name}.weight"].mT + bias
            layers.append(layer)
            made.append(values)
        gradients = torch.autograd.grad(values.sum(), made)
    for layer, one, gradient in zip(layers, given, gradients, strict=True):
        seen = layer.weight_scale**2 * one @ one[:, :first].mT + layer.bias_scale**2
        kernel = kernel + (seen * (gradient @ gradient[:, :first].mT)).cpu().double()
    return kernel


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
