"""One way to evaluate rows, tried out on the work itself."""

import itertools
import math
import time
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

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
        chosen = population[slice(0, rows)]
        self.buffers = {name: buffer.clone() for name, buffer in chosen.buffers.items()}
        own = replace(chosen, buffers=self.buffers)
        self.team = Team(lambda: kind(problem, own, training=training), threads, rows)
        self.batch = batch.rows(slice(0, rows))
        self.out = torch.empty_like(chosen.theta) if training else chosen.theta
        self.seconds = math.inf
        self.results: tuple[Tensor, ...] = ()

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
        parts = zip(*(tree_leaves(part) for part in found), strict=True)
        tensors = [torch.cat(part) for part in parts if isinstance(part[0], Tensor)]
        tensors += [self.out, *self.buffers.values()]
        self.results = tuple(tensor[:COMPARED].clone() for tensor in tensors)

    def agrees(self, other: "Trial") -> bool:
        """Whether both computed the same results, gradients and buffers on the rows both ran."""
        tolerance = 1e-3 if self.problem.dtype != torch.float64 else 1e-8
        pairs = zip(self.results, other.results, strict=True)
        return all(_close(*_common(one, another), tolerance) for one, another in pairs)

    def _synchronize(self) -> None:
        if self.problem.device.type == "cuda":
            torch.cuda.synchronize(self.problem.device)


def _common(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    rows = min(len(one), len(other))
    return one[:rows], other[:rows]


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    if not one.is_floating_point():
        return torch.equal(one, other)
    scale = one.abs().nan_to_num(0, 0, 0).amax() if one.numel() else 0
    return torch.allclose(one, other, rtol=tolerance, atol=float(tolerance * scale), equal_nan=True)
