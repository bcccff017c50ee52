"""What an update rule is: hyper-parameters, and a formula over theta (members, parameters)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from torch import Tensor

from thalweg.errors import UsageError, check_choice, check_type
from thalweg.optim.decay import decayed
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.population.layout import KINDS, Layout
from thalweg.results import Summarized
from thalweg.results.summary import called
from thalweg.schedules import Scheduled
from thalweg.sweep import Sweep, plain, points_of

Swept = float | Sweep | Scheduled
State = Mapping[str, Tensor]
_FRACTIONS = ("beta", "beta1", "beta2", "beta_shampoo", "alpha", "keep", "momentum")  # from 0 up to below 1
DECAYS = ("l2", "lr_coupled", "schedule_coupled", "constant")


@dataclass(frozen=True)
class Rule(Summarized):
    """An update rule: its hyper-parameters as fields, its formula as `update`.

    The formula never mixes members. It is `elementwise`, so that it can be applied to any block of theta; a rule that
    updates whole tensors is a `MatrixRule`, which is not. What a rule remembers are matrices with one row per member:
    `slots` of theta's shape, and `tallies`, one number each.

    Every rule knows weight decay, by one of four conventions that differ by factors of thousands:

    - "l2": the gradient becomes g + weight_decay theta, before anything else sees it;
    - "lr_coupled" (torch, optax): theta shrinks by 1 - lr_t weight_decay before the step;
    - "schedule_coupled" (the paper's): by 1 - s_t weight_decay, s_t being the schedule's multiplier;
    - "constant" (the lecture's): by 1 - weight_decay, at every step.

    `decay_on` names the kinds of tensors that decay (see `Layout`), such as ("embedding", "hidden", "output")
    to leave biases and normalization layers alone, as is usual for transformers; None: all decay.

    A list in place of a number means one value per configuration: all lists of a rule go together. A
    `schedules.Scheduled` number follows a schedule of its own.

    >>> import thalweg as tw
    >>> rule = tw.optim.AdamW([1e-3, 1e-2], weight_decay=0.1)
    >>> sorted(rule.hyper_parameters())
    ['beta1', 'beta2', 'eps', 'lr', 'weight_decay']
    >>> rule.lr
    Sweep(points=(0.001, 0.01), axis='configuration')
    """

    lr: Swept
    weight_decay: Swept = field(default=0.0, kw_only=True)
    decay: str = field(default="l2", kw_only=True)
    decay_on: tuple[str, ...] | None = field(default=None, kw_only=True)
    slots: ClassVar[tuple[str, ...]] = ()
    tallies: ClassVar[tuple[str, ...]] = ()
    looks_ahead: ClassVar[bool] = False
    fused: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.decay_on is not None:
            kinds = (self.decay_on,) if isinstance(self.decay_on, str) else self.decay_on
            check_type(f"{type(self).__name__} decay_on", kinds, (tuple, list), f"kinds of tensors: {', '.join(KINDS)}")
            object.__setattr__(self, "decay_on", tuple(kinds))
            for kind in kinds:
                check_choice(f"{type(self).__name__} decay_on", kind, KINDS)
        check_choice(f"{type(self).__name__} decay", self.decay, DECAYS)
        check_fields(self)
        whole = self.decay in ("constant", "schedule_coupled")
        if whole and any(point > 1 for point in points_of("weight_decay", unscheduled(self.weight_decay))):
            msg = (
                f'{type(self).__name__} weight_decay must be at most 1 with decay="{self.decay}", by which theta loses '
                f"that share of itself at a step; got {self.weight_decay}."
            )
            raise UsageError(msg)

    def facts(self) -> dict[str, str]:
        """Every field."""
        return {one.name: f"{getattr(self, one.name)}" for one in fields(self) if one.repr}

    def __repr__(self) -> str:
        return called(self)

    def update(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, scratch: Tensor) -> None:
        """One step in place: theta and the state's tensors are (members, parameters), scratch is free to use."""
        raise NotImplementedError

    def update_fused(
        self, theta: list[Tensor], gradient: list[Tensor], state: Mapping[str, list[Tensor]], h: StepHyperparameters
    ) -> None:
        """Weight decay and `update` in one pass by a kernel of torch's, in place; only rules that are `fused`.

        Takes rows (parameters,) of members that share their values, which are floats.
        """
        raise NotImplementedError

    def decayed(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, where: Tensor | None
    ) -> None:
        """Weight decay by the convention `decay`, in place, ahead of the step.

        `where` (parameters,) is 1 for the parameters that decay and 0 for others; None: all do.
        """
        decayed(self.decay, theta, gradient, h, where)

    def advance(self, state: State, h: StepHyperparameters) -> None:
        """Change the tallies, (members, 1) of float64 on the CPU, once a step and after it."""

    def look_ahead(self, theta: Tensor, state: State, h: StepHyperparameters, out: Tensor) -> None:
        """Where the gradient is taken, written to `out`; only rules with `looks_ahead` have such a point."""
        raise NotImplementedError

    def hyper_parameters(self) -> dict[str, Any]:
        """The numeric fields by name: what may be swept."""
        return {name: getattr(self, name) for name in numeric(self)}


def numeric(rule: Any) -> list[str]:
    """The fields of a rule, or of a wrapper, that are numbers and may be swept."""
    return [one.name for one in fields(rule) if one.type in (Swept, float)]


def check_fields(rule: Any) -> None:
    """Make lists sweeps in the numbers of a rule, or of a wrapper.

    Raises:
        UsageError: a number is not one or out of its bounds, or a choice of yes or no is something else.
    """
    kind = type(rule).__name__
    for one in fields(rule):
        if one.type is bool:
            check_type(f"{kind} {one.name}", getattr(rule, one.name), bool, "True or False")
    for name in numeric(rule):
        object.__setattr__(rule, name, plain(getattr(rule, name)))
        low, high = bounds(name)
        for point in points_of(f"{kind} {name}", unscheduled(getattr(rule, name))):
            if not low <= point < high:
                msg = f"{kind} {name} must {bound_in_words(name)}; got {point!r}."
                raise UsageError(msg)


def bounds(name: str) -> tuple[float, float]:
    """From which value up to below which one a hyper-parameter of this name may go."""
    return (0, 1) if name.split(".")[-1] in _FRACTIONS else (0, math.inf)


def bound_in_words(name: str) -> str:
    """What a hyper-parameter of this name must do."""
    return "lie in [0, 1)" if bounds(name)[1] == 1 else "be finite and not negative"


def needed(rule: Any, layout: Layout | None) -> Layout:
    """The layout, for what depends on tensors.

    Raises:
        UsageError: there is none.
    """
    if layout is None:
        msg = f"{type(rule).__name__} depends on the kinds of tensors; give its Updater the population's layout."
        raise UsageError(msg)
    return layout


def unscheduled(value: Any) -> Any:
    """A hyper-parameter without the schedule it follows, if it follows one."""
    return value.value if isinstance(value, Scheduled) else value
