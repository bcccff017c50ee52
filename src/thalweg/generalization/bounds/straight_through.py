"""Numbers on a few levels, trained as if rounding were not there, and how many bits write them down."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import gammaln
from torch import Tensor

from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.latents import Latents, Vectors, train_latents
from thalweg.generalization.bounds.trainings import Table
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher
from thalweg.training import Recipe


def on_levels(latents: Latents, levels: Tensor) -> Latents:
    """The nearest of so many levels at distance 1 that lie evenly around 0, for each member its number of levels.

    >>> import torch
    >>> from thalweg.generalization.bounds.straight_through import on_levels
    >>> on_levels(torch.tensor([[-9.0, 0.2, 0.8, 2.0]]), torch.tensor([[4]])).tolist()
    [[-1.5, 0.5, 0.5, 1.5]]
    >>> on_levels(torch.tensor([[-9.0, 0.2, 0.8, 2.0]]), torch.tensor([[3]])).tolist()
    [[-1.0, 0.0, 1.0, 1.0]]
    """
    half = (levels - 1) / 2
    return torch.minimum((latents + half).round().clamp_min(0), levels - 1) - half


def ternary_bits(codes: Latents) -> Array:
    """Bits of numbers -1, 0 and 1: how often each occurs, and which of all such orders it is: (members,).

        log2((n + 1)(n + 2)/2) + log2(n! / (n_- ! n_0 ! n_+ !))

    >>> import torch
    >>> from thalweg.generalization.bounds.straight_through import ternary_bits
    >>> ternary_bits(torch.tensor([[1.0, 0.0], [0.0, 0.0]])).round(3).tolist()  # log2 of 6 x 2, and of 6
    [3.585, 2.585]
    """
    n = codes.shape[1]
    counts = np.stack([(codes == value).sum(1).cpu().numpy() for value in (-1, 0, 1)])
    orders = gammaln(n + 1) - gammaln(counts + 1).sum(0)
    return np.log2((n + 1) * (n + 2) / 2) + orders / math.log(2)


@dataclass(frozen=True, eq=False)
class Placed:
    """How codes become weights: theta = base + scale (codes times a matrix of each seed, or as they are).

    Args:
        base: (members, parameters).
        scale: (members, 1).
        maps: for each seed a matrix: (seeds, codes, parameters), and members have the seeds in order, again and again;
            None: there are as many codes as parameters.
    """

    base: Vectors
    scale: Tensor
    maps: Float[Tensor, "seeds codes parameters"] | None

    def weights(self, codes: Latents, out: Vectors) -> None:
        """Write the weights of all members."""
        if self.maps is None:
            torch.addcmul(self.base, self.scale, codes, out=out)
            return
        moved = torch.bmm(_by_seed(self.scale * codes, len(self.maps)), self.maps)
        torch.add(self.base, moved.transpose(0, 1).reshape(self.base.shape), out=out)

    def pulled(self, gradient: Vectors) -> Latents:
        """Gradients in the codes, of those in the weights."""
        if self.maps is None:
            return self.scale * gradient
        found = torch.bmm(_by_seed(gradient, len(self.maps)), self.maps.transpose(1, 2))
        return self.scale * found.transpose(0, 1).reshape(len(gradient), -1)


def _by_seed(rows: Float[Tensor, "members n"], seeds: int) -> Float[Tensor, "seeds members_of_each n"]:
    return rows.reshape(-1, seeds, rows.shape[1]).transpose(0, 1)


def train_codes(
    problem: Problem,
    recipe: Recipe,
    latents: Latents,
    placed: Placed,
    population: Population,
    *,
    levels: Tensor,
    used: Tensor | None,
    seeds: Sequence[int],
    rows: Table | None,
    label: str,
    told: Watcher,
    plan: Plan | str,
) -> Population:
    """Train latents whose nearest levels are the codes, with the gradient in the codes; the members with their codes.

    Args:
        problem, recipe, population, seeds, rows, label, told, plan: see `train_latents`.
        latents: changed; in units of the distance of levels.
        placed: how codes become weights.
        levels: how many, of each member: (members, 1).
        used: 1 where a latent belongs to a member's code, else 0: (members, latents); None: all do.

    References:
        Bengio, Leonard & Courville (2013), arXiv:1308.3432.
    """
    farthest = levels / 2  # a latent beyond the last level would take long to come back

    def codes() -> Latents:
        torch.minimum(latents, farthest, out=latents)
        torch.maximum(latents, -farthest, out=latents)
        found = on_levels(latents, levels)
        return found if used is None else found * used

    def pulled(_: Tensor, gradient: Vectors) -> Latents:
        found = placed.pulled(gradient)
        return found if used is None else found * used

    train_latents(
        problem,
        recipe,
        latents,
        population,
        weights=lambda out: placed.weights(codes(), out),
        pulled=pulled,
        seeds=seeds,
        rows=rows,
        label=label,
        told=told,
        plan=plan,
    )
    final = population.copy()
    placed.weights(codes(), final.theta)
    return final
