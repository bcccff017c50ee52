"""What a rule is that updates whole tensors, as matrices."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.optim.rule import Rule, State
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.population.layout import Entry


@dataclass(frozen=True)
class MatrixRule(Rule):
    """A rule that updates whole tensors, such as `optim.Muon`: its formula is `update_matrix`.

    It chooses the tensors that it `takes`; all others follow `fallback`, an elementwise rule, whose hyper-parameters
    are called fallback.lr and so on. For each tensor it keeps `matrix_slots` of the tensor's shape, which lie among
    the slots of theta's shape, and `factors` of shapes of their own. Of those slots `turned_slots` are in a basis of
    the rule's own, so that a column is no parameter's and no mask applies.

    >>> import thalweg as tw
    >>> rule = tw.optim.SOAP(0.01)
    >>> isinstance(rule, tw.optim.MatrixRule), rule.factors(rows=3, columns=5)["right"]
    (True, (5, 5))
    """

    matrix_slots: ClassVar[tuple[str, ...]] = ()
    turned_slots: ClassVar[tuple[str, ...]] = ()
    fallback: ClassVar[Rule | None] = None
    elementwise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fallback is not None:
            check_fallback(type(self).__name__, self.fallback)

    def takes(self, entry: Entry) -> bool:
        """Whether a tensor is updated whole; what is not follows `fallback`."""
        raise NotImplementedError

    def factors(self, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
        """The shapes of what is kept, by name, for a tensor (rows, columns)."""
        return {}

    def update_matrix(self, theta: Tensor, gradient: Tensor, state: State, h: StepHyperparameters) -> None:
        """One step in place of one tensor: theta is (members, rows, columns), the gradient is consumed.

        A vector is one row. The state holds its `matrix_slots`, of theta's shape, and its `factors`, members in front.
        """
        raise NotImplementedError

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """Its own matrices and those of the fallback, which shares the ones it has, too."""
        inner = () if self.fallback is None else self.fallback.slots
        return tuple(dict.fromkeys((*self.matrix_slots, *inner)))

    def hyper_parameters(self) -> dict[str, Any]:
        """The numeric fields by name, those of the fallback with its name in front."""
        inner = {} if self.fallback is None else self.fallback.hyper_parameters()
        return super().hyper_parameters() | {f"fallback.{name}": value for name, value in inner.items()}


def check_fallback(name: str, fallback: Rule) -> None:
    """Raise UsageError unless a rule can be the fallback of the rule `name`."""
    check_type(f"{name} fallback", fallback, Rule, "a rule such as optim.AdamW(lr=3e-4)")
    formula = type(fallback).update is not Rule.update
    if fallback.looks_ahead or not formula:
        msg = f"{name} fallback must be elementwise with its gradient at theta; got {type(fallback).__name__}."
        raise UsageError(msg)
