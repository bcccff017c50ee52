"""What a rule remembers of masked parameters."""

from collections.abc import Mapping

from jaxtyping import Bool
from torch import Tensor

from thalweg.optim.matrix_rule import MatrixRule
from thalweg.optim.rule import Rule, needed
from thalweg.optim.wrapper import Wrapper, unwrapped
from thalweg.population import Layout


def masked_state(
    rule: Rule | Wrapper, state: Mapping[str, Tensor], mask: Bool[Tensor, "members parameters"], layout: Layout
) -> None:
    """Zero, in place, what a rule remembers of parameters outside the mask.

    Every slot is masked as theta is, and of an optimizer of torch's what it keeps of every number of every parameter.
    Not what has no column a parameter: tallies, factors of whole tensors, and moments in a basis of the rule's own
    (`MatrixRule.turned_slots`).
    """
    _, inner = unwrapped(rule)
    for slot, matrix in state.items():
        own = slot.startswith("torch.state.") and matrix.shape == mask.shape and matrix.is_floating_point()
        if slot in rule.slots or own:
            matrix.mul_(_where(inner, slot, mask, layout))


def _where(rule: Rule, slot: str, mask: Tensor, layout: Layout) -> Tensor:
    """The mask of a slot: all true in the columns that are not a parameter's own."""
    if not isinstance(rule, MatrixRule) or slot not in rule.turned_slots:
        return mask
    mask = mask.clone()
    for entry in needed(rule, layout):
        if rule.takes(entry):
            mask[:, entry.columns] = True
    return mask
