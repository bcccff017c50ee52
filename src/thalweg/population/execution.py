"""The one door to evaluating rows: stacked or looped, in chunks, one or several at once, by measurement.

All plans compute the same numbers to rounding. `choose` times them on the work itself, checks that
they agree, and keeps the fastest; the plan is part of every result and can be forced.
"""

import contextlib
import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.arguments import in_words
from thalweg.errors import ModelError, ThalwegError, check_count, unknown_name
from thalweg.guard import guarded
from thalweg.population.agreement import Difference
from thalweg.population.allocator import keep_freed_memory
from thalweg.population.audits import Audit, StackedDiffers, noted, one_of
from thalweg.population.batch import Batch
from thalweg.population.chunks import chunk_candidates, chunked
from thalweg.population.looped import Looped
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.separable import separable
from thalweg.population.stacked import Stacked
from thalweg.population.threads import Team, has_modes
from thalweg.population.trial import COMPARED, Trial
from thalweg.population.unstackable import refuse_stacked, unstackable
from thalweg.population.window import WHOLE, Window

ALL_THE_SAME = 'looped, though "stacked" was asked for'
_TRIAL_SECONDS = 0.3  # after which no further round of timing begins,
_TRIAL_SHARE = 0.03  # or after this share of the whole work,
_HOPELESS = 10  # times the least at its first run, which warms up, and a plan gets no second one
_FEW = 16  # calls for which only one size of chunks is tried
_MORE = 4  # times as many calls as a plan was measured for are worth measuring again


@dataclass(frozen=True)
class Plan:
    """How the rows of a population are evaluated.

    Args:
        mode: "stacked" (one call per chunk) or "looped" (one call per row).
        chunk: rows evaluated at once; 1 when looped, 0 for as many as the memory budget allows.
        reason: why this plan, for a person.
        seconds: measured seconds per step of each candidate, by its name; empty when nothing was timed.
        threads: how many chunks are evaluated at a time, each with one of torch's threads; 1: one, with all of them.
            With several, the bits of a member are those of a process with one thread, also of a member that is alone.
            "auto" takes several only for layers and losses of torch's and Thalweg's own (`separable`). Forced on a
            model or a loss of the user's, it is the user's word that they write to nothing that calls share, such as
            globals, a random stream of their own, or torch's switches: nothing detects it, and results are then wrong.

    >>> import thalweg as tw
    >>> str(tw.population.Plan("stacked", 8)), tw.population.Plan("looped", 1).reason
    ('stacked, 8 at once', 'forced')
    >>> str(tw.population.Plan("looped", threads=2))
    'looped, in 2 threads'
    """

    mode: Literal["stacked", "looped"]
    chunk: int = 0
    reason: str = "forced"
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    threads: int = 1

    def __post_init__(self) -> None:
        check_count("Plan threads", self.threads)

    def __str__(self) -> str:
        how = self.mode if self.mode == "looped" else f"stacked, {self.chunk} at once"
        return how if self.threads == 1 else f"{how}, in {self.threads} threads"


