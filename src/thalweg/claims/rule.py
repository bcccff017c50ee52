"""Rules: when an interval makes a claim hold, fail, or leaves it undecided."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from thalweg.errors import UsageError

Outcome = Literal["holds", "fails", "undecided"]
SYMBOLS: dict[Outcome, str] = {"holds": "✓", "fails": "✗", "undecided": "?"}
_WEAKEST_FIRST: tuple[Outcome, ...] = ("fails", "undecided", "holds")


def weakest(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of a conjunction: fails if one fails, else undecided if one is, else holds.

    An intersection-union test: it holds by chance in at most 2.5 % of the cases where one part is false, however many
    parts there are (Berger, 1982, doi:10.1080/00401706.1982.10487790).

    >>> from thalweg.claims import weakest
    >>> weakest(["holds", "undecided"])
    'undecided'
    """
    return min(outcomes, key=_WEAKEST_FIRST.index)


@dataclass(frozen=True)
class Greater:
    """The quantity is greater than `threshold`, by enough to matter.

    Holds when low > threshold; fails when high < worth, so also when it is on the other side, or beyond the
    threshold but wholly smaller than the smallest effect worth having; undecided in between.

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
        """The values at which the verdict changes."""
        return tuple(dict.fromkeys((self.threshold, self.worth)))

    def judge(self, low: float, high: float) -> Outcome:
        """The verdict on an interval; an end that is not a number decides nothing."""
        if math.isnan(low) or math.isnan(high):
            return "undecided"
        if high < self.worth:
            return "fails"
        return "holds" if low > self.threshold else "undecided"


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
        """The values at which the verdict changes."""
        return tuple(dict.fromkeys((self.threshold, self.worth)))

    def judge(self, low: float, high: float) -> Outcome:
        """The verdict on an interval; an end that is not a number decides nothing."""
        if math.isnan(low) or math.isnan(high):
            return "undecided"
        if low > self.worth:
            return "fails"
        return "holds" if high < self.threshold else "undecided"


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
        """The values at which the verdict changes."""
        return (self.low, self.high)

    def judge(self, low: float, high: float) -> Outcome:
        """The verdict on an interval; an end that is not a number decides nothing."""
        if math.isnan(low) or math.isnan(high):
            return "undecided"
        if low > self.low and high < self.high:
            return "holds"
        return "fails" if high < self.low or low > self.high else "undecided"


Rule = Greater | Less | Within
_KINDS: dict[str, type[Rule]] = {"greater": Greater, "less": Less, "within": Within}


def greater(threshold: float, *, worth: float | None = None) -> Greater:
    """Holds when the interval is above `threshold`; fails when it is below `worth` (default: the threshold).

    >>> from thalweg.claims import greater
    >>> rule = greater(1, worth=1.1)
    >>> rule.judge(1.05, 1.4), rule.judge(1.01, 1.05), rule.judge(0.9, 1.4)
    ('holds', 'fails', 'undecided')

    Raises:
        UsageError: worth < threshold.
    """
    return Greater(float(threshold), float(threshold if worth is None else worth))


def less(threshold: float, *, worth: float | None = None) -> Less:
    """Holds when the interval is below `threshold`; fails when it is above `worth` (default: the threshold).

    >>> from thalweg.claims import less
    >>> less(0).judge(-2.0, -1.0), less(0).judge(-2.0, 1.0)
    ('holds', 'undecided')

    Raises:
        UsageError: worth > threshold.
    """
    return Less(float(threshold), float(threshold if worth is None else worth))


def within(low: float, high: float) -> Within:
    """Holds when the interval is wholly between low and high; fails when it is wholly outside.

    >>> from thalweg.claims import within
    >>> within(0.5, 1).judge(0.6, 0.9), within(0.5, 1).judge(0.1, 0.3)
    ('holds', 'fails')

    Raises:
        UsageError: low >= high.
    """
    return Within(float(low), float(high))


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
        f"fails if wholly {other} {worth:g}, the smallest effect worth having; otherwise holds if wholly {side} "
        f"{threshold:g}"
    )
