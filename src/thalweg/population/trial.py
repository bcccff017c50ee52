"""One way to evaluate rows, tried out on the work itself."""

import itertools
import math
import time

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.population.agreement import Difference, Named, compare
from thalweg.population.alone import Alone, named_gradients, named_outputs
from thalweg.population.batch import Batch
from thalweg.population.looped import Looped
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.stacked import Stacked
from thalweg.population.threads import Team

COMPARED = 4  # rows that a looped trial runs, and that the plans are compared on


class Trial:
    """One plan on the first rows of a population: timed, its first results kept for comparison.

    theta is only read, and buffers are copied, so trials leave no trace.

    Args:
        kind: how rows are evaluated.
        rows: how many of them.
        training: see `Execution`.
        chunks: how many equal parts of the rows are evaluated, by as many threads as `threads` says.
    """

    def __init__(
        self,
        problem: Problem,
        population: Population,
        batch: Batch,
        kind: type[Stacked] | type[Looped],
        rows: int,
        *,
        training: bool,
        chunks: int = 1,
        threads: int = 1,
    ) -> None:
        self.problem, self.training = problem, training
        self.scale = len(population) / rows
        edges = [round(rows * part / chunks) for part in range(chunks + 1)]
        self.chunks = [slice(start, stop) for start, stop in itertools.pairwise(edges)]
        self.rows, self.chosen = rows, population[slice(0, rows)]
        self.own = own = self.chosen.with_own_buffers()
        self.team = Team(lambda: kind(problem, own, training=training), threads, rows)
        self.batch = batch.rows(slice(0, rows))
        self.out = torch.empty_like(own.theta)
        self.seconds = math.inf
        self.results: Named = {}

    def run(self) -> None:
        """Run once; `seconds` is the least so far, for all members."""
        self._synchronize()
        started = time.perf_counter()
        if self.training:
            found = self.team.each(self.chunks, lambda worker, rows: worker.gradient(rows, self.batch, self.out))
        else:
            found = self.team.each(self.chunks, lambda worker, rows: worker.outputs(rows, self.batch))
        self._synchronize()
        self.seconds = min(self.seconds, self.scale * (time.perf_counter() - started))
        if self.results:
            return
        rows = slice(0, min(COMPARED, self.rows))
        buffers = {name: buffer[rows] for name, buffer in self.own.running.items()}
        join = lambda *leaves: torch.cat(leaves)[rows] if isinstance(leaves[0], Tensor) else leaves[0]  # noqa: E731
        whole = tree_map(join, *found)
        if self.training:
            results = named_gradients(self.chosen.layout, whole, self.out[rows], buffers)
        else:
            results = named_outputs(whole, buffers)
        self.results = {name: part.clone() for name, part in results.items()}  # which the next run writes over

    def difference(self, other: "Trial") -> Difference | None:
        """How the results, gradients and buffers of the rows that both ran differ; None where they are equal.

        Args:
            other: by the plain module.
        """
        rows = slice(0, min(COMPARED, self.rows, other.rows))
        own, theirs = ({name: tensor[rows] for name, tensor in one.results.items()} for one in (self, other))
        some, seen, alone = self.chosen[rows], self.batch.rows(rows), None

        def again(size: float, draw: int) -> Named:
            nonlocal alone
            alone = alone or Alone(self.problem, some, training=self.training)
            return alone.moved(some, seen, size, draw)

        return compare(own, theirs, again, self.problem.precision)

    def _synchronize(self) -> None:
        if self.problem.device.type == "cuda":
            torch.cuda.synchronize(self.problem.device)
