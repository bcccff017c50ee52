"""Stacked results checked while they are made: a member drawn at random is computed again alone by the plain module.

The comparison by which a plan is chosen sees one batch. What vmap computes wrongly only for some examples, such as a
token that comes late, it cannot see; audits throughout the work do.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.errors import ModelError
from thalweg.population.agreement import Difference, Named, compare
from thalweg.population.alone import Alone, named_gradients, named_outputs
from thalweg.population.batch import Batch
from thalweg.population.noise import moved_tree
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.randomness import generator, global_stream, stream_key

LEAST = 8  # audits a run, or a problem of its evaluations and derivatives; fewer only where there are fewer steps
ONE_IN = 50  # steps beyond which there are more: an audit takes less time than a step of two or more members
ONE_CELL_IN = 400  # outputs of a member on a batch, of which a call audits one
Audited = dict[int, int]  # a member by the number of a batch


class StackedDiffers(ModelError):
    """What stacked members gave is not what the plain module gives, or cannot be computed; `reason` says what."""

    def __init__(self, reason: str) -> None:
        super().__init__(f'{reason[:1].upper()}{reason[1:]}; write plan="looped".')
        self.reason = reason


class Schedule:
    """Which of the steps first, ..., last - 1 are audited: the first, and one at random in each part of the others.

    There are as many equal parts as audits, `LEAST` or one in `ONE_IN` steps if that is more. It is a function of
    (seed, step) alone, so a run that goes on is audited where the uninterrupted one is.

    >>> from thalweg.population.audits import Schedule
    >>> steps = [step for step in range(2_000) if Schedule(0, 0, 2_000).due(step)]
    >>> len(steps), steps[0], steps[-1] >= 1_950
    (40, 0, True)
    >>> sum(Schedule(0, 5, 10).due(step) for step in range(5, 10))
    5
    """

    def __init__(self, seed: int, first: int, last: int) -> None:
        self.seed, self.first, self.steps = seed, first, last - first
        self.parts = min(self.steps, max(LEAST, self.steps // ONE_IN))
        self._part, self._chosen = -1, -1

    def due(self, step: int) -> bool:
        """Whether this step is audited."""
        place = step - self.first
        part = place * self.parts // self.steps
        if part != self._part:
            start, stop = (-(-number * self.steps // self.parts) for number in (part, part + 1))
            drawn = torch.randint(start, stop, (), generator=generator(self.seed, "audit steps", part))
            self._part, self._chosen = part, int(drawn) if part else 0
        return place == self._chosen


def due(problem: Problem, work: str) -> int | None:
    """The number of a call whose like come again and again, where it is to be audited; else None.

    The first eight calls for a problem are, and then one in fifty, at random.
    """
    number = problem.audits[work] = problem.audits.get(work, -1) + 1
    chosen = number < LEAST or stream_key(0, f"audit {work}", number // ONE_IN) % ONE_IN == number % ONE_IN
    return number if chosen else None


def drawn_member(seed: int, step: int, eligible: Tensor) -> int | None:
    """One of the members that are eligible, at random by (seed, step); None where there is none."""
    order = torch.randperm(len(eligible), generator=generator(seed, "audit", step))
    chosen = order[eligible.cpu()[order]]
    return int(chosen[0]) if len(chosen) else None


def drawn_cells(seed: int, number: int, batches: int, eligible: Tensor) -> Audited:
    """Which member is audited on which batches of an evaluation, at random by (seed, number).

    >>> import torch
    >>> from thalweg.population.audits import drawn_cells
    >>> [len(drawn_cells(0, 0, batches, torch.ones(64, dtype=torch.bool))) for batches in (1, 100)]
    [1, 15]

    Args:
        seed, number: of the random stream.
        batches: how many.
        eligible: the members that may be drawn: (members,).

    Returns:
        The member by the number of the batch; one, and more where there are hundreds of members times batches: one for
        every 400, less those that fall on one batch.
    """
    stream, among = generator(seed, "audit evaluation", number), eligible.cpu().nonzero().flatten()
    chosen: Audited = {}
    for _ in range(1 + len(among) * batches // ONE_CELL_IN if len(among) else 0):
        batch = int(torch.randint(batches, (), generator=stream))
        chosen[batch] = int(among[torch.randint(len(among), (), generator=stream)])
    return chosen


class Audit:
    """Compares stacked results of a member with those of the plain module.

    Args:
        problem, population: what is evaluated in place.
        training: see `Execution`.
    """

    def __init__(self, problem: Problem, population: Population, *, training: bool) -> None:
        self.problem, self.population, self.training = problem, population, training
        self._alone: Alone | None = None

    def before(self, member: int, out: Tensor | None = None) -> Population:
        """The member as it is before the call that is audited, in memory that the call does not write into.

        Args:
            member: which it is.
            out: where gradients go, which may be theta itself.
        """
        one = self.population[member : member + 1].with_own_buffers()
        written = out is not None and out.untyped_storage().data_ptr() == one.theta.untyped_storage().data_ptr()
        return one.with_theta(one.theta.clone()) if written else one

    def gradient(self, member: int, before: Population, batch: Batch, losses: Tensor, out: Tensor, step: int) -> None:
        """Raise StackedDiffers where the loss, the gradient or the buffers of a member are not its own.

        Args:
            member: which it is, and `before` what it was.
            batch: that of all members.
            losses, out: what they gave: (members,) and (members, parameters).
        """
        row = slice(member, member + 1)
        after = {name: buffer[row] for name, buffer in self.population.running.items()}
        found = named_gradients(self.population.layout, losses[row], out[row], after)
        self._check(member, before, batch.rows(row), found, f"at step {step + 1}")

    def outputs(self, member: int, before: Population, batch: Batch, outputs: Any) -> None:
        """The same of a member's outputs (1, batch, ...)."""
        row = slice(member, member + 1)
        after = {name: buffer[row] for name, buffer in self.population.running.items()}
        self._check(member, before, batch.rows(row), named_outputs(outputs, after), "in evaluation")

    def _check(self, member: int, before: Population, batch: Batch, found: Named, when: str) -> None:
        self._alone = self._alone or Alone(self.problem, before, training=self.training)
        alone = self._alone
        alone.put(before)
        wanted = alone.results(batch)
        difference = compare(
            found, wanted, lambda size, draw: alone.moved(before, batch, size, draw), self.problem.precision
        )
        if difference is not None and not difference.rounding:
            raise StackedDiffers(told(difference, f"member {member} {when}"))

    def computes_alone(self, members: Iterator[int], batch: Batch) -> bool:
        """Whether the plain module can compute these members on the batch, where they cannot be stacked."""
        try:
            for member in members:
                before = self.before(member)
                Alone(self.problem, before, training=self.training).results(batch.rows(slice(member, member + 1)))
        except Exception:  # whatever the plain module cannot do either, it says by itself
            return False
        return True


