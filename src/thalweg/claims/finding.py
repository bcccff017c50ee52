"""What an experiment found about one claim."""

from dataclasses import dataclass

from thalweg.claims.claim import Verdict
from thalweg.errors import UsageError
from thalweg.figures import Figure
from thalweg.results import Reading


@dataclass(frozen=True)
class Finding:
    """What a study found about one claim.

    >>> from thalweg.claims import Claim, Finding, greater
    >>> from thalweg.statistics import Interval
    >>> claim = Claim("X1", "Twice is more than once.", "Twice is more.", greater(1), "ratio")
    >>> finding = Finding(claim.judge(Interval(2.0, 1.5, 2.5, 5, "made up")), sentences=("It is twice as much.",))
    >>> finding.verdict.outcome
    'holds'

    Args:
        verdict: from `claim.judge`.
        figures: what to draw.
        readings: the measurements behind it, each with another name.
        sentences: what was found, rendered from the numbers.

    Raises:
        UsageError: two readings have one name.
    """

    verdict: Verdict
    figures: tuple[Figure, ...] = ()
    readings: tuple[Reading, ...] = ()
    sentences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [reading.name for reading in self.readings]
        if len(set(names)) < len(names):
            msg = f"The readings of a finding need different names; {self.verdict.claim.id} has {names}."
            raise UsageError(msg)
