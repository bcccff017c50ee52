"""What an update rule is: hyper-parameters, and a formula over theta (members, parameters)."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from torch import Tensor

from thalweg.errors import UsageError, check_choice
from thalweg.optim.passes import Hyper
from thalweg.population.layout import KINDS
from thalweg.sweep import Sweep, plain, points_of

Swept = float | Sweep
State = Mapping[str, Tensor]
_FRACTIONS = ("beta", "beta1", "beta2", "alpha")  # from 0 up to 1, unlike other hyper-parameters
DECAYS = ("l2", "lr_coupled", "schedule_coupled", "constant")


@dataclass(frozen=True)
class Values:
    """The hyper-parameters of one step, by name: floats, or columns (members, 1) of float64 on the CPU.

    `lr` is the scheduled rate; `schedule` the multiplier in it; `step` counts from 1.
    """

    numbers: dict[str, Hyper]
    step: int

    def __getattr__(self, name: str) -> Hyper:
        try:
            return self.numbers[name]
        except KeyError:
            raise AttributeError(name) from None

    def rows(self, rows: slice) -> "Values":
        """The values of these members."""
        if self.shared:
            return self
        chosen = {name: value[rows] if isinstance(value, Tensor) else value for name, value in self.numbers.items()}
        return Values(chosen, self.step)

    def each(self, members: int) -> "Iterator[Values]":
        """The values of one member after the other, as floats."""
        if self.shared:
            return itertools.repeat(self, members)
        columns = {name: value.flatten().tolist() for name, value in self.numbers.items() if isinstance(value, Tensor)}
        rows = zip(*columns.values(), strict=True)
        return (Values(self.numbers | dict(zip(columns, row, strict=True)), self.step) for row in rows)

    def under(self, name: str) -> "Values":
        """The values of an inner rule, which are here with its name and a point in front."""
        prefix = f"{name}."
        inner = {key.removeprefix(prefix): value for key, value in self.numbers.items() if key.startswith(prefix)}
        return Values(inner | {"schedule": self.numbers["schedule"]}, self.step)

    @property
    def shared(self) -> bool:
        """Whether all members have the same values."""
        return not any(isinstance(value, Tensor) for value in self.numbers.values())


@dataclass(frozen=True)
class Rule:
    """An update rule: its hyper-parameters as fields, its formula as `update`.

    The formula never mixes members. It is elementwise, so that it can be applied to any block of theta, but for
    rules with `matrix_kinds`, which take whole tensors.

    Every rule knows weight decay, by one of four conventions that differ by factors of thousands:

    - "l2": the gradient becomes g + weight_decay theta, before anything else sees it;
    - "lr_coupled" (torch, optax): theta shrinks by 1 - lr_t weight_decay before the step;
    - "schedule_coupled" (the paper's): by 1 - s_t weight_decay, s_t being the schedule's multiplier;
    - "constant" (the lecture's): by 1 - weight_decay, at every step.

    `decay_on` names the kinds of tensors that decay (see `Layout`), such as ("embedding", "hidden", "output")
    to leave biases and normalization layers alone, as is usual for transformers; None: all decay.

    A list in place of a number means one value a configuration: all lists of a rule go together.
    """

    lr: Swept
    weight_decay: Swept = field(default=0.0, kw_only=True)
    decay: str = field(default="l2", kw_only=True)
    decay_on: tuple[str, ...] | None = field(default=None, kw_only=True)
    slots: ClassVar[tuple[str, ...]] = ()
    looks_ahead: ClassVar[bool] = False
    fused: ClassVar[bool] = False
    matrix_kinds: ClassVar[tuple[str, ...]] = ()
    fallback: ClassVar["Rule | None"] = None

    def __post_init__(self) -> None:
        if self.decay_on is not None:
            kinds = (self.decay_on,) if isinstance(self.decay_on, str) else tuple(self.decay_on)
            object.__setattr__(self, "decay_on", kinds)
            for kind in kinds:
                check_choice(f"{type(self).__name__} decay_on", kind, KINDS)
        check_choice(f"{type(self).__name__} decay", self.decay, DECAYS)
        for name in self._numeric():
            object.__setattr__(self, name, plain(getattr(self, name)))
            low, high = (0, 1) if name in _FRACTIONS else (0, math.inf)
            for point in points_of(f"{type(self).__name__} {name}", getattr(self, name)):
                if not low <= point < high:
                    bound = f"lie in [{low}, {high})" if name in _FRACTIONS else "be finite and not negative"
                    msg = f"{type(self).__name__} {name} must {bound}; got {point:g}."
                    raise UsageError(msg)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: Values, scratch: Tensor) -> None:
        """One step in place: theta and the state's tensors are (members, parameters), scratch is free to use."""
        raise NotImplementedError

    def update_fused(
        self, theta: list[Tensor], gradient: list[Tensor], state: Mapping[str, list[Tensor]], h: Values
    ) -> None:
        """Weight decay and `update` in one pass by a kernel of torch's, in place; only rules that are `fused`.

        Takes rows (parameters,) of members that share their values, which are floats.
        """
        raise NotImplementedError

    def update_matrix(self, theta: Tensor, gradient: Tensor, state: State, h: Values) -> None:
        """One step in place of one tensor: everything is (members, rows, columns), the gradient is consumed.

        Only rules with `matrix_kinds`, for tensors of those kinds; all others follow their `fallback`.
        """
        raise NotImplementedError

    def look_ahead(self, theta: Tensor, state: State, h: Values, out: Tensor) -> None:
        """Where the gradient is taken, written to `out`; only rules with `looks_ahead` have such a point."""
        raise NotImplementedError

    def hyper_parameters(self) -> dict[str, Any]:
        """The numeric fields by name: what may be swept."""
        return {name: getattr(self, name) for name in self._numeric()}

    def _numeric(self) -> list[str]:
        return [one.name for one in fields(self) if one.type in (Swept, float)]
