"""Covariances of outputs given the features of the last hidden layer, of networks before training and in the limit."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.evaluation import outputs
from thalweg.randomness import generator
from thalweg.statistics import Interval, distance_of_mean
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.setting import BIAS_STD, WEIGHT_STD, drawn, network, untrained

Array = NDArray[np.float64]
LAYERS, BATCHES = 3, 20


@dataclass(frozen=True)
class Covariances:
    """Khat of every network of one kind, by width.

    Args:
        widths: of the hidden layers.
        found: one array a width, (networks, digits, digits).
        right: the analytic covariance, (digits, digits).
        wrong: others by what is wrong with them.
    """

    widths: tuple[int, ...]
    found: list[Array]
    right: Array
    wrong: Mapping[str, Array]

    def non_gaussianity(self, batches: int = BATCHES) -> Array:
        """J = E |L^-1 (Khat - E Khat) L^-T|^2 / n, K = L L^T, over the networks of every batch: (widths, batches).

        Whitened outputs that are Gaussian have J = 0; of independent features N(0, K), m of them, it is (n + 1) / m.
        """
        inverse = np.linalg.inv(np.linalg.cholesky(self.right))
        rows = []
        for one in self.found:
            white = (inverse @ one @ inverse.T).reshape(batches, -1, *self.right.shape)
            rows.append(white.var(1, ddof=1).sum((1, 2)) / len(self.right))
        return np.stack(rows)

    def away(self, other: Array | None = None) -> Interval:
        """How far the mean at the widest is from the analytic covariance, or from another one."""
        return distance_of_mean([self.found[-1]], self.right if other is None else other)

    def kurtosis(self) -> Array:
        """Excess kurtosis of one output, 3 Var Khat(x, x) / (E Khat(x, x))^2, mean over digits: (widths,)."""
        own = [np.diagonal(one, axis1=1, axis2=2) for one in self.found]
        return np.array([(3 * one.var(0) / one.mean(0) ** 2).mean() for one in own])

    def outputs(self, seed: int) -> list[Array]:
        """One output of every network on the first digit, divided by its analytic deviation: (networks,) a width."""
        random = torch.randn(len(self.found), len(self.found[0]), generator=generator(seed, "ntk outputs")).numpy()
        return [np.sqrt(one[:, 0, 0] / self.right[0, 0]) * row for one, row in zip(self.found, random, strict=True)]


def analytic(
    inputs: Tensor, activation: str, layers: int = LAYERS, like: str = "", bias_std: float = BIAS_STD
) -> Array:
    """The covariance of one output in the limit, with the weights' standard deviation of this or another activation."""
    weight_std = WEIGHT_STD[like or activation]
    limit = ntk.over_depth(inputs, activation=activation, weight_std=weight_std, bias_std=bias_std, depths=[layers])
    return limit.nngp[0].numpy()


def limits(inputs: Tensor, activation: str, other: str) -> tuple[Array, dict[str, Array]]:
    """The analytic covariance, and those without biases, of one layer less, and of another activation."""
    return analytic(inputs, activation), {
        "without biases": analytic(inputs, activation, bias_std=0.0),
        "of one layer less": analytic(inputs, activation, LAYERS - 1),
        "of another activation": analytic(inputs, other, like=activation),
    }


def covariances(
    lab: Lab,
    inputs: Tensor,
    activation: str,
    widths: tuple[int, ...],
    networks: int,
    limit: tuple[Array, dict[str, Array]],
    narrow: int | None = None,
) -> Covariances:
    """Draw networks of every width, to be compared with `limits`; a middle layer stays narrow where it is given."""
    found = []
    for width in widths:
        sizes = (inputs.shape[1], width, narrow or width, width, 1)
        problem = untrained(lab, lambda sizes=sizes: network(sizes, activation)[:-1], inputs)
        some = drawn(lab, problem, networks, f"ntk1 {activation} {sizes}")
        features = (outputs(problem, one).double().cpu() for one in some)
        found.append(torch.cat([one @ one.mT / width + BIAS_STD**2 for one in features]).numpy())
    return Covariances(widths, found, *limit)
