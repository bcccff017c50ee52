"""Rules: when an interval makes a claim hold, fail, or leaves it undecided."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from thalweg.arguments import in_words
from thalweg.errors import UsageError

Outcome = Literal["holds", "fails", "undecided"]
Failure = Literal["", "opposite", "too small to matter", "below the band", "above the band"]
SYMBOLS: dict[Outcome, str] = {"holds": "✓", "fails": "✗", "undecided": "?"}


@dataclass(frozen=True)
class Greater:
    """The quantity is greater than `threshold`, by enough to matter.

    Holds when low > worth; fails when high < worth: opposite if high < threshold too, else too small to matter;
    undecided in between. One end decides: if the truth lay exactly at `worth`, it would be called wrongly in at most
    7 % of the cases for values of which docs/coverage.md calls the interval good, and more often for heavy tails, or
    where values come in two kinds; the farther away the truth is, the more rarely. See `chance`.

    Args:
        threshold: where the claim begins to be true.
        worth: the smallest value worth having, at least `threshold`.
    """

    threshold: float
    worth: float

    def __post_init__(self) -> None:
        if not self.worth >= self.threshold:
            msg = f"greater needs worth >= threshold; got threshold={self.threshold}, worth={self.worth}."
            raise UsageError(msg)

    @property
    def text(self) -> str:
        """The rule in words."""
        return _one_sided("above", self.threshold, self.worth)

    @property
    def landmarks(self) -> tuple[float, ...]:
        """The values that the interval is compared with."""
        return tuple(dict.fromkeys((self.threshold, self.worth)))

    @property
    def cuts(self) -> tuple[float, ...]:
        """Those of them at which the outcome changes."""
        return (self.worth,)

    def judge(self, low: float, high: float) -> Outcome:
        """The outcome on an interval; an end that is not a number decides nothing."""
        if math.isnan(low) or math.isnan(high):
            return "undecided"
        if high < self.worth:
            return "fails"
        return "holds" if low > self.worth else "undecided"

    def failure(self, low: float, high: float) -> Failure:
        """In which way it fails; "" where it does not."""
        if self.judge(low, high) != "fails":
            return ""
        return "opposite" if high < self.threshold or self.worth == self.threshold else "too small to matter"


@dataclass(frozen=True)
class Less:
    """The quantity is less than `threshold`, by enough to matter: the mirror image of `Greater`.

    Args:
        threshold: where the claim begins to be true.
        worth: the largest value worth having, at most `threshold`.
    """

    threshold: float
    worth: float

    def __post_init__(self) -> None:
        if not self.worth <= self.threshold:
            msg = f"less needs worth <= threshold; got threshold={self.threshold}, worth={self.worth}."
            raise UsageError(msg)

    @property
    def text(self) -> str:
        """The rule in words."""
        return _one_sided("below", self.threshold, self.worth)

    @property
    def landmarks(self) -> tuple[float, ...]:
        """The values that the interval is compared with."""
        return tuple(dict.fromkeys((self.threshold, self.worth)))

    @property
    def cuts(self) -> tuple[float, ...]:
        """Those of them at which the outcome changes."""
        return (self.worth,)

    def judge(self, low: float, high: float) -> Outcome:
        """The outcome on an interval; an end that is not a number decides nothing."""
        return Greater(-self.threshold, -self.worth).judge(-high, -low)

    def failure(self, low: float, high: float) -> Failure:
        """In which way it fails; "" where it does not."""
        return Greater(-self.threshold, -self.worth).failure(-high, -low)


@dataclass(frozen=True)
class Within:
    """The quantity lies between `low` and `high`.

    Holds when the whole interval lies inside; fails when it lies wholly outside; undecided when it straddles
    or touches an end.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            msg = f"within needs low < high; got low={self.low}, high={self.high}."
            raise UsageError(msg)

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"holds if wholly between {self.low:g} and {self.high:g}; fails if wholly outside"

    @property
    def landmarks(self) -> tuple[float, ...]:
        """The values that the interval is compared with."""
        return (self.low, self.high)

    @property
    def cuts(self) -> tuple[float, ...]:
        """Those of them at which the outcome changes: all."""
        return self.landmarks

    def judge(self, low: float, high: float) -> Outcome:
        """The outcome on an interval; an end that is not a number decides nothing."""
        if math.isnan(low) or math.isnan(high):
            return "undecided"
        if low > self.low and high < self.high:
            return "holds"
        return "fails" if high < self.low or low > self.high else "undecided"

    def failure(self, low: float, high: float) -> Failure:
        """In which way it fails; "" where it does not."""
        if self.judge(low, high) != "fails":
            return ""
        return "below the band" if high < self.low else "above the band"


