"""Sharpness: how far the loss rises near a point, at worst and on average.

One convention of radius: rho is a length in l2, |delta| <= rho for the worst case and E|delta|^2 = rho^2 for the
average one. Where it is adaptive, lengths are those of delta / |theta|, elementwise, and parameters that are 0 stay.
(Averages by Andriushchenko et al., 2023, arXiv:2302.07011, have rho^2 for each of d parameters: their rho is ours by
sqrt(d).) Keskar's box and the Fisher-Rao norm have no such radius. Masked parameters stay zero, and count nowhere.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from types import NoneType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import Examples, ExampleSet, LazyExamples
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Evaluator
from thalweg.evaluation.evaluate import EXAMPLES_AT_ONCE
from thalweg.optim.inplace import norms
from thalweg.population import Batch, Population, Problem
from thalweg.population.derivatives import check_differentiable
from thalweg.population.double_backward import check_twice_differentiable
from thalweg.population.gradient_graph import GraphChunks
from thalweg.population.layout import Vectors
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading
from thalweg.statistics.student_t import advice

Values = NDArray[np.float64]
Region = tuple[Callable[[Vectors], Vectors], Callable[[Vectors, float], Vectors]]

# The step of length 1 that rises most along a slope, and the nearest point within a radius.
_BALL: Region = (
    lambda slope: slope / norms(slope).clamp_min(torch.finfo(slope.dtype).tiny),
    lambda u, radius: u * (radius / norms(u)).clamp_max(1),
)
_BOX: Region = (torch.sign, lambda u, radius: u.clamp(-radius, radius))
_MOMENTUM, _GROWTH = 0.75, 1.5
_ROUNDED = 8  # points that are theta to rounding


def worst_case(
    problem: Problem,
    population: Population,
    *,
    radius: float | Sequence[float] = 0.05,
    adaptive: bool = False,
    steps: int = 20,
    restarts: int = 1,
    examples: ExampleSet | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Reading:
    """max L(theta + delta) - L(theta) over the l2 ball |delta| <= radius, from below, by projected gradient ascent.

    For u = delta (adaptive: delta / |theta|), P the projection on the ball and g the gradient in u, of length 1:

        u <- P(P(u + eta g) + 0.75 (u - u before))    where that is higher; eta, 2 radius at first, grows by 1.5
        else u stays, its momentum is lost and eta is halved

    after APGD (Croce & Hein, 2020, arXiv:2003.01690). The first ascent starts at theta, so first it goes all the way
    along the gradient; others, and where there is none, start at random on the boundary. What is found in a smaller
    ball counts in a larger one.

    Args:
        problem, population: what is minimized, and where; only read.
        radius: of the ball, or several.
        adaptive: whether lengths are those of delta / |theta| (ASAM; Kwon et al., 2021, arXiv:2102.11600).
        steps, restarts, seed: of each ascent; ascents; of the random starts.
        examples, limit: None is the training set; only the first so many, None is all.

    Returns:
        "sharpness" (member) or (member, radius), at least 0, and "loss" (member); NaN where a member is not finite.

    Raises:
        UsageError, ModelError: arguments that cannot be meant; a model that draws random numbers in evaluation mode.

    Cost: (steps + 1) restarts gradients and a loss more a radius. Memory: about ten matrices of theta's shape.
    """
    check_type("worst_case adaptive", adaptive, bool, "True or False")
    around = _Around("worst_case", problem, population, examples, limit, "radius", radius, seed)
    around.scale = population.theta.abs() if adaptive else around.living
    note = f"The best of {restarts} ascents of {steps} steps in the l2 ball of radius {radius}: a lower bound."
    rises = around.highest(_BALL, steps, restarts)
    return around.reading("adaptive " * adaptive + "worst-case sharpness", rises, note)


def average_case(
    problem: Problem,
    population: Population,
    *,
    radius: float | Sequence[float] = 0.05,
    adaptive: bool = False,
    samples: int = 64,
    examples: ExampleSet | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Reading:
    """The mean of L(theta + delta) - L(theta) over delta ~ N(0, radius^2/d I), so that E|delta|^2 = radius^2.

    d is the number of parameters that live. Adaptive: delta is |theta| times as much, elementwise, and d the number of
    those that are not 0. Noise comes in pairs +delta and -delta, so that gradients cancel, and is the same for every
    member and radius. To second order the mean is radius^2/(2 d) tr H, adaptive: radius^2/(2 d) sum_i theta_i^2 H_ii.
    L(theta), which is subtracted from all, is the mean at eight points that are theta to rounding.

    Args:
        problem, population, radius, adaptive, examples, limit: see `worst_case`, also for what is raised.
        samples: at least 4; of an odd number the last is not used.
        seed: of the noise.

    The reading is as there, with standard errors over pairs, and of L(theta) by rounding: a radius for which the
    precision is too coarse shows by them.
    Cost: `samples` losses a radius, and nine more. Source: Andriushchenko et al. (2023, arXiv:2302.07011).
    """
    check_type("average_case adaptive", adaptive, bool, "True or False")
    check_count("average_case samples", samples, 4)
    around = _Around("average_case", problem, population, examples, limit, "radius", radius, seed)
    around.scale = population.theta.abs() if adaptive else around.living
    pairs, theta = samples // 2, population.theta
    each = (around.scale != 0).sum(1, keepdim=True).clamp_min(1).to(theta).rsqrt()
    base, rounding = around.rounded()
    values = np.empty((pairs, len(population), len(around.radii)))
    for pair in range(pairs):
        draw = torch.randn(theta.shape[1], generator=generator(seed, "noise", pair), dtype=torch.float64)
        draw = each * draw.to(theta)
        for place, rho in enumerate(around.radii):
            values[pair, :, place] = (around.losses(rho * draw) + around.losses(-rho * draw)) / 2 - base
    values[~np.isfinite(values)] = np.nan
    errors = np.hypot(values.std(0, ddof=1) / pairs**0.5, rounding[:, None])
    note = f"Radius {radius}: {2 * pairs} samples in antithetic pairs; standard errors are over pairs and of rounding."
    name = "adaptive " * adaptive + "average-case sharpness"
    return around.reading(name, values.mean(0), note, advice(pairs), errors=errors)


def keskar(
    problem: Problem,
    population: Population,
    *,
    epsilon: float | Sequence[float] = 1e-3,
    steps: int = 20,
    restarts: int = 1,
    examples: ExampleSet | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Reading:
    """100 max (L(theta + y) - L(theta)) / (1 + L(theta)) over the box |y_i| <= epsilon (|theta_i| + 1), from below.

    Metric 2.1 of Keskar et al. (2017, arXiv:1609.04836) in the full space (A = I), for losses >= 0, by the ascent of
    `worst_case` in u = y / (|theta| + 1), with the box for the ball and the signs of the gradient for its direction
    (the paper: L-BFGS-B). The reading is as there, "sharpness" in %; so are what is raised and the cost.

    Args:
        problem, population, steps, restarts, examples, limit, seed: see `worst_case`.
        epsilon: half the width of the box where theta_i = 0, or several (the dimension "radius").
    """
    around = _Around("keskar", problem, population, examples, limit, "epsilon", epsilon, seed)
    around.scale = (population.theta.abs() + 1) * around.living
    note = f"The best of {restarts} ascents of {steps} steps in the box of epsilon {epsilon}: a lower bound."
    rises, around.unit = around.highest(_BOX, steps, restarts), "%"
    return around.reading("Keskar's sharpness", 100 * rises / (1 + around.loss[:, None]), note)


def fisher_rao(
    problem: Problem, population: Population, *, examples: ExampleSet | None = None, limit: int | None = None
) -> Reading:
    """theta^T F theta for the empirical Fisher matrix F: the mean over examples of (g_i . theta)^2.

    g_i is the gradient of the loss of example i, with its true target. In ReLU networks of k layers without biases it
    is k^2 times the mean of (outputs . slope in outputs)^2, so rescaling weights between layers leaves it.

    Args:
        problem, population, examples, limit: see `worst_case`, also for what is raised.

    The reading has "squared norm" (member) with its standard error over examples, and "loss" (member).
    Cost: two forward passes, and two backward passes for the derivative along theta. Source: Liang et al. (2019,
    arXiv:1711.01530).
    """
    around = _Around("fisher_rao", problem, population, examples, limit)
    check_twice_differentiable(problem, "fisher")
    squares = np.full((len(population), around.count), np.nan)
    for rows, seen, graph in GraphChunks(problem, population, around.examples, around.count):
        squares[rows, seen] = graph.slopes()(population.theta[rows]).double().square().cpu().numpy()
    around.forwards, around.backwards = around.forwards + 1, around.backwards + 2
    squares[np.isnan(around.loss)] = np.nan
    note = "The empirical Fisher matrix, of true targets; standard errors are over examples."
    errors = squares.std(1, ddof=1) / around.count**0.5 if around.count > 1 else np.full(len(squares), np.nan)
    return around.reading("Fisher-Rao norm", squares.mean(1), note, errors=errors, array="squared norm")


class _Around:
    """The mean loss of every member at theta + scale * u, in evaluation mode, and the passes that were taken."""

    def __init__(
        self,
        what: str,
        problem: Problem,
        population: Population,
        examples: ExampleSet | None,
        limit: int | None,
        name: str = "",
        radius: float | Sequence[float] = 1.0,
        seed: int = 0,
    ) -> None:
        check_type(f"{what} problem", problem, Problem, "a Problem")
        check_type(f"{what} population", population, Population, "a Population such as run.final")
        check_type(
            f"{what} examples", examples, (Examples, LazyExamples, NoneType), "examples such as problem.data.test"
        )
        check_count(f"{what} limit", 1 if limit is None else limit)
        check_type(f"{what} seed", seed, int, "a whole number such as 0")
        problem.check(population)
        check_differentiable(problem)
        self.began, self.forwards, self.backwards = time.perf_counter(), 0, 0
        self.what, self.problem, self.theta, self.point = what, problem, population.theta, population.copy()
        self.examples = problem.data.train if examples is None else examples
        self.count = len(self.examples) if limit is None else min(limit, len(self.examples))
        some = self.examples if limit is None else self.examples.select(torch.arange(self.count))
        self.mean = Evaluator(problem, self.point, some, times=20)
        self.living = torch.ones_like(self.theta) if population.mask is None else population.mask.to(self.theta)
        self.radii = radius if isinstance(radius, Sequence) else [radius]
        for one in self.radii or [math.nan]:
            check_type(f"{what} {name}", one, (int, float), "a number such as 0.05, or a list of them")
            if not 0 < one < math.inf:
                msg = f"{what} {name} must be above 0 and finite; got {one}."
                raise UsageError(msg)
        self.several, self.seed = isinstance(radius, Sequence), seed
        self.where, self.scale, self.unit = (str(problem.device), str(problem.dtype)), self.living, problem.loss.unit
        self.loss = self.losses(torch.zeros_like(self.theta))
        self.loss[~(np.isfinite(self.loss) & self.theta.isfinite().all(1).cpu().numpy())] = np.nan

    def losses(self, u: Vectors) -> Values:
        """The losses at u: (members,)."""
        torch.addcmul(self.theta, self.scale, u, out=self.point.theta)
        self.forwards += 1
        return self.mean()["loss"].numpy()

    def rounded(self) -> tuple[Values, Values]:
        """The mean loss at points that are theta to rounding, and its standard error: (members,) each."""
        precision, found = torch.finfo(self.theta.dtype), []
        size = precision.eps * norms(self.theta) / norms(self.scale).clamp_min(precision.tiny)
        for place in range(_ROUNDED):
            stream = generator(self.seed, "rounding", place)
            draw = torch.randn(self.theta.shape[1], generator=stream, dtype=torch.float64)
            found.append(self.losses(size * draw.to(self.theta)))
        return np.mean(found, 0), np.std(found, 0, ddof=1) / _ROUNDED**0.5

    def slope(self, u: Vectors) -> tuple[Tensor, Vectors]:
        """The losses at u, as a column, and their gradients in u."""
        torch.addcmul(self.theta, self.scale, u, out=self.point.theta)
        self.forwards, self.backwards = self.forwards + 1, self.backwards + 1
        value, slope, part = 0.0, torch.zeros_like(u), torch.empty_like(u)
        for _, batch in self.batches():
            value = value + batch.size / self.count * self.mean.execution.gradient(batch, part).double()
            slope += batch.size / self.count * part
        return torch.as_tensor(value)[:, None], slope * self.scale

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """The first example of each batch, and the batch."""
        for start in range(0, self.count, EXAMPLES_AT_ONCE):
            yield start, Batch.range(self.examples, start, min(start + EXAMPLES_AT_ONCE, self.count))

    def highest(self, region: Region, steps: int, restarts: int) -> Values:
        """The greatest rises found (members, radii)."""
        check_count(f"{self.what} steps", steps)
        check_count(f"{self.what} restarts", restarts)
        rises = np.zeros((len(self.theta), len(self.radii)))
        for place, restart in np.ndindex(len(self.radii), restarts):
            u = self._ascended(region, self.radii[place], steps, restart)
            rises[:, place] = np.fmax(rises[:, place], self.losses(u) - self.loss)
        order = np.argsort(self.radii)
        rises[:, order] = np.maximum.accumulate(rises[:, order], axis=1)
        return np.where(np.isnan(self.loss)[:, None], np.nan, rises)

    def _ascended(self, region: Region, radius: float, steps: int, restart: int) -> Vectors:
        """The highest point of one ascent."""
        steepest, project = region
        stream = generator(self.seed, "ascent", restart)
        draw = torch.randn(self.theta.shape[1], generator=stream, dtype=torch.float64)
        start = radius * steepest(draw.to(self.theta) * (self.scale != 0))
        u = torch.zeros_like(start) if restart == 0 else start
        value, slope = self.slope(u)
        lost = ~((slope != 0).any(1, keepdim=True) & slope.isfinite().all(1, keepdim=True))
        if restart == 0 and lost.any():
            u = torch.where(lost, start, u)
            value, slope = self.slope(u)
        before, eta = u, torch.full_like(value, 2 * radius).to(u)
        for _ in range(steps):
            trial = project(project(u + eta * steepest(slope), radius) + _MOMENTUM * (u - before), radius)
            new, bent = self.slope(trial)
            higher = (new > value) & new.isfinite()
            before, u = u, torch.where(higher, trial, u)  # where it is not higher, momentum is zero
            value, slope = torch.where(higher, new, value), torch.where(higher, bent, slope)
            eta = torch.where(higher, _GROWTH * eta, eta / 2)
        return u

    def reading(
        self, name: str, values: Values, *notes: str, errors: Values | None = None, array: str = "sharpness"
    ) -> Reading:
        """Values (members,) or (members, radii) under the array's name, with what else belongs to a reading."""
        shape = (len(self.theta), len(self.radii)) if self.several else (len(self.theta),)
        passes = len(self.theta) * math.ceil(self.count / EXAMPLES_AT_ONCE)
        return Reading(
            name,
            {array: values.reshape(shape), "loss": self.loss},
            {array: ("member", "radius")[: len(shape)], "loss": ("member",)},
            {"member": np.arange(len(self.theta))} | ({"radius": self.radii} if self.several else {}),
            {array: self.unit, "loss": self.problem.loss.unit},
            {} if errors is None else {array: errors.reshape(shape)},
            sample_size=self.count,
            cost=Cost(time.perf_counter() - self.began, self.forwards * passes, self.backwards * passes),
            provenance=Provenance.here(self.seed, *self.where, plan=str(self.mean.execution.plan)),
            notes=(*notes, f"On {self.count} examples, in evaluation mode."),
        )
