"""Losses and metrics with one value for every target: an example's, a token's, a pixel's."""

from typing import Any, ClassVar

from torch import Tensor

from thalweg.errors import ModelError
from thalweg.losses.weighted_mean import Lead, weighted_entries, weighted_mean


class PerPosition:
    """A function of outputs and targets with one value for every target, and a weight where targets differ in it.

    `values` and `weights` are what a loss is made of; the means follow. Called with (outputs, targets), it returns what
    a function of the user's own would: its values, or (values, weights).
    """

    kind: ClassVar[str]
    unit: ClassVar[str] = ""
    takes_any_target: ClassVar[bool] = False  # whether all targets have a value, so that none need be read and checked

    def values(self, outputs: Any, targets: Any) -> Tensor:
        """One value for every target, in the shape of the targets."""
        raise NotImplementedError

    def weights(self, targets: Any, like: Tensor) -> Tensor | None:
        """The weight of every target, in the dtype and on the device of `like`; None where all weigh the same."""
        return None

    @property
    def weighted(self) -> bool:
        """Whether targets differ in weight."""
        return False

    @property
    def name(self) -> str:
        """For tables, figures and stores: with the options that are not the default."""
        return self.kind

    def __call__(self, outputs: Any, targets: Any) -> Tensor | tuple[Tensor, Tensor]:
        """The values, or (values, weights)."""
        values = self.values(outputs, targets)
        weights = self.weights(targets, values)
        return values if weights is None else (values, weights)

    def check_targets(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise ModelError at targets, of any number of examples, that have no such value by outputs of this kind."""
        raise NotImplementedError

    def mean(self, outputs: Any, targets: Any, lead: Lead = 1) -> Tensor:
        """The mean over the batch: a scalar or (members,)."""
        values = self.values(outputs, targets)
        weights = self.weights(targets, values)
        return _rest(values, lead).mean(-1) if weights is None else weighted_mean(values, weights, lead)

    def entries(self, outputs: Any, targets: Any, lead: Lead = 1) -> tuple[Tensor, Tensor | None]:
        """One value per example, the mean over its positions, and its weight or None: (batch,) or (members, batch)."""
        values = self.values(outputs, targets)
        weights = self.weights(targets, values)
        return (_rest(values, lead), None) if weights is None else weighted_entries(values, weights, lead)


class NamedLoss(PerPosition):
    """A loss that is known here: it says which outputs and targets it takes, and is trained on."""

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise ModelError with both shapes when it cannot take these outputs and targets."""
        if not isinstance(outputs, Tensor):
            msg = (
                f"The loss {self.kind!r} takes one tensor, but the model returned {type(outputs).__name__}; "
                "pass loss=lambda output, target: ... that picks what it needs."
            )
            raise ModelError(msg)
        if tuple(outputs.shape) != tuple(targets.shape):
            got, wanted = tuple(outputs.shape), tuple(targets.shape)
            msg = f"{self.kind} takes outputs and targets of one shape; the model returned {got} for targets {wanted}."
            if got == (*wanted, 1) and not targets.is_floating_point():
                msg += " Integer targets (n, 1) are read as classes (n,); pass targets.float() to keep them."
            raise ModelError(msg)


def _rest(values: Tensor, lead: Lead) -> Tensor:
    """Mean over what follows the leading dimensions (positions of a sequence, pixels)."""
    return values.flatten(lead).mean(-1) if values.ndim > lead else values
