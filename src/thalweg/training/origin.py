"""Which member begins where: the networks that an arm starts from, and the seeds that go with them."""

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.errors import UsageError


@dataclass(frozen=True)
class Origin:
    """The networks that the members of an arm start from.

    >>> from thalweg.training.origin import Origin
    >>> Origin(rows=2).members([7, 8], combination=0, combinations=1)
    [(0, 7), (0, 8), (1, 7), (1, 8)]
    >>> Origin(rows=2, paired=True).members([7, 8], combination=0, combinations=1)
    [(0, 7), (1, 8)]

    Args:
        arm: the arm's name; None where there are no arms.
        rows: how many networks; None: one is initialized for each seed.
        paired: whether they go with the seeds, one by one, instead of being crossed with them.
    """

    arm: str | None = None
    rows: int | None = None
    paired: bool = False

    def members(self, seeds: Sequence[int], combination: int, combinations: int) -> list[tuple[int, int]]:
        """The network and the seed of every member of one combination of the sweeps, of so many.

        Raises:
            UsageError: networks that do not pair with the seeds.
        """
        if self.rows is None:
            return list(enumerate(seeds))
        if not self.paired or self.rows == 1:
            return [(row, seed) for row in range(self.rows) for seed in seeds]
        if self.rows == len(seeds):
            return list(enumerate(seeds))
        if self.rows == combinations * len(seeds):
            return [(combination * len(seeds) + place, seed) for place, seed in enumerate(seeds)]
        where = "" if self.arm is None else f"arm {self.arm!r}: "
        swept = (
            "" if combinations == 1 else f", or {combinations * len(seeds)}, one for each of {combinations} sweeps too"
        )
        msg = (
            f"{where}paired=True needs a start of {len(seeds)} members, one for each seed{swept}; got {self.rows}. "
            "Without it every seed is trained from every one of them."
        )
        raise UsageError(msg)

    @property
    def crossed(self) -> bool:
        """Whether several networks are each trained with every seed."""
        return self.rows is not None and self.rows > 1 and not self.paired
