"""What determines a run, so that a store can tell one from another."""

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from thalweg.data import Examples, ExampleSet
from thalweg.evaluation import by_example
from thalweg.population import Population, Problem
from thalweg.training.beginning import Beginning
from thalweg.training.member_grid import MemberGrid
from thalweg.training.recipe import Recipe

_STREAMED = 32  # examples of a streamed set that its hash looks at


def identity(problem: Problem, recipe: Recipe, grid: MemberGrid, begun: Beginning) -> dict[str, Any]:
    """All that determines a run, in a form that fits in a document.

    What a run need not have is a part of it only where it has it, so that runs stored before there was such a thing
    keep their identity, and a store finds them: what is added here is added likewise.
    """
    population = begun.population
    tested = {} if grid.test_examples is None else {"test_examples": _hash(grid.test_examples)}
    return tested | {
        "recipe": recipe.describe(),
        "seeds": grid.given_seeds,
        "data": [problem.data.name, *(_hash(_shown(rows)) for rows in (problem.data.train, problem.data.test) if rows)],
        "loss": problem.loss.name,
        "probe": _probe(problem, population),
        "model": re.sub(r" at 0x[0-9a-f]+", "", repr(problem.template)),
        "layout": [[entry.name, list(entry.shape)] for entry in population.layout],
        "start": _hash((population.theta, dict(population.buffers))),
        "examples": None if grid.examples is None else _hash(grid.examples),
        "arms": [origin.arm for origin in grid.origins],
        "steps": begun.steps.tolist(),
        "moments": _hash((begun.slots, begun.fresh_since)) if _kept(begun) else None,
        "mask": None if population.mask is None else _hash(population.mask),
    }


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


def _hash(tree: Any) -> str:
    made = hashlib.sha256()
    for tensor in tree_leaves(tree):
        made.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        made.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()


def digest(identity: dict[str, Any]) -> str:
    """A short key of an identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
