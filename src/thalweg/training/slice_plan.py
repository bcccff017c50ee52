"""By which plans slices are trained, where a run is cut into them, and that an audit in one ends all."""

import contextlib
import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.population import Plan, Problem
from thalweg.population.audits import StackedDiffers, noted
from thalweg.population.threads import one_thread
from thalweg.training.cutting import cuts, edges_of, of_whole_matrices
from thalweg.training.loop import Loop
from thalweg.training.member_grid import MemberGrid
from thalweg.training.part import Part
from thalweg.training.recipe import Recipe
from thalweg.training.slice_work import Piece
from thalweg.workers import Done, Heard, Work, Workers


def slices_of(workers: Workers, members: int) -> int:
    """How many slices: as many as were asked for, and where nobody asked as many as pieces run at a time, at most.

    Raises:
        UsageError: more were asked for than there are members.
    """
    if workers.slices > members and workers.slices != workers.count:
        most = f"write slices={members}, or fewer"
        msg = f"The run has {members} members, which cannot be cut into {workers.slices} slices; {most}."
        raise UsageError(msg)
    return min(workers.slices, members)


def check_device(problem: Problem) -> None:
    """Raise UsageError for a problem that workers cannot train."""
    if problem.device.type != "cpu":
        msg = (
            f"Workers train on processors, and the problem is on {problem.device}; write Problem(..., device='cpu'), "
            "or leave out workers."
        )
        raise UsageError(msg)


def weights_of(
    problem: Problem, recipe: Recipe, grid: MemberGrid, began: Int64[Tensor, " members"], at: ArrayLike
) -> NDArray[np.float64]:
    """The work of each member: the examples that it is still to see, from the steps `at` on: (members,)."""
    examples = grid.trained_on(len(problem.data.train))
    sizes = np.where(grid.batch_sizes > 0, grid.batch_sizes, examples)
    return sizes * np.maximum(recipe.steps - np.maximum(at, began.cpu().numpy()), 1.0)


def measured(
    problem: Problem, recipe: Recipe, grid: MemberGrid, piece: Piece, plans: Mapping[str, Plan | str]
) -> dict[str, Plan]:
    """The plans, measured on a slice with the one thread that slices have; those given, with chunks in numbers."""
    with one_thread():
        own = grid.part(piece.part.rows), piece.population(problem), piece.state
        loop = Loop(problem, recipe, *own, plans, part=piece.part)
    sizes = {
        "gradient": max(group.execution.size for group in loop.groups),
        "outputs": max(one.execution.size for one in loop.evaluators.values()),
    }
    return {name: replace(plan, chunk=sizes[name], threads=1) for name, plan in loop.plans.items()}


def parts_of(
    problem: Problem,
    recipe: Recipe,
    grid: MemberGrid,
    plans: Mapping[str, Plan],
    slices: int,
    *,
    began: Int64[Tensor, " members"],
    weights: ArrayLike,
    apart: Iterable[int] = (),
) -> list[Part]:
    """The slices: of about equal work, in the chunks of the whole run.

    Args:
        problem, recipe, grid, plans: of the run.
        slices: how many, at most, besides those that begin `apart`.
        began: the step at which each member begins.
        weights: of each member, the work it makes.
        apart: members at which slices begin in any case.
    """
    stacked = {name: plans[name].mode == "stacked" for name in ("gradient", "outputs")}
    chunk, evaluated = (plans[name].chunk if stacked[name] else None for name in stacked)
    edges = edges_of(grid, began, chunk, len(problem.data.train), evaluated)
    rows = cuts(
        weights,
        slices,
        required=apart,
        edges=edges,
        whole=not any(stacked.values()),
        aligned=of_whole_matrices(recipe.optimizer),
    )
    return [Part(start, stop, began) for start, stop in itertools.pairwise(rows)]


def carried_out(
    problem: Problem, workers: Workers, work: Work, pieces: Sequence[Any], heard: Heard
) -> Generator[Done, None, None]:
    """What slices come to, as they do.

    Raises:
        StackedDiffers: an audit in one found that stacked members are others; all have been stopped, and no further
            work on the problem is stacked.
    """
    found: Iterator[Done] = workers.map(work, pieces, heard)
    with contextlib.closing(found) if isinstance(found, Generator) else contextlib.nullcontext():
        for done in found:
            if done.found.reason:
                with noted(problem):
                    raise StackedDiffers(done.found.reason)
            yield done
