"""Neighboring members of a run that are trained as a part of it."""

from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """Rows start to stop - 1 of a run of more members.

    >>> import torch
    >>> from thalweg.training.part import Part
    >>> part = Part(2, 5, began=torch.tensor([0, 0, 0, 0, 9, 9]))
    >>> str(part), part.begun_before(0, step=4), part.begun_before(1, step=4)
    ('members 2 to 4', 2, 1)

    Args:
        start, stop: which members.
        began: the step at which each member of the run begins: (members of the run,).
    """

    start: int
    stop: int
    began: Int64[Tensor, " members"]

    def __str__(self) -> str:
        return f"member {self.start}" if len(self) == 1 else f"members {self.start} to {self.stop - 1}"

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def rows(self) -> slice:
        """The same as a slice."""
        return slice(self.start, self.stop)

    def begun_before(self, first: int, step: int) -> int:
        """How many members from `first` on stand in a row just before these and have begun at the step."""
        begun = (self.began[first : self.start] <= step).tolist()
        return next((count for count, one in enumerate(reversed(begun)) if not one), len(begun))
