"""Sharpness at worst: how far the loss rises within a ball or a box.

One convention of radius, here and in `average_case`: rho is a length in l2, |delta| <= rho for the worst case and
E|delta|^2 = rho^2 for the average one. Where it is adaptive, lengths are those of delta / |theta|, elementwise, and
parameters that are 0 stay. Masked parameters stay zero, and count nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.curvature.ascent import BALL, BOX, highest
from thalweg.curvature.neighborhood import Neighborhood, radii
from thalweg.data import ExampleSet
from thalweg.errors import check_type
from thalweg.evaluation import Sample
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.progress import Watcher, automatic
from thalweg.results import Result


@dataclass(frozen=True, eq=False)
class WorstCase(Result):
    """What `worst_case_sharpness` or `keskar_sharpness` found by ascent.

    Args:
        reading: "sharpness" and "converged" (member), or (member, radius) where several radii were asked for, and
            "loss" (member); NaN where a member is not finite.
    """

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether the last quarter of the steps added at most 1 % of the climb, and no smaller region rose higher.

        (members,), or (members, radii) where several were asked for.
        """
        return self.reading["converged"]


@guarded
def worst_case_sharpness(
    problem: Problem,
    population: Population,
    *,
    radius: float | Sequence[float] = 0.05,
    adaptive: bool = False,
    steps: int = 20,
    restarts: int = 1,
    on: Sample | str | ExampleSet = "train",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> WorstCase:
    """max L(theta + delta) - L(theta) over the l2 ball |delta| <= radius, from below, by projected gradient ascent.

    For u = delta (adaptive: delta / |theta|), P the projection on the ball and g the gradient in u, of length 1:

        u <- P(P(u + eta g) + 0.75 (u - u before))    where that is higher; eta, 2 radius at first, grows by 1.5
        else u stays, its momentum is lost and eta is halved

    after APGD (Croce & Hein, 2020, arXiv:2003.01690). The first ascent starts at theta, so first it goes all the way
    along the gradient; others, and where there is none, start at random on the boundary. What is found in a smaller
    ball counts in a larger one.

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.tensor([[1.0]], dtype=torch.float64)
    >>> problem = tw.Problem(lambda: torch.nn.Linear(1, 1, bias=False), (x, x), "squared_error", dtype=torch.float64)
    >>> at = problem.initialize(1).with_theta(0 * x)  # loss (theta - 1)^2: 1 at 0, and 1.21 at -0.1
    >>> tw.curvature.worst_case_sharpness(problem, at, radius=0.1)["sharpness"].round(3).tolist()
    [0.21]

    Args:
        problem, population: what is minimized, and where; only read.
        radius: of the ball, or several.
        adaptive: whether lengths are those of delta / |theta| (ASAM; Kwon et al., 2021, arXiv:2102.11600).
        steps, restarts: of each ascent; how many ascents.
        on: the examples of the mean: "train", "test", examples of your own, or a `Sample` of them, drawn at random.
        seed: of the random starts.
        progress: told how far it is.

    Raises:
        UsageError, ModelError: arguments that cannot be meant; a model that draws random numbers in evaluation mode.

    Cost: (steps + 1) restarts gradients and a loss more a radius. Memory: about ten matrices of theta's shape.
    """
    check_type("worst_case_sharpness adaptive", adaptive, bool, "True or False")
    rho = radii("worst_case_sharpness radius", radius)
    near = Neighborhood("worst_case_sharpness", problem, population, on, seed=seed, progress=progress)
    near.scale = population.theta.abs() if adaptive else near.active
    with near.watched():
        found = highest(near, BALL, rho, steps, restarts)
    reading = near.reading(
        "adaptive " * adaptive + "worst-case sharpness",
        {"sharpness": found.rises, "converged": found.converged},
        f"The best of {restarts} ascents of {steps} steps in the l2 ball of radius {radius}: a lower bound.",
        radius=radius,
    )
    return WorstCase(reading)


@guarded
def keskar_sharpness(
    problem: Problem,
    population: Population,
    *,
    epsilon: float | Sequence[float] = 1e-3,
    steps: int = 20,
    restarts: int = 1,
    on: Sample | str | ExampleSet = "train",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> WorstCase:
    """100 max (L(theta + y) - L(theta)) / (1 + L(theta)) over the box |y_i| <= epsilon (|theta_i| + 1), from below.

    Metric 2.1 of Keskar et al. (2017, arXiv:1609.04836) in the full space (A = I), for losses >= 0, by the ascent of
    `worst_case_sharpness` in u = y / (|theta| + 1), with the box for the ball and the signs of the gradient for its
    direction (the paper: L-BFGS-B).

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.tensor([[1.0]], dtype=torch.float64)
    >>> problem = tw.Problem(lambda: torch.nn.Linear(1, 1, bias=False), (x, x), "squared_error", dtype=torch.float64)
    >>> at = problem.initialize(1).with_theta(0 * x)  # loss (theta - 1)^2: 1 at 0, and 1.21 at -0.1
    >>> tw.curvature.keskar_sharpness(problem, at, epsilon=0.1)["sharpness"].round(3).tolist()
    [10.5]

    Args:
        problem, population, steps, restarts, on, seed, progress: see `worst_case_sharpness`.
        epsilon: half the width of the box where theta_i = 0, or several (the dimension "radius").

    The reading is as there, with "sharpness" in %; so are what is raised and the cost.
    """
    rho = radii("keskar_sharpness epsilon", epsilon)
    near = Neighborhood("keskar_sharpness", problem, population, on, seed=seed, progress=progress)
    near.scale = (population.theta.abs() + 1) * near.active
    with near.watched():
        found = highest(near, BOX, rho, steps, restarts)
    reading = near.reading(
        "Keskar's sharpness",
        {"sharpness": 100 * found.rises / (1 + near.loss[:, None]), "converged": found.converged},
        f"The best of {restarts} ascents of {steps} steps in the box of epsilon {epsilon}: a lower bound.",
        radius=epsilon,
        unit="%",
    )
    return WorstCase(reading)
