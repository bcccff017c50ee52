"""Populations along training, and what they answer."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, UsageError, check_type
from thalweg.evaluation import outputs
from thalweg.population import Population, Problem
from thalweg.training import Run

Array = NDArray[np.float64]
Checkpoints = Run | Mapping[int, Population] | Population


def as_checkpoints(name: str, given: Checkpoints) -> dict[int, Population]:
    """The populations by step, ascending: snapshots of a run, a mapping of one's own, or one population as step 0.

    Raises:
        UsageError: none of these, a run without snapshots, or populations of different sizes; `name` is the asker's.
    """
    write = "a run with snapshots, {step: population}, or a Population"
    check_type(f"{name} checkpoints", given, (Run, Mapping, Population), write)
    if isinstance(given, Population):
        return {0: given}
    found = given.snapshots if isinstance(given, Run) else dict(given)
    if not found:
        msg = f"{name} needs populations along training, and there are none; train with Recipe(..., snapshot=40)."
        raise UsageError(msg)
    for step, population in found.items():
        check_type(f"{name} step", step, (int, np.integer), "a whole number")
        check_type(f"{name} checkpoint {step}", population, Population, "a Population")
    if len({len(population) for population in found.values()}) > 1:
        msg = f"{name} follows the same members, but the checkpoints have different numbers of them."
        raise UsageError(msg)
    return {int(step): found[step] for step in sorted(found)}


def answers(
    name: str, problem: Problem, population: Population, examples: ExampleSet, *, rows: Tensor | None = None
) -> Tensor:
    """What every member returns, for all examples or for its rows of them: (members, examples, outputs), float64, CPU.

    Raises:
        ModelError: a model that does not return one row of numbers an example.
    """
    found = outputs(problem, population, examples, rows=rows)
    if not isinstance(found, Tensor) or found.ndim not in (2, 3):
        msg = f"{name} needs a model that returns (batch, outputs); wrap it in a module that does."
        raise ModelError(msg)
    found = found.double().cpu()
    return found if found.ndim == 3 else found[..., None]


def wanted(name: str, problem: Problem, examples: ExampleSet, outputs: int) -> Tensor:
    """The targets as a table of as many outputs: (examples, outputs), float64; classes are one-hot.

    Raises:
        UsageError: targets that the outputs cannot be compared with.
    """
    _, targets = examples.slice(0, len(examples))
    if isinstance(targets, Tensor):
        targets = targets.cpu()
        if not targets.is_floating_point() and targets.ndim == 1 and int(targets.min()) >= 0:
            if outputs > int(targets.max()):
                return torch.nn.functional.one_hot(targets, outputs).double()
        elif targets.ndim == 1 and outputs == 1:
            return targets[:, None].double()
        elif targets.shape == (len(examples), outputs):
            return targets.double()
    got = f"{targets.dtype} {tuple(targets.shape)}" if isinstance(targets, Tensor) else type(targets).__name__
    msg = f"{name} compares {outputs} outputs with targets, (examples, {outputs}) or classes below {outputs}; the "
    raise UsageError(msg + f"targets of {problem.data.name!r} are {got}.")


def rows_of(name: str, examples: ExampleSet) -> Tensor:
    """The inputs, one row of numbers an example: (examples, features), float64.

    Raises:
        UsageError: inputs that are not one tensor of numbers.
    """
    inputs, _ = examples.slice(0, len(examples))
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        msg = f"{name} needs inputs that are one tensor of numbers, (examples, ...)."
        raise UsageError(msg)
    return inputs.flatten(1).double().cpu()


def first_reached(steps: ArrayLike, values: ArrayLike, level: float | ArrayLike, *, logarithmic: bool = False) -> Array:
    """The first step at which values come up to a level, interpolated: (..., steps) to (...,).

    It lies on the straight line between the two evaluations, over the step or over log(1 + step). It is the first step
    where the values begin there, and infinite where they do not come there.

    >>> from thalweg.generalization.simplicity.checkpoints import first_reached
    >>> first_reached([0, 10, 20], [[0.0, 0.5, 1.0], [0.9, 0.0, 0.95], [0.0, 0.1, 0.2]], 0.9).tolist()
    [18.0, 0.0, inf]

    Args:
        steps: evaluated, ascending: (steps,).
        values: NaN is below every level: (..., steps).
        level: to be reached: one, or one of each row.
        logarithmic: whether between evaluations time is log(1 + step).
    """
    table = np.asarray(values, dtype=np.float64)
    at = np.asarray(steps, dtype=np.float64)
    at = np.log1p(at) if logarithmic else at
    target = np.broadcast_to(np.asarray(level, dtype=np.float64), table.shape[:-1])[..., None]
    reached = table >= target
    place = reached.argmax(-1)
    before = np.maximum(place - 1, 0)
    take = lambda where: np.take_along_axis(table, where[..., None], -1)[..., 0]  # noqa: E731
    low, high = take(before), take(place)
    rise = high - low
    share = np.where(rise > 0, (target[..., 0] - low) / np.where(rise > 0, rise, 1.0), 1.0)
    found = at[before] + np.where(place > 0, np.where(np.isfinite(share), share, 1.0), 0.0) * (at[place] - at[before])
    found = np.expm1(found) if logarithmic else found
    return np.where(reached.any(-1), found, np.inf)


def predicted(found: Tensor) -> Tensor:
    """The class with the largest output, and -1, which is none, where outputs are no numbers: (..., outputs) to (...).

    >>> import torch
    >>> from thalweg.generalization.simplicity.checkpoints import predicted
    >>> predicted(torch.tensor([[0.1, 0.9], [torch.nan, 0.9]])).tolist()
    [1, -1]
    """
    return torch.where(found.isnan().any(-1), -1, found.argmax(-1))