class Execution:
    """A population's rows, ready to be evaluated again and again in place.

    theta and buffers of the population are read at every call and may be written between calls.

    Args:
        plan: a `Plan`, "stacked" or "looped" to force one, or "auto" to measure on `batch`. Where an audit has found
            that stacked members are others, a forced "stacked" is looped too, with a warning.
        batch: a batch of the size that is coming.
        calls: how many such batches are coming: timing takes a small share of the whole work. Unknown: infinitely many.
        training: whether the model is in training mode, and the work includes gradients.
        seeds: one per member, for models that draw random numbers.
        window: where the rows stand in a larger population, if they are a part of one.

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> population, batch = problem.initialize(3), tw.population.Batch.range(problem.data.train, 0, 32)
    >>> execution = tw.population.Execution(problem, population, batch, plan="looped")
    >>> execution.gradient(batch, out=torch.empty_like(population.theta)).shape
    torch.Size([3])
    """

    @in_words
    def __init__(
        self,
        problem: Problem,
        population: Population,
        batch: Batch,
        *,
        plan: Plan | str = "auto",
        training: bool = True,
        seeds: Sequence[int] | None = None,
        calls: float = math.inf,
        window: Window = WHOLE,
    ) -> None:
        keep_freed_memory()
        self.members = len(population)
        problem.check(population)
        if isinstance(plan, Plan):
            _check_mode(problem, plan.mode, training=training)
            if plan.threads > 1 and problem.draws(training=training):
                plan = replace(plan, threads=1)  # their streams are the process's
            if plan.mode == "stacked" and problem.unstacked:
                plan = _all_the_same(problem)
        if isinstance(plan, str):
            plan = choose(problem, population, batch, plan, training=training, calls=calls)
        self.plan, self.problem = plan, problem
        self._audit = Audit(problem, population, training=training, first=window.first)
        if self.plan.mode == "stacked":
            make: Callable[[], Stacked | Looped] = lambda: Stacked(problem, population, training=training)  # noqa: E731
        else:
            make = lambda: Looped(problem, population, training=training, seeds=seeds)  # noqa: E731
        self._team = Team(make, self.plan.threads, self.members)
        size = 1 if self.plan.mode == "looped" else self.plan.chunk
        threads = self.plan.threads
        self.size = size or chunk_candidates(problem, population, batch, training=training, threads=threads)[0]
        self._chunks = chunked(slice(0, self.members), self.size, window.before)

    @property
    def modules(self) -> list[nn.Module]:
        """The private copies of the model that are called, one for each thread."""
        return [worker.bound.module for worker in self._team.workers]

    def attend(self, members: Sequence[bool], before: int = 0) -> None:
        """From now on take the gradients of these members alone: what is computed of others is neither read nor due.

        Args:
            members: which of them.
            before: how many members just before the first, if it is among them, are attended to in the whole.
        """
        edges = [0, *(i for i in range(1, self.members) if members[i] != members[i - 1]), self.members]
        runs = [slice(a, b) for a, b in itertools.pairwise(edges) if members[a]]
        self._chunks = [chunk for run in runs for chunk in chunked(run, self.size, 0 if run.start else before)]

    def gradient(
        self,
        batch: Batch,
        out: Float[Tensor, "members parameters"],
        step: int = 0,
        *,
        audit: int | None = None,
    ) -> Float[Tensor, " members"]:
        """Mean losses of all members on the batch; their gradients are written to `out`.

        Those of members that are not attended to are 0, and `out` stays as it is there.

        Args:
            batch, step: what is seen, and the step that random numbers are of.
            out: where gradients go.
            audit: a member that is computed again alone, where members are stacked; None: none.

        Raises:
            StackedDiffers: stacked members are not what the plain module gives, or cannot be computed while it can.
        """
        before = self._before(audit, out)
        with self._watched(batch):
            losses = self._team.each(self._chunks, lambda worker, rows: worker.gradient(rows, batch, out, step))
        if sum(map(len, losses)) == self.members:
            every = losses[0] if len(losses) == 1 else torch.cat(losses)
        else:
            every = out.new_zeros(self.members)
            for rows, own in zip(self._chunks, losses, strict=True):
                every[rows] = own
        if before is not None:
            with noted(self.problem):
                self._audit.gradient(*before, batch, every, out, step)
        return every

    def outputs(self, batch: Batch, step: int = 0, *, audit: int | None = None) -> Iterator[tuple[slice, Any]]:
        """Outputs (rows, batch, ...) chunk by chunk, without gradients; see `gradient`."""
        before = self._before(audit)
        for first in range(0, len(self._chunks), self.plan.threads):
            some = self._chunks[first : first + self.plan.threads]
            with self._watched(batch):
                outputs = self._team.each(some, lambda worker, rows: worker.outputs(rows, batch, step))
            for rows, part in zip(some, outputs, strict=True):
                if before is not None and rows.start <= before[0] < rows.stop:
                    with noted(self.problem):
                        self._audit.outputs(*before, batch, one_of(part, before[0] - rows.start))
                yield rows, part

    def _before(self, audit: int | None, out: Tensor | None = None) -> tuple[int, Population] | None:
        """The member that is audited, if any, and what it is before the call."""
        return None if audit is None or self.plan.mode == "looped" else (audit, self._audit.before(audit, out))

    @contextlib.contextmanager
    def _watched(self, batch: Batch) -> Iterator[None]:
        """Name the batch on which the model fails; where the plain module does not, members cannot be stacked on it."""
        try:
            with explained(batch):
                yield
        except ModelError as error:
            if self.plan.mode == "looped" or isinstance(error.__cause__, torch.OutOfMemoryError):
                raise
            members = (member for rows in self._chunks for member in range(rows.start, rows.stop))
            if not self._audit.computes_alone(members, batch):
                raise
            with noted(self.problem):
                reason = f"members cannot be stacked on a batch that the plain module computes: {error}".rstrip(".")
                raise StackedDiffers(reason) from error


