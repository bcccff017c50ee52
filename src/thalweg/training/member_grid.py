"""A recipe over members: which member has which value, and what every value is at a step."""

import copy
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.optim import StepHyperparameters
from thalweg.optim.rule import bound_in_words, bounds, unscheduled
from thalweg.population.window import Window
from thalweg.randomness import BatchOrder
from thalweg.schedules import Schedule, Scheduled
from thalweg.sweep import Sweep
from thalweg.training.origin import Origin
from thalweg.training.own_examples import OwnExamples
from thalweg.training.recipe import COLUMNS, Recipe

_TAKEN = {
    "seed": "pass seeds=... to train instead",
    "arm": "pass a mapping of starts or masks to train instead",
    "start_member": "it says which member of the start one begins from",
}
_AT_ONCE = 4_096  # steps of a schedule computed together


@dataclass(frozen=True, eq=False)
class BatchGroup:
    """Neighboring members that have one batch size.

    Args:
        rows: which they are.
        batch_size: examples of a batch.
        order: of their batches.
        own: on which examples each is trained; None: on all.
        window: where they stand among all of the run that have this batch size.
    """

    rows: slice
    batch_size: int
    order: BatchOrder
    own: OwnExamples | None
    window: Window


class MemberGrid:
    """A recipe over members: sweeps, arms, the networks begun from and seeds, crossed; seeds vary fastest.

    >>> import thalweg as tw
    >>> grid = tw.training.MemberGrid(tw.Recipe(tw.optim.SGD(lr=tw.sweep.values([0.1, 0.2])), steps=10), seeds=[0, 1])
    >>> {name: values.tolist() for name, values in grid.axes.items()}
    {'lr': [0.1, 0.1, 0.2, 0.2], 'seed': [0, 1, 0, 1]}

    Args:
        recipe: with sweeps.
        seeds: one or several.
        origins: the networks that the members start from, one for each arm; by default they are initialized by seed.
        examples: of each seed the training examples it is trained on, by index: (seeds, n); None: all.
        test_examples: of each seed the test examples it is evaluated on, likewise.

    Attributes:
        axes: for every swept axis and "seed", the value of each member: (members,). Besides "arm" where there are
            arms, and "start_member", the network of the start, where several are crossed with the seeds.
        arms, rows, places: of each member the arm, the network of its start, and the seed, by number: (members,).

    Raises:
        UsageError: sweeps on one axis whose lengths do not match, an axis of a name that is taken, or networks that
            do not pair with the seeds.
    """

    def __init__(
        self,
        recipe: Recipe,
        seeds: Sequence[int],
        origins: Sequence[Origin] = (Origin(),),
        examples: Int64[Tensor, "seeds n"] | None = None,
        test_examples: Int64[Tensor, "seeds n"] | None = None,
    ) -> None:
        self.recipe, self.given_seeds, self.origins = recipe, list(seeds), tuple(origins)
        self.examples, self.test_examples = examples, test_examples
        lengths: dict[str, tuple[int, str]] = {}
        sweeps = dict(_sweeps(recipe))
        for path, sweep in sweeps.items():
            axis = sweep.axis or path
            length, first = lengths.setdefault(axis, (len(sweep), path))
            if length != len(sweep):
                msg = (
                    f"Sweeps on the axis {axis!r} go together and must have one length: {first} has {length} values, "
                    f"{path} has {len(sweep)}. Give them different axes to cross them."
                )
                raise UsageError(msg)
        for axis, instead in _TAKEN.items():
            if axis in lengths:
                msg = f'A sweep may not use the axis "{axis}"; {instead}.'
                raise UsageError(msg)
        taken = [axis for axis in lengths if axis in COLUMNS]
        if taken:
            msg = f"A sweep may not use the axis {taken[0]!r}, which is a column of every history; name it otherwise."
            raise UsageError(msg)
        # Members of one batch size are neighbors, and among them those of one arm, which begin at one step.
        numbered = list(enumerate(itertools.product(*(range(length) for length, _ in lengths.values()))))
        slowest = _slowest(sweeps, lengths)
        blocks = itertools.groupby(numbered, key=lambda one: one[1][:slowest])
        grid = [
            (*cell, arm, row, place)
            for block in [list(block) for _, block in blocks]
            for arm, origin in enumerate(origins)
            for number, cell in block
            for row, place in origin.members(range(len(seeds)), number, len(numbered))
        ]
        where = {axis: np.array([cell[i] for cell in grid], dtype=int) for i, axis in enumerate(lengths)}
        self.members = len(grid)
        self.whole: MemberGrid | None = None  # of which these are the rows `within`
        self.within = slice(0, self.members)
        self.values: dict[str, NDArray[np.float64]] = {
            path: np.asarray(sweep.points)[where[sweep.axis or path]] for path, sweep in sweeps.items()
        }
        self.arms, self.rows, self.places = (np.array([cell[-back] for cell in grid], dtype=int) for back in (3, 2, 1))
        self.seeds = [int(self.given_seeds[place]) for place in self.places]
        self.axes: dict[str, NDArray[Any]] = dict(self.values)
        self.axes |= {axis: index for axis, index in where.items() if axis not in self.values}
        if origins[0].arm is not None:
            self.axes["arm"] = np.array([origin.arm for origin in origins])[self.arms]
        if any(origin.crossed for origin in origins):
            self.axes["start_member"] = self.rows
        self.axes["seed"] = np.array(self.seeds)
        given = recipe.optimizer.hyper_parameters()
        numbers: dict[str, Any] = {name: self.values.get(name, unscheduled(value)) for name, value in given.items()}
        self._constant = {name: as_hyper(value) for name, value in numbers.items()}
        self._schedule = _with_values(recipe.schedule, "schedule", self.values)
        # What changes over the steps: by name, the number and the schedules that multiply it.
        self._moving: dict[str, tuple[Any, list[Schedule]]] = {}
        for name, value in given.items():
            own: list[Schedule] = []
            if isinstance(value, Scheduled):
                own.append(_with_values(value.schedule, f"{name}.schedule", self.values))
                _check_bounds(name, numbers[name], own[0], recipe.steps)
            if name.split(".")[-1] == "lr":
                own.append(self._schedule)
            if own:
                self._moving[name] = numbers[name], own
        self.clip_norm = self.values.get("clip_norm", recipe.clip_norm)
        self.batch_sizes = self.values.get("batch_size", np.full(self.members, recipe.batch_size or 0)).astype(int)

    def part(self, rows: slice) -> "MemberGrid":
        """These neighboring members alone, which see what they see in the whole: numbers, batches and examples.

        >>> import thalweg as tw
        >>> grid = tw.training.MemberGrid(tw.Recipe(tw.optim.SGD(lr=tw.sweep.values([0.1, 0.2])), 10), seeds=[0, 1])
        >>> grid.part(slice(2, 4)).seeds, grid.part(slice(2, 4)).at(1).lr.flatten().tolist()
        ([0, 1], [0.2, 0.2])
        """
        part = copy.copy(self)
        start = self.within.start
        part.whole, part.within = self.whole or self, slice(start + rows.start, start + rows.stop)
        part.members, part.seeds = rows.stop - rows.start, self.seeds[rows]
        part.arms, part.rows, part.places, part.batch_sizes = (
            one[rows] for one in (self.arms, self.rows, self.places, self.batch_sizes)
        )
        part.values, part.axes = ({name: one[rows] for name, one in of.items()} for of in (self.values, self.axes))
        part.clip_norm = self.clip_norm[rows] if isinstance(self.clip_norm, np.ndarray) else self.clip_norm
        return part

    def own_examples(self) -> OwnExamples | None:
        """On which training examples the members are trained; None: on all."""
        return None if self.examples is None else self._of_each(self.examples)

    def tested_on(self) -> Int64[Tensor, "members_or_one n"] | None:
        """On which test examples the members are evaluated; None: on all."""
        if self.test_examples is None:
            return None
        own = self._of_each(self.test_examples)
        return own.take(torch.arange(own.count).unsqueeze(0))

    def _of_each(self, table: Int64[Tensor, "seeds n"]) -> OwnExamples:
        return OwnExamples.of(table, torch.from_numpy((self.whole or self).places)).rows(self.within)

    def trained_on(self, examples: int) -> int:
        """How many examples each member is trained on, of so many."""
        return examples if self.examples is None else self.examples.shape[1]

    def groups(self, examples: int) -> list["BatchGroup"]:
        """Members by batch size, of so many examples; they are neighbors, batch_size being the slowest axis.

        Raises:
            UsageError: a batch larger than the training set of `examples`.
        """
        largest = int(self.batch_sizes.max())
        if largest > examples:
            msg = (
                f"batch_size={largest} is larger than the training set of {examples} examples; "
                f"write batch_size={examples} or None for full batches."
            )
            raise UsageError(msg)
        ends = [*(np.flatnonzero(np.diff(self.batch_sizes)) + 1).tolist(), self.members]
        starts = [0, *ends[:-1]]
        groups = [slice(a, b) for a, b in zip(starts, ends, strict=True)]
        return [self._group(rows, int(self.batch_sizes[rows.start]) or examples, examples) for rows in groups]

    def _group(self, rows: slice, batch_size: int, examples: int) -> "BatchGroup":
        """Members of one batch size, which in the whole may have neighbors of the same beyond these."""
        whole = self.whole or self
        first = self.within.start + rows.start
        ends = np.array([0, *(np.flatnonzero(np.diff(whole.batch_sizes)) + 1), whole.members])
        every = slice(int(ends[ends <= first][-1]), int(ends[ends > first][0]))
        order = BatchOrder(self.seeds[rows], examples, batch_size, shared=len(set(whole.seeds[every])) == 1)
        own = None
        if self.examples is not None:
            places = torch.from_numpy(whole.places[every])
            start = first - every.start
            own = OwnExamples.of(self.examples, places).rows(slice(start, start + rows.stop - rows.start))
        return BatchGroup(rows, batch_size, order, own, Window(first, first - every.start))

    def at(self, step: int) -> StepHyperparameters:
        """The hyper-parameters of a step (counted from 1)."""
        steps = self.recipe.steps
        shares = {name: math.prod(schedule(step, steps) for schedule in own) for name, (_, own) in self._moving.items()}
        moving = {name: as_hyper(self._moving[name][0] * share) for name, share in shares.items()}
        # What multiplies "lr" is "schedule", and what multiplies "fallback.lr" is "fallback.schedule".
        schedules = {
            f"{name.removesuffix('lr')}schedule": as_hyper(share)
            for name, share in shares.items()
            if name.split(".")[-1] == "lr"
        }
        h = StepHyperparameters(self._constant | moving | schedules, step)
        return h if self.whole is None else h.rows(self.within)


