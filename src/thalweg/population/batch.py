"""A batch for a whole population: one for everybody, or one per member."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Int64
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.data import ExampleSet


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs and targets for the members.

    Args:
        inputs, targets: tensors (or tuples and dicts of them) of shape (batch, ...) when `shared`,
            else (members, batch, ...).
        shared: whether every member sees the same examples.

    >>> import torch
    >>> import thalweg as tw
    >>> examples = tw.data.digits().train
    >>> shared = tw.population.Batch.range(examples, 0, 32)
    >>> own = tw.population.Batch.of(examples, torch.tensor([[0, 1, 2], [7, 8, 9]]))
    >>> shared.size, own.size, own.shared
    (32, 3, False)
    """

    inputs: Any
    targets: Any
    shared: bool

    @classmethod
    def of(cls, examples: ExampleSet, indices: Int64[Tensor, "members_or_one batch"]) -> "Batch":
        """The examples with these indices; one row of indices is a batch that all members share."""
        shared = len(indices) == 1
        return cls(*examples.take(indices[0] if shared else indices), shared)

    @classmethod
    def range(cls, examples: ExampleSet, start: int, stop: int) -> "Batch":
        """Examples start:stop, shared by all members."""
        return cls(*examples.slice(start, stop), shared=True)

    def rows(self, rows: slice) -> "Batch":
        """The part of the batch that these members see."""
        if self.shared or rows == slice(None) or (rows.start == 0 and rows.stop == len(_first(self.targets))):
            return self
        part = lambda tree: tree_map(lambda tensor: tensor[rows], tree)  # noqa: E731
        return Batch(part(self.inputs), part(self.targets), shared=False)

    def member(self, member: int) -> tuple[Any, Any]:
        """Inputs and targets (batch, ...) of one member."""
        if self.shared:
            return self.inputs, self.targets
        one = lambda tree: tree_map(lambda tensor: tensor[member], tree)  # noqa: E731
        return one(self.inputs), one(self.targets)

    def targets_of(self, rows: slice, members: int) -> Any:
        """The targets of these rows, `members` of them: (members, batch, ...), also where all share them."""
        if self.shared:
            return tree_map(lambda tensor: tensor.expand(members, *tensor.shape), self.targets)
        return self.rows(rows).targets

    @property
    def size(self) -> int:
        """Examples a member sees."""
        return _first(self.targets).shape[0 if self.shared else 1]


def _first(tree: Any) -> Tensor:
    return tree if isinstance(tree, Tensor) else tree_leaves(tree)[0]
