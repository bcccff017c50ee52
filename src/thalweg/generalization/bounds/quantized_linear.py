"""Softmax regression with weights of one or two bits: a network so small that counting its weights bounds it."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from thalweg.arguments import in_words
from thalweg.errors import ModelError, UsageError, check_choice, check_count
from thalweg.generalization.bounds.certificate import Certificate
from thalweg.generalization.bounds.endings import of_codes
from thalweg.generalization.bounds.straight_through import Placed, on_levels, ternary_bits, train_codes
from thalweg.generalization.bounds.trainings import BoundCost, given
from thalweg.guard import guarded
from thalweg.population import Plan, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import generator
from thalweg.training import Recipe

CODES = {"sign": 2, "ternary": 3}  # levels


@guarded
def quantized_linear(
    problem: Problem,
    recipe: Recipe,
    *,
    codes: Sequence[str] = ("sign", "ternary"),
    scale: float = 0.3,
    settings: int = 1,
    seeds: int | Sequence[int] = 1,
    examples: ArrayLike | Tensor | None = None,
    test_examples: ArrayLike | Tensor | None = None,
    delta: float = 0.05,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> Certificate:
    """Train a linear classifier with weights -1 and 1, or -1, 0 and 1, on the problem's data: Occam's bound of it.

    The first is written in a bit a weight; the second by how often each number occurs and which of all such orders it
    is. It is another model than the problem's, on the same examples: a bound that is not vacuous without any prior. The
    classes are told by which output is largest, so that the scale of weights, by which they are trained, needs no bits.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(0.02), steps=200, batch_size=100, evaluate=1)
    >>> found = tw.generalization.bounds.quantized_linear(problem, recipe, codes=["sign"])
    >>> float(found["bits"][0, 0]), bool(0.3 < found["bound"][0] < 0.7)
    (650.0, True)

    Args:
        problem: of classes, with inputs of one tensor; its model is not used.
        recipe: how numbers are trained whose nearest levels are the weights, by a rule such as optim.Adam.
        codes: "sign", "ternary" or both; of both, one more bit says which.
        scale: of the weights while they are trained.
        settings: how many settings of rule, levels and the like there were to choose among with a look at data that may
            be the bound's: log2 of it is added to the bits; 1: nothing was chosen so.
        seeds: of first weights and data order; an integer n means 0 to n - 1.
        examples: the training examples of each seed, by index: (seeds, n); None: all.
        test_examples: the test examples of each seed, likewise, which it was not trained on; None: all.
        delta: the probability with which the bound of each seed may fail.
        plan: see `train`.
        progress: told how far it is, and first what it costs.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: targets that are not one class an example.

    Cost: a training of a linear model for each code and seed, see `quantized_linear_cost`.
    """
    began = time.perf_counter()
    of = given(
        "quantized_linear", problem, recipe, seeds, deltas=(delta,), examples=examples, test_examples=test_examples
    )
    _check_codes(codes)
    check_count("quantized_linear settings", settings)
    if not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        msg = f"quantized_linear scale must be above 0; got {scale!r}."
        raise UsageError(msg)
    expected = quantized_linear_cost(recipe, codes=codes, seeds=seeds)
    linear = _linear(problem)
    count, p = len(of.seeds), linear.layout.parameters
    first = linear.initialize(1)
    draws = torch.stack([torch.randn(p, generator=generator(seed, "codes")) for seed in of.seeds])
    latents = 0.3 * draws.repeat(len(codes), 1).to(first.theta)
    levels = first.theta.new_tensor([[float(CODES[code])] for code in codes for _ in of.seeds])
    which = [seed for _ in codes for seed in range(count)]
    base = torch.zeros_like(latents)
    # The levels of two lie at -1/2 and 1/2, those of three at -1, 0 and 1.
    scales = scale * torch.where(levels == 2, 2.0, 1.0)
    rows = None if of.rows is None else of.rows[which]
    with watched(progress) as told:
        told(Progress(f"quantized_linear. {expected}", 0, recipe.steps, 0.0))
        final = train_codes(
            linear,
            recipe,
            latents,
            Placed(base, scales, None),
            first.with_theta(base),
            levels=levels,
            used=None,
            seeds=[of.seeds[seed] for seed in which],
            rows=rows,
            label="quantized_linear",
            told=told,
            plan=plan,
        )
    choice = np.log2(len(codes) * settings)
    found = on_levels(latents, levels)
    each = []
    for place, code in enumerate(codes):
        own = found[place * count : (place + 1) * count]
        each.append(choice + (np.full(count, float(p)) if code == "sign" else ternary_bits(own)))
    return of_codes(
        "Occam, linear of few bits",
        of,
        linear,
        final,
        np.stack(each),
        candidates=codes,
        delta=delta,
        cost=expected,
        began=began,
        notes=(f"A linear classifier of {p:,} weights, not the problem's model.",),
        plan=plan,
    )


@in_words
def quantized_linear_cost(
    recipe: Recipe, *, codes: Sequence[str] = ("sign", "ternary"), seeds: int | Sequence[int] = 1
) -> BoundCost:
    """What `quantized_linear` with these arguments takes; nothing is computed.

    >>> import thalweg as tw
    >>> print(tw.generalization.bounds.quantized_linear_cost(tw.Recipe(tw.optim.Adam(0.02), steps=200), seeds=2))
    4 trainings (800 steps in all, of 2 seeds).

    Args:
        recipe, codes, seeds: see `quantized_linear`.
    """
    _check_codes(codes)
    count = seeds if isinstance(seeds, int) else len(seeds)
    return BoundCost(count * len(codes), count * len(codes) * recipe.steps, 0, count)


def _check_codes(codes: Sequence[str]) -> None:
    for code in codes:
        check_choice("quantized_linear codes", code, CODES)
    if not codes or len(set(codes)) < len(codes):
        msg = f"quantized_linear codes are {' and '.join(CODES)}, or one of them; got {list(codes)}."
        raise UsageError(msg)


def _linear(problem: Problem) -> Problem:
    """A linear classifier on the same data."""
    inputs, targets = problem.data.train.slice(0, 1)
    leaves = tree_leaves(inputs)
    classes = problem.data.classes
    if len(leaves) != 1 or not leaves[0].is_floating_point() or not isinstance(targets, Tensor) or targets.ndim != 1:
        msg = "quantized_linear is of one tensor of numbers and one class an example; this problem's data are others."
        raise ModelError(msg)
    if classes is None or targets.is_floating_point():
        msg = "quantized_linear needs to know how many classes there are; write data.Data(..., classes=10)."
        raise ModelError(msg)
    width = leaves[0].numel()
    return Problem(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(width, classes)),
        problem.data,
        "cross_entropy",
        device=problem.device,
        dtype=problem.dtype,
        memory_budget=problem.memory_budget,
    )