@dataclass(frozen=True)
class EveryPart:
    """The rule of a claim that says several things at once, each a part with a rule of its own; see `every_part`.

    >>> from thalweg.claims import EveryPart
    >>> EveryPart().text
    'holds if every part does; fails if one fails'
    """

    @property
    def text(self) -> str:
        """The rule in words."""
        return "holds if every part does; fails if one fails"


Rule = Greater | Less | Within
_KINDS: dict[str, type[Rule]] = {"greater": Greater, "less": Less, "within": Within}


@in_words
def greater(threshold: float, *, worth: float | None = None) -> Greater:
    """Holds when the interval is wholly above `worth`, by default the threshold; fails when it is wholly below.

    >>> from thalweg.claims import greater
    >>> rule = greater(1, worth=1.1)
    >>> rule.judge(1.15, 1.4), rule.judge(1.01, 1.05), rule.judge(1.05, 1.4)
    ('holds', 'fails', 'undecided')
    >>> rule.failure(1.01, 1.05), rule.failure(0.7, 0.9)
    ('too small to matter', 'opposite')

    Raises:
        UsageError: worth < threshold.
    """
    return Greater(float(threshold), float(threshold if worth is None else worth))


@in_words
def less(threshold: float, *, worth: float | None = None) -> Less:
    """Holds when the interval is wholly below `worth`, by default the threshold; fails when it is wholly above.

    >>> from thalweg.claims import less
    >>> less(0).judge(-2.0, -1.0), less(0).judge(-2.0, 1.0)
    ('holds', 'undecided')

    Raises:
        UsageError: worth > threshold.
    """
    return Less(float(threshold), float(threshold if worth is None else worth))


@in_words
def within(low: float, high: float) -> Within:
    """Holds when the interval is wholly between low and high; fails when it is wholly outside.

    >>> from thalweg.claims import within
    >>> within(0.5, 1).judge(0.6, 0.9), within(0.5, 1).judge(0.1, 0.3)
    ('holds', 'fails')

    Raises:
        UsageError: low >= high.
    """
    return Within(float(low), float(high))


def every_part() -> EveryPart:
    """Holds when every part of the claim that decides does; fails when one fails; else undecided.

    An intersection-union test, each part at 95 %: where one part is false it holds at most as often as that part does
    when judged alone, however many parts there are (Berger, 1982, doi:10.1080/00401706.1982.10487790); see `chance`.

    >>> from thalweg.claims import Claim, Part, every_part, greater, less
    >>> from thalweg.statistics import Interval
    >>> parts = Part("early", "More at first.", greater(0), "nats"), Part("late", "Less at last.", less(0), "nats")
    >>> claim = Claim("X1", "More, then less.", "So it is.", every_part(), "nats", parts=parts)
    >>> more, less_so = Interval(1.0, 0.5, 1.5, 5, "made up"), Interval(-0.4, -0.9, 0.1, 5, "made up")
    >>> verdict = claim.judge(parts={"early": more, "late": less_so})
    >>> verdict.outcome, verdict.own.part.id
    ('undecided', 'late')
    """
    return EveryPart()


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """The rule as JSON-able data."""
    kind = next(name for name, cls in _KINDS.items() if type(rule) is cls)
    return {"is": kind} | vars(rule)


def rule_from_json(document: Mapping[str, Any]) -> Rule:
    """The rule that `rule_to_json` wrote."""
    fields = {name: value for name, value in document.items() if name != "is"}
    return _KINDS[document["is"]](**fields)


def _one_sided(side: str, threshold: float, worth: float) -> str:
    other = {"above": "below", "below": "above"}[side]
    if worth == threshold:
        return f"holds if wholly {side} {threshold:g}; fails if wholly {other} it"
    return (
        f"holds if wholly {side} {worth:g}, the smallest effect worth having; fails if wholly {other} it (opposite if "
        f"also {other} {threshold:g}, else too small to matter)"
    )
