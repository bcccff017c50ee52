"""How to train: the frozen description of a run."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation import Sample
from thalweg.optim import Rule, Wrapper
from thalweg.results import Summarized
from thalweg.results.summary import called
from thalweg.schedules import Constant, Schedule
from thalweg.storage.encoding import encode_number
from thalweg.sweep import Sweep, plain, points_of

SPACINGS = ("linear", "log")
COLUMNS = ("member", "step", "metric", "value")  # of a history's table, beside the axes


@dataclass(frozen=True)
class Recipe(Summarized):
    """How every member is trained. Any number of the optimizer or schedule, batch_size and clip_norm may be swept.

    >>> import thalweg as tw
    >>> recipe = tw.Recipe(tw.optim.AdamW(lr=tw.sweep.log(1e-4, 1e-1, 7)), steps=400, batch_size=128)
    >>> recipe.evaluation_steps[:3]
    [0, 20, 40]

    Args:
        optimizer: an update rule such as `optim.AdamW(lr=sweep.log(1e-4, 1e-1, 7))`.
        steps: number of updates.
        batch_size: examples a step; None is the whole training set.
        schedule: multiplier of the rate over the steps.
        clip_norm: the largest norm of a member's whole gradient; a larger one is shortened to it. None: no clipping.
        evaluate: at how many steps (or which) loss and metrics are measured on training and test examples;
            the first and the last step are always among them.
        snapshot: at how many steps (or which) theta is kept; 0 is never.
        snapshot_state: whether snapshots keep the optimizer's state too, so that training can begin there with its
            moments (see `Run.at`); as much memory again for every matrix that the rule keeps.
        spacing: how counted steps lie: "linear" at equal distances up to the last step, with step 0 besides, or
            "log" at equal ratios from step 1 to the last, those that coincide counted once.
        evaluate_train_on: the training examples that are evaluated, such as Sample("train", 500); all by default.

    Raises:
        UsageError: a recipe that cannot be meant, naming the argument.
    """

    optimizer: Rule | Wrapper
    steps: int
    batch_size: int | Sweep | None = None
    schedule: Schedule = dataclasses.field(default_factory=Constant)
    clip_norm: float | Sweep | None = None
    evaluate: int | tuple[int, ...] = 20
    snapshot: int | tuple[int, ...] = 0
    snapshot_state: bool = dataclasses.field(default=False, kw_only=True)
    spacing: str = "linear"
    evaluate_train_on: Sample = dataclasses.field(default_factory=Sample)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "clip_norm"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        rule = "a rule such as optim.AdamW(lr=1e-3)"
        given = self.optimizer.func if isinstance(self.optimizer, partial) else self.optimizer
        kind = given if isinstance(given, type) else type(given)
        if issubclass(kind, torch.optim.Optimizer):
            rule += f", or one of torch's as optim.TorchOptimizer(1e-3, lambda p: torch.optim.{kind.__name__}(p))"
        check_type("Recipe optimizer", self.optimizer, (Rule, Wrapper), rule)
        check_type("Recipe schedule", self.schedule, Schedule, "a schedule such as schedules.Cosine(warmup=100)")
        check_choice("Recipe spacing", self.spacing, SPACINGS)
        check_type("Recipe snapshot_state", self.snapshot_state, bool, "True or False")
        check_count("Recipe steps", self.steps)
        for size in () if self.batch_size is None else points_of("Recipe batch_size", self.batch_size):
            if size < 1 or not size.is_integer():
                msg = f"Recipe batch_size must be a whole number of at least 1, or None for all; got {self.batch_size}."
                raise UsageError(msg)
        for norm in () if self.clip_norm is None else points_of("Recipe clip_norm", self.clip_norm):
            if not norm > 0:
                msg = f"Recipe clip_norm must be positive, or None for no clipping; got {self.clip_norm}."
                raise UsageError(msg)
        for name in ("evaluate", "snapshot"):
            object.__setattr__(self, name, self._steps(name, getattr(self, name)))
        _check_train_sample(self.evaluate_train_on)

    def _steps(self, name: str, wanted: Any) -> int | tuple[int, ...]:
        """A count, or the steps themselves, as plain numbers."""
        wanted = wanted.tolist() if hasattr(wanted, "tolist") else wanted
        numbers = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
        if not all(map(_is_whole, numbers)):
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

    def facts(self) -> dict[str, str]:
        """Every field."""
        return {one.name: f"{getattr(self, one.name)}" for one in dataclasses.fields(self)}

    def __repr__(self) -> str:
        return called(self)

    def describe(self) -> dict[str, Any]:
        """The recipe as JSON-able data, complete enough to write it again."""
        return _plain(self)


def _check_train_sample(sample: Any) -> None:
    count = sample if isinstance(sample, int) and not isinstance(sample, bool) and sample > 0 else 500
    write = f'a Sample of the training set such as Sample("train", {count})'
    check_type("Recipe evaluate_train_on", sample, Sample, write)
    if sample.examples != "train":
        msg = f"Recipe evaluate_train_on must be {write}; other examples are evaluated after training, by evaluate."
        raise UsageError(msg)


def _is_whole(number: Any) -> bool:
    known = isinstance(number, int | float | np.integer) and not isinstance(number, bool)
    return known and float(number).is_integer()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"is": type(value).__name__} | {
            f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr
        }
    value = plain(value)
    if isinstance(value, Sweep):
        return _plain(value)
    if isinstance(value, float):
        return encode_number(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | str) else f"a {type(value).__name__}"
