"""The hyper-parameters of one step, for all members."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from thalweg.optim.inplace import Hyper


@dataclass(frozen=True)
class StepHyperparameters:
    """The hyper-parameters of one step, by name: floats, or columns (members, 1) of float64 on the CPU.

    `lr` is the scheduled rate; `schedule` all that multiplies it; `step` counts from 1.

    >>> import thalweg as tw
    >>> h = tw.optim.StepHyperparameters({"lr": 0.1, "schedule": 1.0}, step=1)
    >>> h.lr, h.step, h.shared
    (0.1, 1, True)
    """

    numbers: dict[str, Hyper]
    step: int

    def __getattr__(self, name: str) -> Hyper:
        if name == "numbers" or name not in self.numbers:  # a copy being made asks before there are any
            raise AttributeError(name)
        return self.numbers[name]

    def rows(self, rows: slice) -> "StepHyperparameters":
        """The values of these members."""
        if self.shared:
            return self
        chosen = {name: value[rows] if isinstance(value, Tensor) else value for name, value in self.numbers.items()}
        return StepHyperparameters(chosen, self.step)

    def each(self, members: int) -> "Iterator[StepHyperparameters]":
        """The values of one member after the other, as floats."""
        if self.shared:
            return itertools.repeat(self, members)
        columns = {name: value.flatten().tolist() for name, value in self.numbers.items() if isinstance(value, Tensor)}
        rows = zip(*columns.values(), strict=True)
        return (StepHyperparameters(self.numbers | dict(zip(columns, row, strict=True)), self.step) for row in rows)

    def under(self, name: str) -> "StepHyperparameters":
        """The values of an inner rule, which are here with its name and a point in front."""
        prefix = f"{name}."
        inner = {key.removeprefix(prefix): value for key, value in self.numbers.items() if key.startswith(prefix)}
        return StepHyperparameters({"schedule": self.numbers["schedule"]} | inner, self.step)

    @property
    def for_matrices(self) -> "StepHyperparameters":
        """The same with columns (members, 1, 1), for tensors (members, rows, columns)."""
        if self.shared:
            return self
        deeper = {n: value.unsqueeze(2) if isinstance(value, Tensor) else value for n, value in self.numbers.items()}
        return StepHyperparameters(deeper, self.step)

    @property
    def shared(self) -> bool:
        """Whether all members have the same values."""
        return not any(isinstance(value, Tensor) for value in self.numbers.values())
