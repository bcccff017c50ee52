"""Fully connected nets drawn at random, all of one activation trained as one stack, each until its loss is low."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thalweg.optim import Rule, StepHyperparameters
from thalweg.randomness import generator

Array = NDArray[np.float64]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "erf": torch.erf,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
}
DEEPEST = 6


@dataclass(frozen=True)
class Architecture:
    """A fully connected net in NTK parameterization, of any width."""

    activation: str
    depth: int
    weight_std: float
    bias_std: float


def drawn(seed: int, count: int) -> list[Architecture]:
    """Architectures at random, as many of each activation."""
    rng, kinds = np.random.default_rng([seed, 9]), list(ACTIVATIONS)
    return [
        Architecture(
            kinds[number % len(kinds)],
            int(rng.integers(1, DEEPEST + 1)),
            float(rng.uniform(0.9, 2.0)),
            float(rng.uniform(0.05, 0.5)),
        )
        for number in range(count)
    ]


@dataclass(frozen=True, eq=False)
class Stack:
    """Nets of one activation, the deepest first, so that layer l holds those first nets that are at least so deep.

    Args:
        activation: elementwise.
        depths: descending: (nets,).
        weight_std, bias_std: (nets, 1, 1).
        layers: weights and biases of every hidden layer, (deep enough, d, width) and (deep enough, 1, width), and last
            of the readout, (nets, width, 1) and (nets, 1, 1).
    """

    activation: Callable[[Tensor], Tensor]
    depths: Tensor
    weight_std: Tensor
    bias_std: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def of(cls, architectures: list[Architecture], seeds: list[int], features: int, width: int) -> "Stack":
        """Initial nets of architectures of one activation, the deepest first."""
        depths = torch.tensor([one.depth for one in architectures])
        draws = [generator(seed, "ntk architecture") for seed in seeds]

        def normal(count: int, *shape: int) -> Tensor:
            return torch.stack([torch.randn(shape, generator=draw) for draw in draws[:count]])

        layers = []
        for layer in range(1, int(depths[0]) + 1):
            count = int((depths >= layer).sum())
            layers.append((normal(count, features if layer == 1 else width, width), normal(count, 1, width)))
        layers.append((normal(len(depths), width, 1), normal(len(depths), 1, 1)))
        weight, bias = (
            torch.tensor([[[number]] for number in numbers])
            for numbers in ([one.weight_std for one in architectures], [one.bias_std for one in architectures])
        )
        return cls(ACTIVATIONS[architectures[0].activation], depths, weight, bias, tuple(layers))

    def kept(self, which: Bool[Tensor, " nets"]) -> "Stack":
        """Only these nets."""
        layers = tuple(
            (weight[which[: len(weight)]], bias[which[: len(bias)]])
            for weight, bias in self.layers
            if bool(which[: len(weight)].any())
        )
        return Stack(self.activation, self.depths[which], self.weight_std[which], self.bias_std[which], layers)

    def repeated(self, times: int) -> "Stack":
        """Every net so often, one after the other."""
        depths, weight_std, bias_std = (
            one.repeat_interleave(times, 0) for one in (self.depths, self.weight_std, self.bias_std)
        )
        layers = tuple(
            (one.repeat_interleave(times, 0), other.repeat_interleave(times, 0)) for one, other in self.layers
        )
        return Stack(self.activation, depths, weight_std, bias_std, layers)

    def tracked(self) -> "Stack":
        """The same numbers anew, of which gradients may be taken."""
        layers = (
            (weight.detach().clone().requires_grad_(), bias.detach().clone().requires_grad_())
            for weight, bias in self.layers
        )
        return replace(self, layers=tuple(layers))

    @property
    def tensors(self) -> list[Tensor]:
        """All weights and biases."""
        return [one for pair in self.layers for one in pair]

    def outputs(self, inputs: Float[Tensor, "nets n d"]) -> tuple[Float[Tensor, "nets n"], list[tuple[Tensor, Tensor]]]:
        """f, and of every hidden layer what it is given and its pre-activations."""
        values, read, along = inputs, [], []
        for layer, (weight, bias) in enumerate(self.layers[:-1], start=1):
            count = len(weight)
            given = values[:count]
            made = torch.baddbmm(
                bias * self.bias_std[:count], given * (self.weight_std[:count] / math.sqrt(given.shape[-1])), weight
            )
            values = self.activation(made)
            along.append((given, made))
            read.append(values[int((self.depths > layer).sum()) :])
        weight, bias = self.layers[-1]
        last = torch.cat(read[::-1])
        return (last @ weight / math.sqrt(last.shape[-1]) + self.bias_std * bias)[..., 0], [*along, (last, last)]

    def kernels(self, inputs: Float[Tensor, "nets n d"]) -> Float[Tensor, "nets n n"]:
        """The tangent kernel of every net: sum_l (sigma_w^2 h h'^T / d + sigma_b^2) (df / dz) (df' / dz')^T."""
        with torch.enable_grad():
            outputs, along = self.tracked().outputs(inputs)
            gradients = torch.autograd.grad(outputs.sum(), [made for _, made in along[:-1]])
        last = along[-1][0].detach()
        kernel = last @ last.mT / last.shape[-1] + self.bias_std**2
        for (given, _), gradient in zip(along[:-1], gradients, strict=True):
            count, seen = len(gradient), given.detach() * self.weight_std[: len(given)]
            own = seen @ seen.mT / seen.shape[-1] + self.bias_std[:count] ** 2
            kernel[:count] += own * (gradient @ gradient.mT)
        return kernel


@dataclass(frozen=True)
class Trained:
    """Steps to the level, the cap where it was not reached, and the accuracy on held-out examples then: (nets,)."""

    steps: Array
    accuracy: Array


def train(
    stack: Stack,
    data: tuple[Tensor, Tensor],
    held: tuple[Tensor, Tensor],
    rates: Float[Tensor, " nets"],
    *,
    rule: Rule,
    cap: int,
    level: float = 0.01,
) -> Trained:
    """Minimize 1/2 sum (f - f_0 - y)^2 of every net at its own rate until it is this share of its first.

    Args:
        data, held: inputs (nets, n, d) and targets of +-1 (nets, n).
        rates: of every net, in the place of the rule's.
        rule: elementwise, such as `optim.SGD` and `optim.Adam`.
    """
    stack = stack.tracked()
    with torch.no_grad():
        start, started = (stack.outputs(inputs)[0] for inputs, _ in (data, held))
    (inputs, targets), (tested, labels) = (data[0], data[1] + start), held
    first, rates, numbers = data[1].square().sum(1), rates.double(), rule.hyper_parameters() | {"schedule": 1.0}
    steps, accuracy, names = np.full(len(rates), float(cap)), np.full(len(rates), np.nan), np.arange(len(rates))
    memory = [{slot: torch.zeros_like(one).flatten(1) for slot in rule.slots} for one in stack.tensors]
    for step in range(cap + 1):
        losses = (stack.outputs(inputs)[0] - targets).square().sum(1)
        done = (losses <= level * first) if step < cap else torch.ones_like(losses, dtype=torch.bool)
        if bool(done.any()):
            with torch.no_grad():
                answers = stack.kept(done).outputs(tested[done])[0] - started[done]
            here = names[done.numpy()]
            steps[here] = step
            accuracy[here] = (answers * labels[done] > 0).double().mean(1).numpy()
            if bool(done.all()):
                break
            left = ~done
            kept = [bool(left[: len(one)].any()) for one in stack.tensors]
            memory = [
                {slot: of[left[: len(of)]] for slot, of in one.items()}
                for one, some in zip(memory, kept, strict=True)
                if some
            ]
            stack = stack.kept(left).tracked()
            inputs, targets, tested, labels, started, first, rates = (
                one[left] for one in (inputs, targets, tested, labels, started, first, rates)
            )
            names = names[left.numpy()]
            losses = (stack.outputs(inputs)[0] - targets).square().sum(1)
        gradients = torch.autograd.grad(losses.sum() / 2, stack.tensors)
        with torch.no_grad():
            for one, gradient, state in zip(stack.tensors, gradients, memory, strict=True):
                h = StepHyperparameters(numbers | {"lr": rates[: len(one), None]}, step + 1)
                rule.update(one.flatten(1), gradient.flatten(1), state, h, torch.empty_like(one).flatten(1))
    return Trained(steps, accuracy)
