"""What an undecided statement lacks: about how many seeds, or why no number of them is known."""

from dataclasses import dataclass

from thalweg.arguments import in_words
from thalweg.claims.judgment import Judgment
from thalweg.statistics import ANYTHING, units_to_clear

ON_THE_BOUND = "no number decides: the estimate lies on the bound"


@dataclass(frozen=True)
class ToDecide:
    """About how many seeds would decide a statement that is undecided; made by `to_decide`.

    >>> from thalweg.claims import Claim, greater
    >>> from thalweg.statistics import Interval
    >>> claim = Claim("X1", "It is more.", "It is more.", greater(0), "nats")
    >>> (lacking,) = claim.judge(Interval(1.0, -1.0, 3.0, 10, "twice too wide")).to_decide
    >>> lacking.about, lacking.sentence
    (33, '10 seeds do not decide X1: about 33 would in half of all repeats, were the truth at the estimate.')

    Args:
        id: of the part, or of the claim.
        repeats: what is counted, such as "seeds".
        n: of them, that there are.
        about: so many in all would decide it in half of all repeats, were the truth at the estimate and values as
            scattered as they are; None where no number is known.
        why: none is, in words; "" where one is.
    """

    id: str
    repeats: str
    n: int
    about: int | None
    why: str = ""

    @property
    def numbers(self) -> dict[str, str | int]:
        """The same for the record."""
        return {"there are": self.n, "would decide": self.why if self.about is None else self.about, "of": self.repeats}

    @property
    def sentence(self) -> str:
        """All of it in words."""
        if self.about is not None:
            return (
                f"{self.n:,} {self.repeats} do not decide {self.id}: about {_roughly(self.about):,} would in half of "
                "all repeats, were the truth at the estimate."
            )
        if self.why == ON_THE_BOUND:
            return f"No number of {self.repeats} decides {self.id}: the estimate lies on the bound."
        return f"How many {self.repeats} would decide {self.id} is not known: {self.why}."


@in_words
def to_decide(judgment: Judgment) -> ToDecide:
    """What one undecided statement lacks.

    The number is `statistics.units_to_clear` of the values inside the interval at which the outcome changes, of two the
    larger.

    >>> from thalweg.claims import Judgment, Part, less, to_decide
    >>> from thalweg.statistics import mean
    >>> late = Part("late", "At the end it is less.", less(0), "nats")
    >>> to_decide(Judgment(late, mean([1.0]))).sentence
    'How many seeds would decide late is not known: one seed has no interval.'
    """
    part, found = judgment.part, judgment.interval
    cuts = [cut for cut in part.rule.cuts if found.low <= cut <= found.high]
    numbers = [units_to_clear(found, cut, bounds=part.bounds) for cut in cuts]
    known = [number for number in numbers if number is not None]
    if known and len(known) == len(numbers):
        return ToDecide(part.id, part.repeats, found.n, max(known))
    if not found.known or not found.n:
        why = judgment.reason or "nothing was measured"
    elif found.estimate not in cuts and {found.low, found.high} & {*ANYTHING, *part.bounds}:
        why = "the interval is open to one side"
    else:
        why = ON_THE_BOUND
    return ToDecide(part.id, part.repeats, found.n, None, why)


def _roughly(number: int) -> int:
    """Rounded up to two digits, for it is no better known."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return -(-number // unit) * unit
