"""A Gaussian around weights, moved and shaped so that its PAC-Bayes bound falls."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.latents import Vectors, train_latents
from thalweg.generalization.bounds.pac_bayes import gaussian_kl
from thalweg.generalization.bounds.trainings import Table
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher
from thalweg.randomness import generator
from thalweg.training import Recipe


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Independent Gaussians of all weights of every member.

    Args:
        mean: (members, parameters).
        std: standard deviations: (members, parameters), or one for all weights of a member, (members, 1).
    """

    mean: Vectors
    std: Tensor

    def kl(self, prior: "Gaussian") -> Array:
        """KL(this || prior): (members,), infinite where training diverged or a deviation came to be 0."""
        width = self.mean.shape[1]
        std = torch.where(self.std > 0, self.std, torch.inf).expand(-1, width)
        parts = (self.mean, std, prior.mean, prior.std.expand(-1, width))
        return gaussian_kl(*(part.double().cpu().numpy() for part in parts))


def optimized(
    problem: Problem,
    population: Population,
    prior: Gaussian,
    start: Gaussian,
    recipe: Recipe,
    *,
    m: int,
    delta: float,
    classes: int,
    shaped: bool,
    seeds: Sequence[int],
    rows: Table | None,
    label: str,
    told: Watcher,
    plan: Plan | str = "auto",
) -> Gaussian:
    """The posterior that a recipe leads to by the gradient of the quadratic bound, with one draw of weights a step.

        f = (sqrt(R + c) + sqrt(c))^2,    c = (KL + ln(2 sqrt(m)/delta)) / (2 m),    R = loss / ln(classes)

    R stands in for the share of wrong answers, which has no gradient; a bound is taken of that afterwards.

    Args:
        problem: whose training examples are the bound's.
        population: members, whose buffers are read.
        prior, start: of each member; where start is, with deviations of one number a member, only means are moved
            unless it is `shaped`.
        recipe: optimizer, steps, batch size.
        m, delta: of the bound.
        classes: how many answers there are.
        shaped: whether standard deviations are trained too, by their logarithms.
        seeds: of data order and draws, one a member.
        rows: which training examples are each member's; None: all.
        label, told, plan: see `train_latents`.
    """
    width = start.mean.shape[1]
    mean = start.mean.clone()
    latents = torch.cat([mean, start.std.expand(-1, width).log()], 1) if shaped else mean
    noise, fixed = torch.empty_like(mean), start.std.expand(-1, width)
    streams = [generator(seed, "posterior noise") for seed in seeds]
    log = math.log(2 * math.sqrt(m) / delta)
    variance = prior.std.square().expand(-1, width)

    def std() -> Tensor:
        return latents[:, width:].exp() if shaped else fixed

    def weights(out: Vectors) -> None:
        for member, stream in enumerate(streams):
            noise[member] = torch.randn(width, generator=stream).to(noise)
        torch.addcmul(latents[:, :width], std(), noise, out=out)

    def pulled(losses: Tensor, gradient: Vectors) -> Tensor:
        sigma, off = std(), latents[:, :width] - prior.mean
        ratio = sigma.square() / variance
        divergence = 0.5 * (ratio - 1 - ratio.log() + off.square() / variance).double().sum(1)
        c = (divergence + log) / (2 * m)
        risk = (losses.double() / math.log(classes)).clamp_min(0)
        of_risk, of_c = _slopes(risk, c)
        by_loss = (of_risk / math.log(classes)).to(gradient)[:, None]
        by_divergence = (of_c / (2 * m)).to(gradient)[:, None]
        of_mean = by_loss * gradient + by_divergence * off / variance
        if not shaped:
            return of_mean
        return torch.cat([of_mean, by_loss * gradient * noise * sigma + by_divergence * (ratio - 1)], 1)

    train_latents(
        problem,
        recipe,
        latents,
        population,
        weights=weights,
        pulled=pulled,
        seeds=seeds,
        rows=rows,
        label=label,
        told=told,
        plan=plan,
    )
    return Gaussian(latents[:, :width].clone(), std().clone() if shaped else start.std)


def _slopes(risk: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of (sqrt(R + c) + sqrt(c))^2 in R and in c."""
    outer, inner = (risk + c).sqrt(), c.sqrt()
    whole = outer + inner
    return whole / outer, whole * (1 / outer + 1 / inner)
