"""How to train: the frozen description of a run, and its unfolding over members."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_choice, check_type
from thalweg.optim import Around, Rule, Values
from thalweg.schedules import Constant, Schedule
from thalweg.sweep import Sweep, plain, points_of

SPACINGS = ("linear", "log")
COLUMNS = ("member", "step", "metric", "value")  # of a history's table, beside the axes


@dataclass(frozen=True)
class Recipe:
    """How every member is trained. Any number of the optimizer or schedule, batch_size and clip_norm may be swept.

    Args:
        optimizer: an update rule such as `optim.AdamW(lr=sweep.log(1e-4, 1e-1, 7))`.
        steps: number of updates.
        batch_size: examples a step; None is the whole training set.
        schedule: multiplier of the rate over the steps.
        clip_norm: longest gradient allowed, in Euclidean norm of a member's whole gradient; None: no clipping.
        evaluate: at how many steps (or which) loss and metrics are measured on training and test examples;
            the first and the last step are always among them.
        snapshot: at how many steps (or which) theta is kept; 0 is never.
        spacing: how counted steps lie: "linear" at equal distances up to the last step, with step 0 besides, or
            "log" at equal ratios from step 1 to the last, those that coincide counted once.
        evaluate_train_on: examples of the training set used in evaluations; None is all.

    Raises:
        UsageError: a recipe that cannot be meant, naming the argument.
    """

    optimizer: Rule | Around
    steps: int
    batch_size: int | Sweep | None = None
    schedule: Schedule = dataclasses.field(default_factory=Constant)
    clip_norm: float | Sweep | None = None
    evaluate: int | tuple[int, ...] = 20
    snapshot: int | tuple[int, ...] = 0
    spacing: str = "linear"
    evaluate_train_on: int | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "clip_norm"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        check_type("Recipe optimizer", self.optimizer, (Rule, Around), "a rule such as optim.AdamW(lr=1e-3)")
        check_type("Recipe schedule", self.schedule, Schedule, "a schedule such as schedules.Cosine(warmup=100)")
        check_choice("Recipe spacing", self.spacing, SPACINGS)
        if not isinstance(self.steps, int) or self.steps < 1:
            msg = f"Recipe steps must be an integer of at least 1; got {self.steps!r}."
            raise UsageError(msg)
        for size in () if self.batch_size is None else points_of("Recipe batch_size", self.batch_size):
            if size < 1 or size != int(size):
                msg = f"Recipe batch_size must be a whole number of at least 1, or None for all; got {self.batch_size}."
                raise UsageError(msg)
        for norm in () if self.clip_norm is None else points_of("Recipe clip_norm", self.clip_norm):
            if norm <= 0:
                msg = f"Recipe clip_norm must be positive, or None for no clipping; got {self.clip_norm}."
                raise UsageError(msg)
        for name in ("evaluate", "snapshot"):
            object.__setattr__(self, name, self._steps(name, getattr(self, name)))
        limit = self.evaluate_train_on
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            msg = f"Recipe evaluate_train_on must be an integer of at least 1, or None for all; got {limit!r}."
            raise UsageError(msg)

    def _steps(self, name: str, wanted: Any) -> int | tuple[int, ...]:
        """A count, or the steps themselves, as plain numbers."""
        wanted = wanted.tolist() if hasattr(wanted, "tolist") else wanted
        numbers = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
        if any(isinstance(n, bool) or not isinstance(n, int | float | np.integer) or n != int(n) for n in numbers):
            msg = f"Recipe {name} must be how many steps, or a list of steps; got {wanted!r}."
            raise UsageError(msg)
        outside = [n for n in numbers if n < 0 or (numbers is wanted and n > self.steps)]
        if outside:
            msg = f"Recipe {name} must be a count, or steps from 0 to {self.steps}; got {outside}."
            raise UsageError(msg)
        return tuple(int(n) for n in numbers) if numbers is wanted else int(wanted)

    @cached_property
    def evaluation_steps(self) -> list[int]:
        """The steps after which the run is evaluated, 0 being before the first."""
        return sorted({0, self.steps, *self._spread(self.evaluate)})

    @cached_property
    def snapshot_steps(self) -> list[int]:
        """The steps after which theta is kept."""
        return sorted(set(self._spread(self.snapshot)))

    def _spread(self, wanted: int | tuple[int, ...]) -> Sequence[int]:
        if isinstance(wanted, tuple):
            return wanted
        if wanted == 0:
            return ()
        if self.spacing == "log":
            return np.unique(np.geomspace(1, self.steps, wanted).round().astype(int)).tolist()
        return np.linspace(0, self.steps, wanted + 1).round().astype(int).tolist()

    def describe(self) -> dict[str, Any]:
        """The recipe as JSON-able data, complete enough to write it again."""
        return _plain(self)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"is": type(value).__name__} | {
            f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    return list(value) if isinstance(value, tuple) else value


class Unfolded:
    """A recipe over members: sweeps crossed with seeds, seeds varying fastest.

    Args:
        recipe: with sweeps.
        seeds: one or several.

    Attributes:
        axes: for every swept axis and "seed", the value of each member: (members,).

    Raises:
        UsageError: sweeps on one axis whose lengths do not match, or an axis named "seed".
    """

    def __init__(self, recipe: Recipe, seeds: Sequence[int]) -> None:
        self.recipe = recipe
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
        if "seed" in lengths:
            msg = 'A sweep may not use the axis "seed"; pass seeds=... to train instead.'
            raise UsageError(msg)
        taken = [axis for axis in lengths if axis in COLUMNS]
        if taken:
            msg = f"A sweep may not use the axis {taken[0]!r}, which is a column of every history; name it otherwise."
            raise UsageError(msg)
        grid = list(itertools.product(*(range(length) for length, _ in lengths.values()), seeds))
        where = {axis: np.array([cell[i] for cell in grid], dtype=int) for i, axis in enumerate(lengths)}
        self.members = len(grid)
        self.values: dict[str, NDArray[np.float64]] = {
            path: np.asarray(sweep.points)[where[sweep.axis or path]] for path, sweep in sweeps.items()
        }
        self.seeds = [int(cell[-1]) for cell in grid]
        self.axes: dict[str, NDArray[Any]] = dict(self.values)
        self.axes |= {axis: index for axis, index in where.items() if axis not in self.values}
        self.axes["seed"] = np.array(self.seeds)
        numbers = recipe.optimizer.hyper_parameters()
        self._constant = {name: as_hyper(self.values.get(name, value)) for name, value in numbers.items()}
        self._rates: dict[str, Any] = {
            name: self.values.get(name, value) for name, value in numbers.items() if name.split(".")[-1] == "lr"
        }
        self._schedule = _with_values(recipe.schedule, "schedule", self.values)
        self.clip_norm = self.values.get("clip_norm", recipe.clip_norm)
        self.batch_sizes = self.values.get("batch_size", np.full(self.members, recipe.batch_size or 0)).astype(int)

    def groups(self, examples: int) -> list[tuple[slice, int]]:
        """Rows that have one batch size, and that size; they are neighbors, batch_size being the slowest axis.

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
        return [(slice(a, b), int(self.batch_sizes[a]) or examples) for a, b in zip(starts, ends, strict=True)]

    def at(self, step: int) -> Values:
        """The hyper-parameters of a step (counted from 1)."""
        multiplier = self._schedule(step, self.recipe.steps)
        scheduled = {name: as_hyper(rate * multiplier) for name, rate in self._rates.items()}
        return Values(self._constant | scheduled | {"schedule": as_hyper(multiplier)}, step)


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
        if isinstance(value, Sweep):
            yield name, value
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
