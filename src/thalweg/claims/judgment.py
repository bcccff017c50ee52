"""One statement, its rule, and the interval that an experiment put on it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from thalweg.arguments import in_words
from thalweg.claims.rule import Failure, Outcome, Rule
from thalweg.statistics import ANYTHING, Bounds, Interval

_WEAKEST_FIRST: tuple[Outcome, ...] = ("fails", "undecided", "holds")


@dataclass(frozen=True)
class Part:
    """One of several statements that a claim makes at once, each with an interval of its own.

    >>> from thalweg.claims import Part, less
    >>> Part("late", "At the end it is less.", less(0), "nats").rule.text
    'holds if wholly below 0; fails if wholly above it'

    Args:
        id: such as "early".
        statement: what is tested, one sentence.
        rule: when it holds.
        unit: of the quantity the rule judges, in words.
        decides: whether the claim holds only if this part does; otherwise it is judged and shown beside.
        bounds: what no value of the quantity can be beyond.
        repeats: what the n of its interval counts: those that more of would decide it.
    """

    id: str
    statement: str
    rule: Rule
    unit: str
    decides: bool = True
    bounds: Bounds = ANYTHING
    repeats: str = "seeds"


@dataclass(frozen=True)
class Judgment:
    """A statement with the interval that an experiment put on it.

    >>> from thalweg.claims import Judgment, Part, greater
    >>> from thalweg.statistics import Interval
    >>> Judgment(Part("late", "It is more.", greater(0), "nats"), Interval(1.0, -0.5, 2.5, 5, "made up")).outcome
    'undecided'
    """

    part: Part
    interval: Interval

    @property
    def outcome(self) -> Outcome:
        """holds, fails or undecided, computed from the rule and the interval; undecided where a number is none."""
        if math.isnan(self.interval.estimate):
            return "undecided"
        return self.part.rule.judge(self.interval.low, self.interval.high)

    @property
    def failure(self) -> Failure:
        """In which way it fails, such as "opposite" or "too small to matter"; "" where it does not."""
        return self.part.rule.failure(self.interval.low, self.interval.high) if self.outcome == "fails" else ""

    @property
    def reason(self) -> str:
        """Why it is no "holds", in words, where there is more to say than that the interval is too wide.

        >>> from thalweg.claims import Judgment, Part, greater
        >>> from thalweg.statistics import mean
        >>> Judgment(Part("late", "It is more.", greater(0), "nats"), mean([1.0])).reason
        'one seed has no interval'
        """
        if math.isnan(self.interval.estimate) or not self.interval.known:
            if math.isnan(self.interval.estimate):
                return (
                    "a number is missing" if self.interval.n else self.interval.method
                )  # of no units: why there are none
            return "one seed has no interval" if self.interval.n == 1 else "all values agree, which gives no interval"
        return self.failure

    @property
    def words(self) -> str:
        """The outcome and its reason.

        >>> from thalweg.claims import Judgment, Part, greater
        >>> from thalweg.statistics import mean
        >>> Judgment(Part("late", "It is more.", greater(0), "nats"), mean([0.01, 0.01, 0.01])).words
        'undecided: all values agree, which gives no interval'
        """
        return f"{self.outcome}: {self.reason}" if self.reason else self.outcome

    @property
    def closeness(self) -> float:
        """How near the nearer end is to a value at which the outcome changes, as a share of the interval's width.

            min over ends and values of |end - value| / (2 |end - estimate|)

        which of an interval with its estimate in the middle is the distance by the width. A repeat with other seeds
        moves the ends by sqrt(2) standard errors in the root mean square, and an interval is about 4 standard errors
        wide: at a closeness of 1/4 about one repeat in four comes out otherwise, and fewer beyond.

        >>> from thalweg.claims import Judgment, Part, greater
        >>> from thalweg.statistics import Interval
        >>> Judgment(Part("late", "It is more.", greater(0), "nats"), Interval(1.0, 0.25, 1.75, 5, "made up")).closeness
        0.16666666666666666
        """
        found = math.inf
        for end in (self.interval.low, self.interval.high):
            reach = 2 * abs(end - self.interval.estimate)
            for cut in self.part.rule.cuts:
                if math.isfinite(end) and math.isfinite(self.interval.estimate):
                    distance = abs(end - cut)
                    found = min(found, distance / reach if reach else (math.inf if distance else 0.0))
        return found


@in_words
def weakest(judgments: Iterable[Judgment]) -> Judgment:
    """The judgment that decides a conjunction: one that fails, else one that is undecided, else any.

    So a conjunction has its outcome: an intersection-union test, which where one part is false holds at most as often
    as that part does when judged alone, however many parts there are (Berger, 1982,
    doi:10.1080/00401706.1982.10487790); see `chance`. Of several with that outcome it is the one that is farthest from
    holding.

    >>> from thalweg.claims import Judgment, Part, greater, weakest
    >>> from thalweg.statistics import Interval
    >>> ends = {"early": (0.5, 1.5), "late": (-0.5, 2.5)}
    >>> parts = [Part(name, "It is more.", greater(0), "nats") for name in ends]
    >>> weakest([Judgment(part, Interval(1.0, *ends[part.id], 5, "made up")) for part in parts]).part.id
    'late'
    """
    return min(judgments, key=lambda one: (_WEAKEST_FIRST.index(one.outcome), _clearance(one)))


def _clearance(judgment: Judgment) -> float:
    """How far it is from not holding, or beyond, for judgments of one outcome: more is stronger."""
    estimate, near = judgment.interval.estimate, judgment.closeness
    if not judgment.interval.known or math.isnan(estimate):
        return -math.inf
    if judgment.outcome == "undecided":  # from 0, where it all but holds, over 1/2 to 1, where it all but fails
        return -near if judgment.part.rule.judge(estimate, estimate) == "holds" else near - 1
    return near if judgment.outcome == "holds" else -near
