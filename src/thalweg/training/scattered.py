"""A run whose members stay in the store, in the slices in which they were trained."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import StorageError, UsageError
from thalweg.evaluation import Sample, evaluate
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Summarized
from thalweg.storage import Store
from thalweg.training.history import History
from thalweg.training.part import Part
from thalweg.training.recipe import Recipe
from thalweg.training.slice_records import slice_key
from thalweg.workers import Here, Tell, Workers, check_workers


@dataclass(frozen=True, eq=False)
class Scattered(Summarized):
    """Members that lie in a store in slices; rows are read when they are asked for.

    >>> import tempfile
    >>> import thalweg as tw
    >>> problem, workers = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits()), tw.workers.Here(3)
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=2, batch_size=64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     members = tw.training.scatter(problem, recipe, 6, workers=workers, store=folder).final
    ...     norms = members.each(lambda some: {"norm": some.theta.norm(dim=1)}, workers=workers)
    ...     members.cuts, members[4].theta.shape, norms["norm"].shape
    ((0, 2, 4, 6), torch.Size([1, 650]), (6,))

    Args:
        problem: of the members.
        path: of the store.
        key: of the run there.
        cuts: the members at which slices begin and end, 0 and all included.
        identity: what determines the run, by which its slices are known.
    """

    problem: Problem = field(repr=False)
    path: str
    key: str
    cuts: tuple[int, ...]
    identity: Mapping[str, Any] = field(repr=False)

    def facts(self) -> dict[str, str]:
        """Members, slices, and where they are."""
        return {"members": f"{len(self):,}", "slices": f"{len(self.cuts) - 1:,}", "store": self.path}

    def __len__(self) -> int:
        return self.cuts[-1]

    def __getitem__(self, members: int | slice | Sequence[int]) -> Population:
        """Some members as a population in memory, in the order asked for, as `Population` chooses them.

        Raises:
            IndexError: a member that is not there.
            StorageError: an object that is missing or damaged.

        Cost: each slice that holds some of them is read once.
        """
        chosen = np.atleast_1d(np.arange(len(self))[members])
        store, (rows, places) = Store(self.path, create=False), np.unique(chosen, return_inverse=True)
        slices = np.searchsorted(self.cuts, rows, side="right") - 1
        parts = [
            self._slice(store, number, (rows[slices == number] - self.cuts[number]).tolist())
            for number in np.unique(slices).tolist()
        ]
        return Population.concatenate(parts)[places.tolist()]

    def part(self, number: int) -> Population:
        """The members of one slice, by its number."""
        return self._slice(Store(self.path, create=False), number, None)

    def each(
        self,
        function: Callable[[Population], Mapping[str, Tensor | ArrayLike]],
        *,
        workers: Workers | None = None,
        progress: Watcher | None = automatic,
    ) -> dict[str, NDArray[Any]]:
        """What a function gives for the members of every slice, joined: by name, (members, ...).

        Args:
            function: of a population, to arrays with its members in front, by name.
            workers: who calls it, each for some slices, which are read there; None: this process.
            progress: told how many slices are done.

        Raises:
            UsageError: arrays without a row for each member.
            WorkerError: see `Workers.map`.
        """
        check_workers("The workers of scattered members", workers, optional=True)
        pieces = [_Slice(self, number) for number in range(len(self.cuts) - 1)]
        found: dict[int, dict[str, NDArray[Any]]] = {}
        start = time.perf_counter()
        with watched(progress) as told:
            for done in (workers or Here()).map(_Calling(function), pieces, lambda number, report: None):
                found[done.number] = done.found
                told(Progress("slices", len(found), len(pieces), time.perf_counter() - start))
        names = found[0]
        return {name: np.concatenate([found[number][name] for number in sorted(found)]) for name in names}

    def evaluate(
        self,
        on: Sample | str | ExampleSet | None = None,
        *,
        workers: Workers | None = None,
        progress: Watcher | None = automatic,
    ) -> dict[str, NDArray[Any]]:
        """`tw.evaluate` of all members, slice by slice where they lie: (members,) each."""
        problem = self.problem
        return self.each(lambda members: evaluate(problem, members, on), workers=workers, progress=progress)

    def _slice(self, store: Store, number: int, rows: list[int] | None) -> Population:
        start, stop = self.cuts[number], self.cuts[number + 1]
        record = store.get("slice", slice_key(self.key, start, stop))
        if record.document["identity"]["of"] != self.identity:
            msg = f"The slice {record.key!r} of the store {self.path} is another one's; train the run again."
            raise StorageError(msg)
        arrays = store.arrays(record.objects["state"])
        chosen: Any = slice(None) if rows is None else rows
        device = self.problem.device
        buffers = {
            name.removeprefix("buffers/"): tensor[chosen].to(device)
            for name, tensor in arrays.items()
            if name.startswith("buffers/")
        }
        theta = arrays["theta"][chosen].to(device)
        return Population(theta, buffers, self.problem.layout, self.problem.template)


@dataclass(frozen=True, eq=False)
class ScatteredRun(Summarized):
    """A run whose members stay in the store; see `scatter`.

    >>> import tempfile
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=2, batch_size=64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = tw.training.scatter(problem, recipe, 6, workers=tw.workers.Here(3), store=folder)
    >>> run.history.steps.tolist(), run.diverged_at.tolist()
    ([0, 1, 2], [-1, -1, -1, -1, -1, -1])

    Args:
        recipe: as given.
        axes: for every swept axis and "seed", the value of each member (members,).
        final: the members after the last step, read when they are asked for.
        history: loss and metrics over the steps.
        diverged_at: the step at which a member stopped being finite, -1 where it did not: (members,).
        plans: how gradients and outputs were evaluated.
        seconds: wall-clock time of the call that returned this.
    """

    recipe: Recipe
    axes: Mapping[str, NDArray[Any]]
    final: Scattered
    history: History
    diverged_at: NDArray[np.int64]
    plans: Mapping[str, Plan]
    seconds: float

    def facts(self) -> dict[str, str]:
        """Members and their axes, rule, steps, how many diverged, and the metrics at the last evaluation."""
        axes = ", ".join(f"{len(np.unique(values))} {name}" for name, values in self.axes.items())
        diverged = int((self.diverged_at >= 0).sum())
        return {
            "members": f"{len(self.final):,}: {axes}",
            "slices": f"{len(self.final.cuts) - 1:,}, in {self.final.path}",
            "rule": type(self.recipe.optimizer).__name__,
            "steps": f"{self.recipe.steps:,}",
            "diverged": f"{diverged:,}" if diverged else "none",
            **self.history.last(),
        }


@dataclass(frozen=True, eq=False)
class _Slice:
    """One slice, to be read by whoever works on it."""

    members: Scattered
    number: int

    def __str__(self) -> str:
        return str(Part(self.members.cuts[self.number], self.members.cuts[self.number + 1], torch.empty(0)))


@dataclass(frozen=True, eq=False)
class _Calling:
    """A function called on slices."""

    function: Callable[[Population], Mapping[str, Tensor | ArrayLike]]

    def __call__(self, piece: _Slice, tell: Tell) -> dict[str, NDArray[Any]]:
        population = piece.members.part(piece.number)
        given = self.function(population)
        if not isinstance(given, Mapping):
            msg = f"each needs a function that gives arrays by name; it gave a {type(given).__name__}."
            raise UsageError(msg)
        found = {
            name: np.asarray(one.detach().cpu().numpy() if isinstance(one, Tensor) else one)
            for name, one in given.items()
        }
        for name, one in found.items():
            if one.shape[:1] != (len(population),):
                msg = f"each needs a row for each of {len(population)} members; {name!r} has shape {one.shape}."
                raise UsageError(msg)
        return found
