"""Training where every member has a training set of its own: networks that share a program and no data."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.data import Examples
from thalweg.data.trees import joined
from thalweg.errors import UsageError, check_count, check_type
from thalweg.optim import Rule, StepHyperparameters, Updater
from thalweg.population import Batch, Execution, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import BatchOrder


def train_on_own_sets(
    problem: Problem,
    sets: Sequence[Examples],
    optimizer: Rule,
    steps: int,
    *,
    batch_size: int,
    seeds: Sequence[int],
    observe: Callable[[int, Population], object] = lambda step, population: None,
    at: Sequence[int] = (),
    label: str = "training",
    progress: Watcher | None = automatic,
) -> Population:
    """Train one member a training set, all as one program; `train` gives every member the same examples.

    Initialization and data order come from the streams that `train` takes, so a member is what `train` makes of its
    set alone, to rounding.

    >>> import thalweg as tw
    >>> from thalweg.generalization import double_descent
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> sets = [tw.data.digits().split_anew(100, seed=seed).train for seed in (0, 1)]
    >>> trained = double_descent.train_on_own_sets(problem, sets, tw.optim.SGD(0.1), 5, batch_size=50, seeds=[0, 1])
    >>> len(trained)
    2

    Args:
        problem: the model and loss; its data only say what examples look like.
        sets: as many examples in each.
        optimizer: a rule that takes its gradient at theta, at a constant rate.
        steps: how many.
        batch_size: examples a step.
        seeds: one a set.
        observe: a function of (step, population), called at the steps `at`; the population is to be read only.
        at: steps, 0 being before the first.
        label: what the progress calls it.
        progress: told how far it is.

    Raises:
        UsageError: sets of different sizes, or not as many as seeds; a rule that looks ahead; a member that diverged.
    """
    check_type("train_on_own_sets optimizer", optimizer, Rule, "a rule such as optim.Adam(1e-3)")
    check_count("train_on_own_sets steps", steps)
    sizes = {len(one) for one in sets}
    if len(sizes) != 1 or len(sets) != len(seeds) or not all(isinstance(one, Examples) for one in sets):
        msg = f"train_on_own_sets takes a set for each of {len(seeds)} seeds, of one size; got {len(sets)} sets of "
        raise UsageError(msg + f"{sorted(sizes)} examples.")
    if optimizer.looks_ahead:
        msg = (
            f"train_on_own_sets takes a rule that takes its gradient at theta; {type(optimizer).__name__} looks ahead."
        )
        raise UsageError(msg)
    (size,) = sizes
    if not 1 <= batch_size <= size:
        msg = f"train_on_own_sets takes batches of 1 to {size:,} examples; got {batch_size}."
        raise UsageError(msg)
    whole = together(sets).to(problem.device, problem.dtype)
    offsets = size * torch.arange(len(sets))[:, None]
    orders = BatchOrder(list(seeds), size, batch_size)
    population = problem.initialize(list(seeds))
    population = replace(population, theta=population.theta.clone()).with_own_buffers()

    def batch(step: int) -> Batch:
        return Batch.of(whole, orders.indices(step) + offsets)

    execution = Execution(problem, population, batch(0), seeds=list(seeds), calls=steps)
    updater = Updater(optimizer, population.theta, layout=population.layout)
    numbers = optimizer.hyper_parameters() | {"schedule": 1.0}
    gradient, due = torch.empty_like(population.theta), set(at)
    with watched(progress) as told:
        for step in range(steps + 1):
            if step in due:
                observe(step, population)
            if step < steps:
                execution.gradient(batch(step), out=gradient, step=step)
                updater.step(gradient, StepHyperparameters(numbers, step + 1))
                if told is not None:
                    told(Progress(label, step + 1, steps, 0.0))
    if not population.theta.isfinite().all():
        gone = (~population.theta.isfinite().all(1)).nonzero().flatten().tolist()
        msg = f"Members {gone} diverged; train with a lower learning rate."
        raise UsageError(msg)
    return population


def outputs_on_own_sets(problem: Problem, population: Population, sets: Sequence[Examples]) -> Tensor:
    """What every member says of its own set of examples, in evaluation mode: (members, examples, ...).

    >>> import thalweg as tw
    >>> from thalweg.generalization import double_descent
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> sets = [tw.data.digits().split_anew(30, seed=seed).train for seed in (0, 1)]
    >>> double_descent.outputs_on_own_sets(problem, problem.initialize(2), sets).shape
    torch.Size([2, 30, 10])

    Args:
        problem, population: what is evaluated; they are only read.
        sets: as many examples in each, one set a member.
    """
    size = len(sets[0])
    indices = torch.arange(size) + size * torch.arange(len(sets))[:, None]
    batch = Batch.of(together(sets).to(problem.device, problem.dtype), indices)
    execution = Execution(problem, population, batch, training=False, plan="stacked", calls=1)
    return torch.cat([outputs for _, outputs in execution.outputs(batch)])


def together(sets: Sequence[Examples]) -> Examples:
    """The examples of all sets, one set after the other."""
    inputs, targets = (joined([getattr(one, part) for one in sets], part) for part in ("inputs", "targets"))
    return Examples(inputs, targets)