def _slowest(sweeps: dict[str, Sweep], lengths: dict[str, tuple[int, str]]) -> int:
    """How many axes are slower than arms: that of the batch size, which comes first, if it is swept."""
    return int("batch_size" in sweeps and next(iter(lengths)) == (sweeps["batch_size"].axis or "batch_size"))


def _check_bounds(name: str, number: Any, schedule: Schedule, steps: int) -> None:
    """Raise UsageError where a schedule takes a hyper-parameter out of its range."""
    low, high = bounds(name)
    for first in range(1, steps + 1, _AT_ONCE):
        at = np.arange(first, min(first + _AT_ONCE, steps + 1), dtype=np.float64)
        values = np.atleast_2d(number * schedule(at[:, None], steps))
        outside = ~((values >= low) & (values < high))
        if outside.any():
            row, column = np.argwhere(outside)[0]
            reached = float(values[row, column])
            msg = f"{name} must {bound_in_words(name)}, but its schedule takes it to {reached!r} at step {at[row]:.0f}."
            raise UsageError(msg)


def as_hyper(value: Any) -> Any:
    """A float where all members agree, else a column (members, 1)."""
    if np.ndim(value) == 0:
        return float(value)
    if (value == value[0]).all():
        return float(value[0])
    return torch.as_tensor(value, dtype=torch.float64).unsqueeze(1)


