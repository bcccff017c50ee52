"""Sharpness on average: how far the loss rises under noise. See `worst_case` for the convention of radius."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from thalweg.curvature.neighborhood import Neighborhood, radii
from thalweg.data import ExampleSet
from thalweg.errors import check_count, check_type
from thalweg.evaluation import Sample
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.progress import Watcher, automatic
from thalweg.randomness import generator
from thalweg.results import Result
from thalweg.statistics import standard_error


@dataclass(frozen=True, eq=False)
class AverageCase(Result):
    """What `average_case_sharpness` found.

    Args:
        reading: "sharpness" (member), or (member, radius) where several radii were asked for, with standard errors over
            pairs of samples and of L(theta) by rounding: a radius for which the precision is too coarse shows by them;
            and "loss" (member). NaN where a member is not finite.
    """


@guarded
def average_case_sharpness(
    problem: Problem,
    population: Population,
    *,
    radius: float | Sequence[float] = 0.05,
    adaptive: bool = False,
    samples: int = 64,
    on: Sample | str | ExampleSet = "train",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> AverageCase:
    """The mean of L(theta + delta) - L(theta) over delta ~ N(0, radius^2/d I), so that E|delta|^2 = radius^2.

    d is the number of active parameters. Adaptive: delta is |theta| times as much, elementwise, and d the number of
    those that are not 0. Noise comes in pairs +delta and -delta, so that gradients cancel, and is the same for every
    member and radius. To second order the mean is radius^2/(2 d) tr H, adaptive: radius^2/(2 d) sum_i theta_i^2 H_ii.
    L(theta), which is subtracted from all, is the mean at eight points that are theta to rounding.

    Averages by Andriushchenko et al. (2023, arXiv:2302.07011) have rho^2 for each of d parameters: their rho is ours by
    sqrt(d).

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.eye(2, dtype=torch.float64)
    >>> problem = tw.Problem(lambda: torch.nn.Linear(2, 2, bias=False), (x, x), "squared_error", dtype=torch.float64)
    >>> found = tw.curvature.average_case_sharpness(problem, problem.initialize(1), radius=1.0, samples=200)
    >>> bool(abs(found["sharpness"][0] - 0.25) < 4 * found.reading.standard_errors["sharpness"][0])  # tr H / 8
    True

    Args:
        problem, population, radius, adaptive, on, progress: see `worst_case_sharpness`, also for what is raised.
        samples: at least 4; of an odd number the last is not used.
        seed: of the noise.

    Cost: `samples` losses a radius, and nine more.
    """
    check_type("average_case_sharpness adaptive", adaptive, bool, "True or False")
    check_count("average_case_sharpness samples", samples, 4)
    rho = radii("average_case_sharpness radius", radius)
    near = Neighborhood("average_case_sharpness", problem, population, on, seed=seed, progress=progress)
    near.scale = population.theta.abs() if adaptive else near.active
    pairs, theta = samples // 2, population.theta
    each = (near.scale != 0).sum(1, keepdim=True).clamp_min(1).to(theta).rsqrt()
    base, rounding = near.rounded()
    values = np.empty((pairs, len(population), len(rho)))
    with near.watched():
        for pair in range(pairs):
            draw = torch.randn(theta.shape[1], generator=generator(seed, "noise", pair), dtype=torch.float64)
            draw = each * draw.to(theta)
            for place, size in enumerate(rho):
                values[pair, :, place] = (near.losses(size * draw) + near.losses(-size * draw)) / 2 - base
            near.tell("average_case_sharpness, pairs of samples", pair + 1, pairs)
    values[~np.isfinite(values)] = np.nan
    return AverageCase(
        near.reading(
            "adaptive " * adaptive + "average-case sharpness",
            {"sharpness": values.mean(0)},
            f"Radius {radius}: {2 * pairs} samples in antithetic pairs.",
            "Standard errors are over pairs and of rounding.",
            radius=radius,
            error=np.hypot(standard_error(values, axis=0), rounding[:, None]),
            samples=pairs,
        )
    )
