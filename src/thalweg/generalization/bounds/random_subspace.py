"""Networks that few bits write down: steps on a few levels in a random subspace around the initialization."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count
from thalweg.generalization.bounds.certificate import Certificate
from thalweg.generalization.bounds.endings import of_codes
from thalweg.generalization.bounds.half_prior import checked_deviations
from thalweg.generalization.bounds.straight_through import Placed, train_codes
from thalweg.generalization.bounds.trainings import BoundCost, given
from thalweg.guard import guarded
from thalweg.population import Plan, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import generator
from thalweg.training import Recipe


@guarded
def random_subspace(
    problem: Problem,
    recipe: Recipe,
    dimensions: int | Sequence[int] = (60, 100, 250),
    bits: int | Sequence[int] = (3, 3, 2),
    *,
    steps: Sequence[float] = (0.5, 1.0),
    settings: int = 1,
    seeds: int | Sequence[int] = 1,
    examples: ArrayLike | Tensor | None = None,
    test_examples: ArrayLike | Tensor | None = None,
    delta: float = 0.05,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> Certificate:
    """Train only k numbers of b bits each, which move the weights in a random subspace: Occam's bound of the network.

        theta = theta_0 + step P z,    z in {-(2^b - 1)/2, ..., (2^b - 1)/2}^k

    The initialization theta_0 and P, whose entries are N(0, 1/parameters), are drawn from the seed before the data, so
    that k b bits tell the network from all others. z is trained as if rounding were not there (straight-through).
    Every (k, b) with every step is a candidate; log2 of how many there are is added to the bits.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 20, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(0.05), steps=150, batch_size=100, evaluate=1)
    >>> found = tw.generalization.bounds.random_subspace(problem, recipe, 60, 3, steps=[0.5])
    >>> float(found["bits"][0, 0]), bool(0.2 < found["bound"][0] < 0.9)
    (180.0, True)

    Args:
        problem: whose answers are right or wrong.
        recipe: how z is trained, in units of the distance of levels, by a rule such as optim.Adam; without sweeps.
        dimensions: k, or several.
        bits: b, for each k or for all.
        steps: the distance of levels.
        settings: how many settings of rule, levels and the like there were to choose among with a look at data that may
            be the bound's: log2 of it is added to the bits; 1: nothing was chosen so.
        seeds: of initialization, subspace and data order; an integer n means 0 to n - 1.
        examples: the training examples of each seed, by index: (seeds, n); None: all.
        test_examples: the test examples of each seed, likewise, which it was not trained on; None: all.
        delta: the probability with which the bound of each seed may fail.
        plan: see `train`.
        progress: told how far it is, and first what it costs.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: answers that are not right or wrong.

    Cost: see `random_subspace_cost`. Memory: parameters x dimensions numbers for each seed.

    References:
        Li, Farkhoor, Liu & Yosinski (2018), arXiv:1804.08838; Lotfi et al. (2022), arXiv:2211.13609.
    """
    began = time.perf_counter()
    of = given(
        "random_subspace", problem, recipe, seeds, deltas=(delta,), examples=examples, test_examples=test_examples
    )
    pairs = _pairs(dimensions, bits)
    check_count("random_subspace settings", settings)
    sizes = checked_deviations("random_subspace steps", steps)
    expected = random_subspace_cost(recipe, dimensions, bits, steps=sizes, seeds=seeds)
    candidates = [(k, b, size) for k, b in pairs for size in sizes]
    initial, count = problem.initialize(of.seeds), len(of.seeds)
    theta, most = initial.theta, max(k for k, _ in pairs)
    parameters = theta.shape[1]
    maps = []
    for seed in of.seeds:
        draw = torch.randn(most, parameters, generator=generator(seed, "subspace")) / parameters**0.5
        maps.append(draw.to(theta))
    each = [(one, seed) for one in candidates for seed in range(count)]
    which = [seed for _, seed in each]
    start = [torch.randn(most, generator=generator(of.seeds[seed], "subspace code")) for seed in which]
    latents = 0.5 * torch.stack(start).to(theta)
    used = (torch.arange(most)[None] < torch.tensor([[k] for (k, _, _), _ in each])).to(theta)
    levels = theta.new_tensor([[2.0**b] for (_, b, _), _ in each])
    scale = theta.new_tensor([[size] for (_, _, size), _ in each])
    center = initial[which]
    with watched(progress) as told:
        told(Progress(f"random_subspace. {expected}", 0, recipe.steps, 0.0))
        final = train_codes(
            problem,
            recipe,
            latents,
            Placed(center.theta, scale, torch.stack(maps)),
            center,
            levels=levels,
            used=used,
            seeds=[of.seeds[seed] for seed in which],
            rows=None if of.rows is None else of.rows[which],
            label="random_subspace",
            told=told,
            plan=plan,
        )
    choice = np.log2(len(candidates) * settings)
    return of_codes(
        "Occam, random subspace",
        of,
        problem,
        final,
        np.repeat([[k * b + choice] for k, b, _ in candidates], count, axis=1),
        candidates=[f"{k} of {b} bits, step {size:g}" for k, b, size in candidates],
        delta=delta,
        cost=expected,
        began=began,
        notes=(f"Each bound holds by itself with probability {1 - delta:g}.",),
        plan=plan,
    )


@in_words
def random_subspace_cost(
    recipe: Recipe,
    dimensions: int | Sequence[int] = (60, 100, 250),
    bits: int | Sequence[int] = (3, 3, 2),
    *,
    steps: Sequence[float] = (0.5, 1.0),
    seeds: int | Sequence[int] = 1,
) -> BoundCost:
    """What `random_subspace` with these arguments takes; nothing is computed.

    >>> import thalweg as tw
    >>> recipe = tw.Recipe(tw.optim.Adam(0.05), steps=100, batch_size=100)
    >>> print(tw.generalization.bounds.random_subspace_cost(recipe))
    6 trainings (600 steps in all, of 1 seeds).

    Args:
        recipe, dimensions, bits, steps, seeds: see `random_subspace`.
    """
    count = seeds if isinstance(seeds, int) else len(seeds)
    members = count * len(_pairs(dimensions, bits)) * len(steps)
    return BoundCost(members, members * recipe.steps, 0, count)


def _pairs(dimensions: int | Sequence[int], bits: int | Sequence[int]) -> list[tuple[int, int]]:
    sizes = [dimensions] if isinstance(dimensions, int) else list(dimensions)
    each = [bits] * len(sizes) if isinstance(bits, int) else list(bits)
    for size in sizes:
        check_count("random_subspace dimensions", size)
    for one in each:
        check_count("random_subspace bits", one)
    if not sizes or len(sizes) != len(each):
        msg = f"random_subspace takes bits for each of its dimensions, or for all; got {sizes} and {each}."
        raise UsageError(msg)
    return list(zip(sizes, each, strict=True))
