"""The loop that trains numbers of which weights are made: a posterior's means and deviations, or a code."""

import time
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.generalization.bounds.trainings import Table
from thalweg.optim import Rule
from thalweg.optim.updater import Updater
from thalweg.population import Batch, Execution, Plan, Population, Problem
from thalweg.progress import Progress, Watcher
from thalweg.randomness import BatchOrder
from thalweg.training import MemberGrid, Recipe
from thalweg.training.own_examples import OwnExamples

Latents = Float[Tensor, "members latents"]
Vectors = Float[Tensor, "members parameters"]


def train_latents(
    problem: Problem,
    recipe: Recipe,
    latents: Latents,
    population: Population,
    *,
    weights: Callable[[Vectors], None],
    pulled: Callable[[Tensor, Vectors], Latents],
    seeds: Sequence[int],
    rows: Table | None,
    label: str,
    told: Watcher,
    plan: Plan | str = "auto",
) -> None:
    """Train latents in place by a recipe, by the gradient of the loss at the weights that are made of them.

    Args:
        problem: whose loss is followed, in evaluation mode.
        recipe: optimizer, steps, batch size and schedule.
        latents: one row a member; changed.
        population: as many members, whose buffers are read; not changed.
        weights: writes the weights that the latents stand for at this step.
        pulled: from the losses (members,) and gradients in the weights, the gradients in the latents.
        seeds: of the data order, one a member.
        rows: which training examples each member sees: (members, n); None: all.
        label, told: of the progress.
        plan: see `train`.

    Raises:
        UsageError: an optimizer that needs more than gradients at the point itself, or knows of tensors.

    Cost: a forward and a backward pass a step and member.
    """
    rule, train = recipe.optimizer, problem.data.train
    if not isinstance(rule, Rule) or not rule.elementwise or rule.looks_ahead:
        msg = (
            f"Numbers that weights are made of are trained by rules that treat each by itself, such as optim.Adam; got "
            f"{type(rule).__name__}."
        )
        raise UsageError(msg)
    if recipe.clip_norm is not None:
        msg = "Recipe clip_norm is of gradients in weights, which are not what is trained here; leave it out."
        raise UsageError(msg)
    count = len(train) if rows is None else rows.shape[1]
    grid = MemberGrid(recipe, [0])
    (group,) = grid.groups(count)
    order = BatchOrder(list(seeds), count, group.batch_size)
    own = None if rows is None else OwnExamples.of(rows, torch.arange(len(rows)))

    def batch(step: int) -> Batch:
        places = order.indices(step)
        return Batch.of(train, places if own is None else own.take(places))

    scratch = population.copy()
    execution = Execution(problem, scratch, batch(0), plan=plan, training=False, calls=recipe.steps)
    gradient, began = torch.zeros_like(scratch.theta), time.perf_counter()
    updater = Updater(rule, latents)
    for step in range(recipe.steps):
        weights(scratch.theta)
        losses = execution.gradient(batch(step), gradient)
        if population.mask is not None:
            gradient.mul_(population.mask)
        found = pulled(losses, gradient)
        finite = found.isfinite().all(1)
        updater.step(found, grid.at(step + 1), None if finite.all() else finite)
        told(Progress(label, step + 1, recipe.steps, time.perf_counter() - began))