def told(difference: Difference, what: str) -> str:
    """An audit's finding, for a person."""
    if difference.kind == "restless":
        return f"an audit found that the plain module gives something else for {what} at a second call: {difference}"
    return f"an audit found that stacked results of {what} differ from those of the plain module by {difference}"


def found_other(problem: Problem, difference: Difference, what: str) -> None:
    """Say, and remember, that an audit found another result, so that all are done anew."""
    problem.unstacked = told(difference, what)
    problem.plans.clear()
    warnings.warn(f"{problem.unstacked}; done anew, looped.", stacklevel=5)


def check_values(problem: Problem, name: str, function: Any, values: Tensor, outputs: Any, batch: Batch) -> None:
    """Raise StackedDiffers where values of a loss or metric are others than those of the member alone.

    Args:
        problem: what is evaluated.
        name, function: the loss or the metric.
        values: (1, batch), of the member among others.
        outputs: the member's, (1, batch, ...).
        batch: what it sees.
    """
    own, targets = tree_map(lambda leaf: leaf[0], outputs), batch.member(0)[1]

    def alone(size: float, draw: int) -> Named:
        with global_stream(0, "audit"):
            found, _ = function.entries(moved_tree(own, size, draw), targets, 1)
        return {f"the {name}": found.unsqueeze(0)}

    difference = compare({f"the {name}": values}, alone(0.0, 0), alone, problem.precision)
    if difference is not None and not difference.rounding:
        with noted(problem):
            raise StackedDiffers(told(difference, "a member's values in evaluation"))


def one_of(outputs: Any, row: int) -> Any:
    """The outputs of one row, (1, batch, ...)."""
    return tree_map(lambda leaf: leaf[row : row + 1] if isinstance(leaf, Tensor) else leaf, outputs)


@contextlib.contextmanager
def noted(problem: Problem) -> Iterator[None]:
    """Remember an audit's finding, so that no further work on the problem is stacked."""
    try:
        yield
    except StackedDiffers as found:
        problem.unstacked = found.reason
        problem.plans.clear()
        raise