def _sweeps(recipe: Recipe) -> Iterator[tuple[str, Sweep]]:
    """Every swept number of the recipe, by the name its axis takes, the slowest axis first."""
    for name in ("batch_size", "clip_norm"):
        value = getattr(recipe, name)
        if isinstance(value, Sweep):
            yield name, value
    for name, value in recipe.optimizer.hyper_parameters().items():
        if isinstance(unscheduled(value), Sweep):
            yield name, unscheduled(value)
        if isinstance(value, Scheduled):
            yield from _sweeps_of(value.schedule, f"{name}.schedule")
    yield from _sweeps_of(recipe.schedule, "schedule")


def _sweeps_of(schedule: Schedule, prefix: str) -> Iterator[tuple[str, Sweep]]:
    """Every swept number of a schedule and of the schedules in it, by names such as schedule.first.warmup."""
    for field in dataclasses.fields(schedule):
        value, path = getattr(schedule, field.name), f"{prefix}.{field.name}"
        if isinstance(value, Sweep):
            yield path, value
        elif isinstance(value, Schedule):
            yield from _sweeps_of(value, path)


def _with_values(schedule: Schedule, prefix: str, values: dict[str, NDArray[np.float64]]) -> Schedule:
    """The schedule, and those in it, with one value a member in place of each sweep."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(schedule):
        value, path = getattr(schedule, field.name), f"{prefix}.{field.name}"
        if path in values:
            changed[field.name] = values[path]
        elif isinstance(value, Schedule):
            changed[field.name] = _with_values(value, path, values)
    return dataclasses.replace(schedule, **changed) if changed else schedule
