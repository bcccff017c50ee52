"""Which training examples each member is trained on, where members have some of their own."""

from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class OwnExamples:
    """The training examples of members as indices: a table, and which of its rows each member has.

    >>> import torch
    >>> from thalweg.training.own_examples import OwnExamples
    >>> own = OwnExamples.of(torch.tensor([[3, 1, 4], [1, 5, 9]]), places=torch.tensor([0, 1, 0, 1]))
    >>> own.take(torch.tensor([[2, 0]])).tolist()
    [[4, 3], [9, 1], [4, 3], [9, 1]]

    Args:
        table: a row for each seed.
        places: of each member its row, (members, 1), or (1, 1) where all members have the same examples.
    """

    table: Int64[Tensor, "seeds n"]
    places: Int64[Tensor, "members_or_one 1"]

    @classmethod
    def of(cls, table: Int64[Tensor, "seeds n"], places: Int64[Tensor, " members"]) -> "OwnExamples":
        """Of members whose rows these are."""
        used = table[places.unique()]
        same = bool((used == used[:1]).all())
        return cls(table, (places[:1] if same else places)[:, None])

    def rows(self, rows: slice) -> "OwnExamples":
        """Of these members; where all have the same, one row stands for them as for all."""
        return self if len(self.places) == 1 else OwnExamples(self.table, self.places[rows])

    @property
    def count(self) -> int:
        """How many examples each member has."""
        return self.table.shape[1]

    def take(self, positions: Int64[Tensor, "members_or_one batch"]) -> Int64[Tensor, "members_or_one batch"]:
        """The examples at these positions of each member's row."""
        return self.table[self.places, positions]
