"""Wrappers of update rules: changes of the gradient, and averages of the path."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.optim.rule import Rule, State, check_fields, numeric
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.population import Layout
from thalweg.results import Summarized
from thalweg.results.summary import called


@dataclass(frozen=True)
class Wrapper(Summarized):
    """A rule with one thing done before its step and one after it.

    A wrapper may wrap another; the outermost sees the gradient first. Hyper-parameters of all of them may be swept,
    under their own names. Masks and clipping come before all of them.

    Args:
        rule: the rule or wrapper inside.

    Raises:
        UsageError: `rule` is neither, or has a hyper-parameter or slot of the same name as the wrapper.

    >>> import thalweg as tw
    >>> wrapper = tw.optim.Averaged(tw.optim.Grokfast(tw.optim.Momentum(0.1)))
    >>> wrapper.slots
    ('average', 'slow_gradient', 'velocity')
    """

    rule: "Rule | Wrapper"
    own_slots: ClassVar[tuple[str, ...]] = ()
    ascends: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False  # it is given whole rows, and may take means and norms of them

    def __post_init__(self) -> None:
        check_type(f"{type(self).__name__} rule", self.rule, (Rule, Wrapper), "a rule such as optim.AdamW(lr=1e-3)")
        check_fields(self)
        shared = {*numeric(self), *self.own_slots} & {*self.rule.hyper_parameters(), *self.rule.slots}
        if shared:
            names = ", ".join(sorted(shared))
            msg = f"{type(self).__name__} wraps a rule that has {names} too; leave one of the two out."
            raise UsageError(msg)

    def before(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, layout: Layout | None
    ) -> None:
        """Change the gradient (members, parameters) in place, ahead of the step."""

    def ascend(self, theta: Tensor, gradient: Tensor, h: StepHyperparameters, out: Tensor) -> None:
        """Where the gradient is taken again, given the one at theta; only a wrapper that `ascends` has such a point."""
        raise NotImplementedError

    def after(self, theta: Tensor, state: State, h: StepHyperparameters, layout: Layout | None) -> None:
        """Take note of theta (members, parameters) after the step, or change it in place."""

    def hyper_parameters(self) -> dict[str, Any]:
        """The numeric fields by name, the inner ones too: what may be swept."""
        return {name: getattr(self, name) for name in numeric(self)} | self.rule.hyper_parameters()

    def facts(self) -> dict[str, str]:
        """Every field."""
        return {one.name: f"{getattr(self, one.name)}" for one in fields(self) if one.repr}

    def __repr__(self) -> str:
        return called(self)

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the matrices kept, the inner ones too."""
        return (*self.own_slots, *self.rule.slots)

    @property
    def looks_ahead(self) -> bool:
        """Whether the inner rule takes its gradient away from theta."""
        return self.rule.looks_ahead


def unwrapped(rule: Rule | Wrapper) -> tuple[list[Wrapper], Rule]:
    """The wrappers of a rule, from the outside in, and the rule itself."""
    wrappers = []
    while isinstance(rule, Wrapper):
        wrappers.append(rule)
        rule = rule.rule
    return wrappers, rule