@guarded
def choose(
    problem: Problem,
    population: Population,
    batch: Batch,
    plan: str = "auto",
    *,
    training: bool = True,
    calls: float = math.inf,
) -> Plan:
    """The plan for this work, measured once per shape of work and then remembered by the problem.

    Cost: one or a few evaluations of the batch for each candidate (see `Execution`), none when there is only one.

    Raises:
        UsageError: a forced plan that does not exist, or "stacked" for a model that draws random
            numbers (members could not each have their own stream), trains embeddings with padding rows, or has hooks on
            backward passes.
        ModelError: "stacked" for a model that cannot be stacked, or whose stacked results on this batch are others than
            those of the plain module. What an audit found in earlier work on the problem (`problem.unstacked`) is no
            error: as then, the plan is looped, and a warning says why; so does its reason.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> population, batch = problem.initialize(1), tw.population.Batch.range(problem.data.train, 0, 32)
    >>> tw.population.choose(problem, population, batch).reason
    'there is one member'
    """
    _check_mode(problem, plan, training=training)
    if plan == "looped" or (len(population) == 1 and plan == "auto"):
        return Plan("looped", 1, "forced" if plan == "looped" else "there is one member")
    if plan == "stacked" and problem.unstacked:
        return _all_the_same(problem)
    reason = unstackable(problem, training=training)
    if reason:
        return Plan("looped", 1, reason)
    threads = torch.get_num_threads() if separable(problem, batch) and not has_modes() else 1
    key = (plan, training, len(population), batch.shared, batch.size, torch.get_num_threads(), threads)
    known, measured_for = problem.plans.get(key, (None, 0))
    if known is None or calls > _MORE * measured_for:
        with explained(batch):
            known = _measure(problem, population, batch, plan, training=training, calls=calls, threads=threads)
        problem.plans[key] = known, calls
    return known


def _all_the_same(problem: Problem) -> Plan:
    """The looped plan where stacked members are asked for, and an audit found before that they are others.

    A warning and no error: the work in which it was found went on likewise, and to do it again gives the same.
    """
    reason = f"{problem.unstacked}; {ALL_THE_SAME}"
    warnings.warn(f"{reason}.", stacklevel=5)
    return Plan("looped", 1, reason)


@contextlib.contextmanager
def explained(batch: Batch) -> Iterator[None]:
    """Name the batch where the model or the loss fails on it, as normalization does on a single example."""
    try:
        yield
    except ThalwegError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        msg = f"The model or its loss failed on a batch of {batch.size} examples per member: {error}"
        raise ModelError(msg) from error


def _check_mode(problem: Problem, mode: str, *, training: bool) -> None:
    if mode not in ("auto", "stacked", "looped"):
        raise unknown_name("plan", mode, ("auto", "stacked", "looped"))
    if mode == "stacked":
        refuse_stacked(problem, training=training)


