"""What can be put around an update rule: changes of its gradient, and averages of where it has been."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.optim.rule import Rule, State, check_fields, numeric
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.population import Layout


@dataclass(frozen=True)
class Wrapper:
    """A rule, or something around a rule, with one thing done before its step and one after it.

    Several can be put around each other; the outermost sees the gradient first. Hyper-parameters of all of
    them may be swept, under their own names. Masks and clipping come before all of them.

    Args:
        rule: what is inside.

    Raises:
        UsageError: `rule` is none, or two things around one rule have a hyper-parameter or slot of one name.
    """

    rule: "Rule | Wrapper"
    own_slots: ClassVar[tuple[str, ...]] = ()
    ascends: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_type(f"{type(self).__name__} rule", self.rule, (Rule, Wrapper), "a rule such as optim.AdamW(lr=1e-3)")
        check_fields(self)
        twice = {*numeric(self), *self.own_slots} & {*self.rule.hyper_parameters(), *self.rule.slots}
        if twice:
            msg = f"{type(self).__name__} is around a rule that has {', '.join(sorted(twice))} too; put one there only."
            raise UsageError(msg)

    def before(
        self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters, layout: Layout | None
    ) -> None:
        """Change the gradient (members, parameters) in place, ahead of the step."""

    def ascend(self, theta: Tensor, gradient: Tensor, h: StepHyperparameters, out: Tensor) -> None:
        """Where the gradient is taken anew, given the one at theta; only what `ascends` has such a point."""
        raise NotImplementedError

    def after(self, theta: Tensor, state: State, h: StepHyperparameters) -> None:
        """Take note of theta (members, parameters) after the step."""

    def hyper_parameters(self) -> dict[str, Any]:
        """The numeric fields by name, the inner ones too: what may be swept."""
        return {name: getattr(self, name) for name in numeric(self)} | self.rule.hyper_parameters()

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the matrices kept, the inner ones too."""
        return (*self.own_slots, *self.rule.slots)

    @property
    def looks_ahead(self) -> bool:
        """Whether the inner rule takes its gradient away from theta."""
        return self.rule.looks_ahead


def unwrapped(rule: Rule | Wrapper) -> tuple[list[Wrapper], Rule]:
    """What is around a rule, from the outside in, and the rule itself."""
    layers = []
    while isinstance(rule, Wrapper):
        layers.append(rule)
        rule = rule.rule
    return layers, rule
