"""The one door to evaluating rows: stacked or looped, in chunks, by measurement.

Both plans compute the same numbers to rounding. `choose` times them on the work itself, checks that
they agree, and keeps the faster; the plan is part of every result and can be forced.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.errors import UsageError, unknown_name
from thalweg.population.allocator import keep_freed_memory
from thalweg.population.batch import Batch
from thalweg.population.looped import Looped, activation_bytes
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.stacked import Stacked

_CACHE = 4 * 2**20  # bytes of activations that stay near the cores
_TIMED_ROWS = 4  # rows that a looped timing runs, and that the two plans are compared on
_REPEATS = 3


@dataclass(frozen=True)
class Plan:
    """How the rows of a population are evaluated.

    Args:
        mode: "stacked" (one vmapped call a chunk) or "looped" (one call a row).
        chunk: rows evaluated at once; 1 when looped, 0 for as many as the memory budget allows.
        reason: why this plan, for a person.
        seconds: measured seconds a step of each candidate, by its name; empty when nothing was timed.
    """

    mode: Literal["stacked", "looped"]
    chunk: int = 0
    reason: str = "forced"
    seconds: dict[str, float] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.mode if self.mode == "looped" else f"stacked, {self.chunk} at once"


class Execution:
    """A population's rows, ready to be evaluated again and again in place.

    theta and buffers of the population are read at every call and may be written between calls.

    Args:
        plan: a `Plan`, "stacked" or "looped" to force one, or "auto" to measure on `batch`.
        batch: a batch of the size that is coming.
        training: whether the model is in training mode, and the work includes gradients.
        seeds: one per member, for models that draw random numbers.
    """

    def __init__(
        self,
        problem: Problem,
        population: Population,
        batch: Batch,
        *,
        plan: Plan | str = "auto",
        training: bool = True,
        seeds: Sequence[int] | None = None,
    ) -> None:
        keep_freed_memory()
        self.members = len(population)
        self.plan = plan if isinstance(plan, Plan) else choose(problem, population, batch, plan, training=training)
        if self.plan.mode == "stacked":
            self.rows: Stacked | Looped = Stacked(problem, population, training=training)
        else:
            self.rows = Looped(problem, population, training=training, seeds=seeds)

    def gradient(
        self, batch: Batch, out: Float[Tensor, "members parameters"], step: int = 0
    ) -> Float[Tensor, " members"]:
        """Mean losses of all members on the batch; their gradients are written to `out`."""
        return torch.cat([self.rows.gradient(rows, batch, out, step) for rows in self.chunks()])

    def outputs(self, batch: Batch, step: int = 0) -> Iterator[tuple[slice, Any]]:
        """Outputs (rows, batch, ...) chunk by chunk, without gradients."""
        for rows in self.chunks():
            yield rows, self.rows.outputs(rows, batch, step)

    def chunks(self) -> Iterator[slice]:
        """The rows of each call."""
        size = self.plan.chunk or self.members
        return (slice(start, min(start + size, self.members)) for start in range(0, self.members, size))


def choose(
    problem: Problem, population: Population, batch: Batch, plan: str = "auto", *, training: bool = True
) -> Plan:
    """The plan for this work, measured once a shape of work and then remembered by the problem.

    Cost: a few evaluations of the batch for each candidate, none when there is only one.

    Raises:
        UsageError: a forced plan that does not exist, or "stacked" for a model that draws random
            numbers (members could not each have their own stream).
    """
    if plan not in ("auto", "stacked", "looped"):
        raise unknown_name("plan", plan, ("auto", "stacked", "looped"))
    stochastic = training and problem.stochastic
    if plan == "stacked" and stochastic:
        msg = (
            "The model draws random numbers in training mode, and stacked members cannot each have their "
            'own stream; write plan="looped" or leave plan="auto".'
        )
        raise UsageError(msg)
    if plan == "looped" or (len(population) == 1 and plan == "auto"):
        return Plan("looped", 1, "forced" if plan == "looped" else "there is one member")
    if stochastic:
        return Plan("looped", 1, "each member draws its own random numbers")
    key = (plan, training, len(population), batch.shared, batch.size)
    if key not in problem.plans:
        problem.plans[key] = _measure(problem, population, batch, plan, training=training)
    return problem.plans[key]


def _measure(problem: Problem, population: Population, batch: Batch, plan: str, *, training: bool) -> Plan:
    chunks = _chunk_candidates(problem, population, batch)
    if plan == "stacked":
        return Plan("stacked", chunks[0])
    trial = Trial(problem, population, batch, training=training)
    looped = trial.looped()
    seconds, failure = {}, ""
    for chunk in chunks:
        try:
            seconds[chunk] = trial.stacked(chunk)
        except Exception as error:  # any failure of vmap means: this model cannot be stacked
            failure = f"the model cannot be stacked ({str(error).splitlines()[0]})"
            break
        if not trial.agree():
            failure = "stacked and looped results differ, so the model is not a function of its parameters and buffers"
            break
    names = {"looped": looped} | {f"stacked, {chunk} at once": second for chunk, second in seconds.items()}
    if failure:
        return Plan("looped", 1, failure, names)
    best = min(seconds, key=seconds.__getitem__)
    if seconds[best] <= looped:
        return Plan("stacked", best, f"measured {looped / seconds[best]:.1f}x faster than looped", names)
    return Plan("looped", 1, f"measured {seconds[best] / looped:.1f}x faster than stacked", names)


def _chunk_candidates(problem: Problem, population: Population, batch: Batch) -> list[int]:
    """As many rows as the memory budget allows, as fit the cache, and one size between."""
    bytes_each = activation_bytes(problem, population, batch)
    largest = max(1, min(len(population), problem.memory_budget // bytes_each))
    cached = max(1, min(largest, _CACHE // bytes_each))
    between = round((largest * cached) ** 0.5)
    return sorted({largest, cached, between} - ({1} if largest > 1 else set()), reverse=True)


class Trial:
    """Both plans on copies of the first rows, timed and compared."""

    def __init__(self, problem: Problem, population: Population, batch: Batch, *, training: bool) -> None:
        self.problem, self.population, self.batch, self.training = problem, population, batch, training
        self.compared = slice(0, min(_TIMED_ROWS, len(population)))
        self.results: dict[str, tuple[Tensor, ...]] = {}

    def looped(self) -> float:
        """Seconds a step, from a few rows."""
        return self._time("looped", Looped, self.compared)

    def stacked(self, chunk: int) -> float:
        """Seconds a step, from one chunk."""
        return self._time("stacked", Stacked, slice(0, chunk))

    def agree(self) -> bool:
        """Whether both computed the same results, gradients and buffers on the rows both ran."""
        tolerance = 1e-3 if self.problem.dtype != torch.float64 else 1e-8
        pairs = zip(self.results["looped"], self.results["stacked"], strict=True)
        return all(_close(*_common(one, other), tolerance) for one, other in pairs)

    def _time(self, name: str, kind: type[Stacked] | type[Looped], rows: slice) -> float:
        population = self.population[rows]
        population = replace(population, buffers={name: b.clone() for name, b in population.buffers.items()})
        batch = self.batch.rows(rows)
        work = kind(self.problem, population, training=self.training)
        everything = slice(0, len(population))
        out = torch.empty_like(population.theta)
        best = float("inf")
        for repeat in range(_REPEATS):
            self._synchronize()
            start = time.perf_counter()
            result = work.gradient(everything, batch, out) if self.training else work.outputs(everything, batch)
            self._synchronize()
            elapsed = time.perf_counter() - start
            best = min(best, elapsed)
            if repeat == 0:
                self._keep(name, result, out, population)
            elif elapsed > 2 * best:
                break
        return best * len(self.population) / len(population)

    def _keep(self, name: str, result: Any, out: Tensor, population: Population) -> None:
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        tensors += [out] if self.training else []
        tensors += population.buffers.values()
        self.results[name] = tuple(tensor[:_TIMED_ROWS].clone() for tensor in tensors)

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