def _measure(
    problem: Problem, population: Population, batch: Batch, plan: str, *, training: bool, calls: float, threads: int
) -> Plan:
    chunks = chunk_candidates(problem, population, batch, training=training)[: 1 if calls < _FEW else None]
    looped = Trial(problem, population, batch, Looped, min(COMPARED, len(population)), training=training)
    looped.run()
    trials, refused, said = {Plan("looped", 1): looped}, "", ""
    for chunk in chunks:
        trial = Trial(problem, population, batch, Stacked, chunk, training=training)
        try:
            trial.run()
        except Exception as error:  # whatever vmap cannot do means: this model cannot be stacked
            said = next(iter(str(error).splitlines()), type(error).__name__)
            refused = f"the model cannot be stacked ({said})"
            if plan == "stacked":
                msg = f'Plan "stacked" was asked for, but {refused}; write plan="looped" or leave plan="auto".'
                raise ModelError(msg) from error
            break
        difference = trial.difference(looped)
        if difference is not None and not difference.rounding:
            return _apart(difference, plan)
        said = f"; they differ by rounding, {difference}" if difference else ""
        if plan == "stacked":
            return Plan("stacked", chunk, f"forced{said}")
        trials[Plan("stacked", chunk)] = trial
    threads = min(threads, len(population))
    if calls >= _FEW and threads > 1 and problem.device.type == "cpu":
        stacked = not refused
        trials |= _in_threads(problem, population, batch, looped, threads, training=training, stacked=stacked)
    if len(trials) == 1:
        return Plan("looped", 1, refused)
    best = _fastest(trials, calls, refused)
    return replace(best, reason=best.reason + said) if best.mode == "stacked" else best


def _apart(difference: Difference, plan: str) -> Plan:
    """The looped plan, where stacked members are not what the plain module gives; of a forced plan, an error."""
    if difference.kind == "restless":
        reason = f"the model is not a function of its parameters, buffers and inputs: a second call is {difference} off"
    else:
        reason = f"stacked results differ from those of the plain module by {difference}"
    if plan == "stacked":
        msg = f'Plan "stacked" was asked for, but {reason}; write plan="looped" or leave plan="auto".'
        raise ModelError(msg)
    return Plan("looped", 1, reason)


def _in_threads(
    problem: Problem,
    population: Population,
    batch: Batch,
    looped: Trial,
    threads: int,
    *,
    training: bool,
    stacked: bool,
) -> dict[Plan, Trial]:
    """Plans by which every core has rows of its own, run once; those that agree."""
    rows = min(threads * math.ceil(COMPARED / threads), len(population))
    kinds: list[tuple[type[Stacked] | type[Looped], Plan, int, int]] = [
        (Looped, Plan("looped", 1, threads=threads), rows, rows)
    ]
    if stacked:
        cached = chunk_candidates(problem, population, batch, training=training, threads=threads)[-1]
        chunk = min(cached, math.ceil(len(population) / threads))
        rows = min(threads * chunk, len(population))
        kinds.append((Stacked, Plan("stacked", chunk, threads=threads), rows, math.ceil(rows / chunk)))
    trials = {}
    for kind, plan, rows, chunks in kinds:
        trial = Trial(problem, population, batch, kind, rows, training=training, chunks=chunks, threads=threads)
        trial.run()
        difference = trial.difference(looped)
        if difference is None or difference.rounding:
            trials[plan] = trial
    return trials


def _fastest(trials: dict[Plan, Trial], calls: float, refused: str) -> Plan:
    """The plan with the smallest time; close ones are run more often, in turns, as noise comes and goes."""
    least = min(trial.seconds for trial in trials.values())
    deadline = time.perf_counter() + min(_TRIAL_SECONDS, _TRIAL_SHARE * calls * least)
    close = [plan for plan in trials if trials[plan].seconds <= _HOPELESS * least]
    for rounds in itertools.count(1):
        for plan in close:
            trials[plan].run()
        least = min(trial.seconds for trial in trials.values())
        close = [plan for plan in close if trials[plan].seconds <= (1 + 0.5 / rounds) * least]
        if len(close) == 1 or time.perf_counter() > deadline:
            break
    best = min(close, key=lambda plan: trials[plan].seconds)
    seconds = {str(plan): trial.seconds for plan, trial in trials.items()}
    if refused:
        return replace(best, reason=refused, seconds=seconds)
    other = min(trial.seconds for plan, trial in trials.items() if plan.mode != best.mode)
    name = "looped" if best.mode == "stacked" else "stacked"
    reason = f"measured {other / trials[best].seconds:.1f}x faster than {name}"
    return replace(best, reason=reason, seconds=seconds)
