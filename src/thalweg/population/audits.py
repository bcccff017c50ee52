"""Stacked results checked while they are made: a member drawn at random is computed again alone by the plain module.

The comparison by which a plan is chosen sees one batch. What vmap computes wrongly only for some examples, such as a
token that comes late, it cannot see; audits throughout the work do.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.errors import ModelError
from thalweg.population.agreement import Difference, Named, compare
from thalweg.population.alone import Alone, named_gradients, named_outputs
from thalweg.population.batch import Batch
from thalweg.population.noise import moved_tree
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.randomness import global_stream


class StackedDiffers(ModelError):
    """What stacked members gave is not what the plain module gives, or cannot be computed; `reason` says what."""

    def __init__(self, reason: str) -> None:
        super().__init__(f'{reason[:1].upper()}{reason[1:]}; write plan="looped".')
        self.reason = reason


class Audit:
    """Compares stacked results of a member with those of the plain module.

    Args:
        problem, population: what is evaluated in place.
        training: see `Execution`.
        first: the number of the first member, in what is said.
    """

    def __init__(self, problem: Problem, population: Population, *, training: bool, first: int = 0) -> None:
        self.problem, self.population, self.training, self.first = problem, population, training, first
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
            raise StackedDiffers(told(difference, f"member {self.first + member} {when}"))

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
