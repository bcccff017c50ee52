"""A rule of Thalweg's as a subject."""

from dataclasses import MISSING, fields, replace
from typing import Any

from torch import Tensor

from thalweg.errors import UsageError
from thalweg.optim.rule import Rule
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.testing.specification import Specification, specification_of_rule
from thalweg.optim.testing.subject import MIXED, GradientAt, Shapes, check_rate
from thalweg.optim.updater import Updater
from thalweg.optim.wrapper import Wrapper, unwrapped
from thalweg.population.layout import Entry, Layout


class RuleSubject:
    """A rule of Thalweg's, on a population of one member."""

    def __init__(self, rule: Rule | Wrapper, specification: Specification | None) -> None:
        for name, value in rule.hyper_parameters().items():
            if not isinstance(value, int | float):
                msg = f"check takes one value per hyper-parameter; {type(rule).__name__} {name} is {value!r}."
                raise UsageError(msg)
        wrappers, inner = unwrapped(rule)
        check_rate(type(inner).__name__, rule.hyper_parameters()["lr"])
        self.rule, self.specification = rule, specification or specification_of_rule(rule)
        self.name = "".join(f"{type(wrapper).__name__}(" for wrapper in wrappers) + _short(inner) + ")" * len(wrappers)
        self.shapes: Shapes = MIXED

    def run(self, start: Tensor, shapes: Shapes | None = None, **changes: Any) -> "RuleRun":
        """A fresh run."""
        return RuleRun(_changed(self.rule, changes), start, _layout(shapes or self.shapes))

    def knows(self, *names: str) -> bool:
        """Whether these settings can be changed."""
        _, inner = unwrapped(self.rule)
        return all(hasattr(inner, name) for name in names)


class RuleRun:
    """A rule at work."""

    def __init__(self, rule: Rule | Wrapper, start: Tensor, layout: Layout) -> None:
        self.rule, self.layout, self.steps = rule, layout, 0
        self.matrix = start.clone()[None]
        self.updater = Updater(rule, self.matrix, layout=layout)

    @property
    def theta(self) -> Tensor:
        """A copy of the parameters."""
        return self.matrix[0].clone()

    def advance(self, gradient_at: GradientAt) -> None:
        """One step."""
        self.steps += 1
        h = StepHyperparameters(self.rule.hyper_parameters() | {"schedule": 1.0}, self.steps)
        point = self.matrix.clone()
        if self.rule.looks_ahead:
            self.updater.look_ahead(h, out=point)
        gradient = gradient_at(point[0])[None]
        if self.updater.ascent is not None:
            self.updater.ascent.ascend(self.matrix, gradient, h, point)
            gradient = gradient_at(point[0])[None]
        self.updater.step(gradient, h)

    def memory(self) -> tuple[list[Tensor], list[Tensor]]:
        """The matrix of parameters and those of the state."""
        return [self.matrix], list(self.updater.state.values())

    def resumed(self) -> "RuleRun":
        """A new updater with copies of the state."""
        other = RuleRun(self.rule, self.matrix[0], self.layout)
        state = {name: matrix.clone() for name, matrix in self.updater.state.items()}
        other.updater = Updater(self.rule, other.matrix, state, self.layout)
        other.steps = self.steps
        return other


def _short(rule: Rule) -> str:
    """The rule with its rate and what is not its default."""
    given = []
    for one in fields(rule):
        value = getattr(rule, one.name)
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if one.repr and (one.name == "lr" or value != default):
            given.append(f"{one.name}={_short(value) if isinstance(value, Rule) else repr(value)}")
    return f"{type(rule).__name__}({', '.join(given)})"


def _changed(rule: Rule | Wrapper, changes: dict[str, Any]) -> Any:
    """The rule with other settings, also inside its wrappers."""
    if isinstance(rule, Wrapper):
        own = {name: value for name, value in changes.items() if hasattr(rule, name)}
        rest = {name: value for name, value in changes.items() if name not in own}
        return replace(rule, rule=_changed(rule.rule, rest), **own)
    return replace(rule, **changes)


def _layout(shapes: Shapes) -> Layout:
    """Matrices as hidden weights, vectors as biases."""
    entries, start = [], 0
    for index, shape in enumerate(shapes):
        entries.append(Entry(f"tensor{index}", shape, start, "hidden" if len(shape) > 1 else "bias"))
        start = entries[-1].columns.stop
    return Layout(tuple(entries))
