"""How much noise in the weights a network takes: the size at which its training error has risen by so much."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Evaluator, Sample, as_sample
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.gibbs import check_accuracy
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading, Result

_SMALLEST, _LARGEST = 1e-5, 1e2  # between which a size is looked for
_HALVINGS = 12  # of the logarithm between them, which leaves 0.4 %


@dataclass(frozen=True, eq=False)
class Flatness(Result):
    """What `flatness` found.

    Args:
        reading: "sigma" (member), a standard deviation, in units of a weight, or where `relative` of each weight's own
            magnitude, from 1e-5 to 100, which it also is where the error cannot rise by so much; and "error" (member),
            the training error without noise.
    """


@guarded
def flatness(
    problem: Problem,
    population: Population,
    *,
    rise: float = 0.1,
    relative: bool = False,
    draws: int = 8,
    on: Sample | str | ExampleSet = "train",
    seed: int = 0,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> Flatness:
    """The standard deviation of Gaussian noise in all weights at which the share of wrong answers has risen by `rise`.

        sigma:    E error(theta + sigma e) = error(theta) + rise,    e ~ N(0, 1), or N(0, theta^2) where relative

    by halving the logarithm of sigma, with the same e for all members and sizes. Larger is flatter;
    |theta - theta_0|^2 / (2 sigma^2) is the divergence of PAC-Bayes bounds by noise of that size.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.Adam(0.01), steps=100, batch_size=100, evaluate=1), seeds=1)
    >>> few = tw.Sample("train", 200)
    >>> found = [tw.generalization.bounds.flatness(problem, run.final, rise=r, on=few)["sigma"][0] for r in (0.1, 0.4)]
    >>> bool(0.01 < found[0] < found[1])
    True

    Args:
        problem, population: only read.
        rise: of the share of wrong answers, in (0, 1).
        relative: whether the noise of a weight is in units of its magnitude.
        draws: of the noise.
        on: the examples.
        seed: of the noise.
        plan: see `train`.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: answers that are not right or wrong.

    Cost: 12 x `draws` forward passes.

    References:
        Neyshabur et al. (2017), arXiv:1706.08947; Jiang et al. (2020), arXiv:1912.02178, appendix C.
    """
    began = time.perf_counter()
    check_type("flatness problem", problem, Problem, "a Problem")
    check_type("flatness population", population, Population, "a Population such as run.final")
    check_type("flatness rise", rise, (int, float), "a share such as 0.1")
    check_type("flatness relative", relative, bool, "True or False")
    check_type("flatness seed", seed, int, "a whole number")
    check_count("flatness draws", draws)
    if not 0 < rise < 1:
        msg = f"flatness rise must be a share above 0 and below 1; got {rise}."
        raise UsageError(msg)
    problem.check(population)
    check_accuracy("flatness", problem)
    drawn = as_sample("flatness", on).draw(problem)
    noise = _Noise(problem, population, drawn.examples, relative=relative, draws=draws, seed=seed, plan=plan)
    base = noise.error(np.zeros(len(population)), 1)
    low, high = np.full(len(population), np.log(_SMALLEST)), np.full(len(population), np.log(_LARGEST))
    with watched(progress) as told:
        for step in range(_HALVINGS):
            middle = (low + high) / 2
            below = noise.error(np.exp(middle), draws) <= base + rise
            low, high = np.where(below, middle, low), np.where(below, high, middle)
            told(Progress("flatness", step + 1, _HALVINGS, time.perf_counter() - began))
    sigma = np.where(population.theta.isfinite().all(1).cpu().numpy(), np.exp((low + high) / 2), np.nan)
    members = len(population)
    reading = Reading(
        "flatness",
        {"sigma": sigma, "error": base},
        {"sigma": ("member",), "error": ("member",)},
        sample_size=len(drawn),
        cost=Cost(time.perf_counter() - began, forwards=(_HALVINGS * draws + 1) * members),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(
            f"Standard deviation of noise at which the error has risen by {rise:g}, on {drawn.text}; {draws} draws.",
        ),
    )
    return Flatness(reading)


class _Noise:
    """Errors of all members with noise of their own sizes, along the same draws."""

    def __init__(
        self,
        problem: Problem,
        population: Population,
        examples: ExampleSet,
        *,
        relative: bool,
        draws: int,
        seed: int,
        plan: Plan | str,
    ) -> None:
        self.theta, self.seed = population.theta, seed
        active = torch.ones_like(self.theta) if population.mask is None else population.mask.to(self.theta)
        self.scale: Float[Tensor, "members parameters"] = active * self.theta.abs() if relative else active
        self.point = population.copy()
        times = _HALVINGS * draws + 1
        self.evaluator = Evaluator(problem, self.point, examples, plan=plan, times=times)

    def error(self, sigma: Array, draws: int) -> Array:
        """The mean share of wrong answers: (members,)."""
        size = torch.as_tensor(sigma).to(self.theta)[:, None] * self.scale
        total = np.zeros(len(self.theta))
        for draw in range(draws):
            noise = torch.randn(self.theta.shape[1], generator=generator(self.seed, "flatness", draw))
            torch.addcmul(self.theta, size, noise.to(self.theta), out=self.point.theta)
            accuracy = torch.nan_to_num(self.evaluator()["accuracy"], nan=0.0)
            total += 1 - accuracy.numpy()
        return total / draws
