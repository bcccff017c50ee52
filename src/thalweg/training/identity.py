"""What determines a run, so that a store can tell one from another."""

import hashlib
import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from thalweg.data import Examples, ExampleSet
from thalweg.errors import UsageError
from thalweg.evaluation import by_example
from thalweg.losses.of_user import UserLoss
from thalweg.population import Batch, Population, Problem
from thalweg.population.execution import explained
from thalweg.population.looped import Looped
from thalweg.training.beginning import Beginning
from thalweg.training.declared import Declared, printed
from thalweg.training.hashed import hashed
from thalweg.training.member_grid import MemberGrid
from thalweg.training.own import holds_own
from thalweg.training.recipe import Recipe

_STREAMED = 32  # examples of a streamed set that its hash looks at
_ROWS, _BATCHES, _MEMBERS = 64, 8, 4  # at most, of the training that a run is known by
_STEPS = 65  # at which a schedule of the user's own is read


def identity(
    problem: Problem, recipe: Recipe, grid: MemberGrid, begun: Beginning, *, named: bool = False
) -> dict[str, Any]:
    """All that determines a run, in a form that fits in a document.

    What a run need not have is a part of it only where it has it, so that runs stored before there was such a thing
    keep their identity, and a store finds them: what is added here is added likewise. Where all is torch's and
    Thalweg's own, the parts name themselves; what is the user's own is known by what it holds, by its code, and by
    what it does: losses and gradients in training mode on examples drawn at random, schedules over the steps. The code
    is that which runs, as compiled: comments and docstrings are no part of it, nor is what a file says that was edited
    since; but each minor version of Python compiles to other instructions, so where there is code of the user's own a
    run without a name is found again by the version that trained it, which is a part of it too ("python").

    Raises:
        UsageError: the recipe holds what cannot be told from another of its kind, and `named` is False.
    """
    population = begun.population
    before = Declared()
    own = _own(before, problem, recipe)
    if "own" in own and before.unknown and not named:
        msg = (
            f"The recipe holds a {before.unknown[0]}, which cannot be told from another one, so the store cannot "
            "tell this run from others; write train(..., name=...), another name for each."
        )
        raise UsageError(msg)
    does: dict[str, Any] = {"probe": _probe(problem, population)}
    if "own" in own:
        does["over_steps"] = _over_steps(recipe, grid)
    if "functions" in own or "layers" in own:
        does["training"] = _training(problem, grid, population)
    after = Declared()
    _own(after, problem, recipe)
    if changed := before.changed(after):  # by their own calls
        own = _own(Declared(changed), problem, recipe)
    if before.compiled:
        own["python"] = ".".join(map(str, sys.version_info[:2]))
    tested = {} if grid.test_examples is None else {"test_examples": hashed(grid.test_examples)}
    return (
        tested
        | own
        | does
        | {
            "recipe": recipe.describe(),
            "seeds": grid.given_seeds,
            "data": [
                problem.data.name,
                *(hashed(_shown(rows)) for rows in (problem.data.train, problem.data.test) if rows),
            ],
            "loss": problem.loss.name,
            "model": printed(problem.template),
            "layout": [[entry.name, list(entry.shape)] for entry in population.layout],
            "start": hashed((population.theta, dict(population.buffers))),
            "examples": None if grid.examples is None else hashed(grid.examples),
            "arms": [origin.arm for origin in grid.origins],
            "steps": begun.steps.tolist(),
            "moments": hashed((begun.slots, begun.fresh_since)) if _kept(begun) else None,
            "mask": None if population.mask is None else hashed(population.mask),
        }
    )


def _own(declared: Declared, problem: Problem, recipe: Recipe) -> dict[str, Any]:
    """What was declared of the parts that are the user's own, of those that are."""
    found: dict[str, Any] = {}
    if holds_own(recipe.optimizer) or holds_own(recipe.schedule):
        found["own"] = [declared.of(recipe.optimizer), declared.of(recipe.schedule)]
    functions = [one.function for one in (problem.loss, *problem.metrics) if isinstance(one, UserLoss)]
    if functions:
        found["functions"] = digest({"functions": declared.of(functions)})
    if layers := declared.layers(problem.template):
        found["layers"] = digest({"layers": layers})
    return found


def _kept(begun: Beginning) -> bool:
    """Whether any member begins with moments that are not fresh."""
    old = begun.fresh_since != begun.steps
    return bool(old.any()) or any(bool(matrix.any()) for matrix in begun.slots.values())


def _shown(rows: ExampleSet) -> Any:
    """The examples themselves; of streamed ones a few throughout, and how many there are."""
    if isinstance(rows, Examples):
        return rows.inputs, rows.targets
    return rows.take(torch.linspace(0, len(rows) - 1, _STREAMED).long()), torch.tensor([len(rows)])


def _probe(problem: Problem, population: Population) -> dict[str, list[str]]:
    """What loss and metrics say of the start on some examples of many classes: tells functions apart of one name.

    Four digits, so that the same run has the same identity on another machine.
    """
    buffers = {name: buffer.clone() for name, buffer in population.buffers.items()}
    found = by_example(problem, replace(population, buffers=buffers), problem.preflight.telling(), plan="looped")
    return {name: [f"{value:.4g}" for value in values.nanmean(1).tolist()] for name, values in found.items()}


def _training(problem: Problem, grid: MemberGrid, population: Population) -> list[list[str]]:
    """Losses and norms of gradients in training mode, of a few members on batches drawn at random.

    Three digits, as rounding is another on other machines.
    """
    examples = problem.preflight.telling()
    largest = max(size or len(examples) for size in grid.batch_sizes.tolist())
    size = min(largest, len(examples), _ROWS)
    members = torch.linspace(0, len(population) - 1, min(_MEMBERS, len(population))).long().tolist()
    some = population[members].copy()
    looped = Looped(problem, some, training=True, seeds=[grid.seeds[member] for member in members])
    found = []
    for start in range(0, min(len(examples) - size + 1, _ROWS, _BATCHES * size), size):
        batch, gradient = Batch.range(examples, start, start + size), torch.empty_like(some.theta)
        with explained(batch):
            losses = looped.gradient(slice(0, len(members)), batch, gradient, start)
        found.append([f"{value:.3g}" for value in (*losses.tolist(), *gradient.norm(dim=1).tolist())])
    return found


def _over_steps(recipe: Recipe, grid: MemberGrid) -> str:
    """A hash of the numbers that the recipe has at steps throughout, to six digits."""
    steps = sorted(set(np.linspace(1, recipe.steps, _STEPS).round().astype(int).tolist()))
    numbers = [[name, np.ravel(value).tolist()] for step in steps for name, value in grid.at(step).numbers.items()]
    return digest({"numbers": [[name, *(f"{one:.6g}" for one in values)] for name, values in numbers]})


def digest(identity: dict[str, Any]) -> str:
    """A short key of an identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
