"""What an experiment is given."""

from dataclasses import dataclass
from typing import Literal, TypeVar

from thalweg.errors import unknown_name
from thalweg.progress import Watcher, ignore

Scale = Literal["quick", "full"]
SCALES: tuple[Scale, ...] = ("quick", "full")
T = TypeVar("T")


@dataclass(frozen=True)
class Lab:
    """What a study is given.

    Args:
        scale: "quick" may leave claims undecided; "full" aims to decide every one.
        seed: from which every random draw of the study derives.
        progress: whom to tell how far it is.
        device: where tensors live.
    """

    scale: Scale = "quick"
    seed: int = 0
    progress: Watcher = ignore
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise unknown_name("scale", self.scale, SCALES)

    def pick(self, *, quick: T, full: T) -> T:
        """The value for this scale."""
        return quick if self.scale == "quick" else full
