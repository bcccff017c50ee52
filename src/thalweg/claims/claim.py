"""Claims and verdicts: a falsifiable statement, and what an experiment found.

A verdict is never typed. It is computed from a rule and a 95 % interval, whenever it is read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.claims.judgment import Judgment, Part, weakest
from thalweg.claims.rule import EveryPart, Outcome, Rule
from thalweg.claims.to_decide import ToDecide, to_decide
from thalweg.errors import UsageError
from thalweg.statistics import ANYTHING, Bounds, Interval

TO_DECIDE = "to decide"  # the name of what is lacking among the numbers
CLOSE = 0.25  # of the width of an interval, which is about a standard error


@dataclass(frozen=True)
class Claim:
    """A falsifiable statement.

    >>> from thalweg.claims import Claim, greater
    >>> from thalweg.statistics import Interval
    >>> claim = Claim("X1", "Twice is more than once.", "Twice is more.", greater(1), "ratio")
    >>> claim.judge(Interval(2.0, 1.5, 2.5, 5, "made up")).outcome
    'holds'

    Args:
        id: such as "OPT2".
        statement: what is tested, one sentence.
        lecture: what the lecture says.
        rule: when it holds; `every_part()` of a claim that says several things at once, each of them a part.
        unit: of the quantity the rule judges, in words.
        corrected: what is right, where the lecture is imprecise or wrong.
        parts: further statements that belong to it; those that decide must hold as well.
        lecture_rule: when the lecture's own wording would hold, where it differs from the statement.
        lecture_unit, lecture_repeats: of the quantity that the wording is judged by, and what its n counts, where they
            are others than the claim's.
        budget: the smallest budget that the claim is about, by what is counted, such as {"steps": 1000}; an experiment
            that ran less shows its interval, and the verdict is undecided.
        bounds: what no value of the quantity can be beyond, such as `statistics.SHARE`; give them to the interval too,
            as in `statistics.mean(values, bounds=CLAIM.bounds)`.
        repeats: what the n of its own interval counts, such as "sources of data".

    Raises:
        UsageError: every part is to hold, and there are fewer than two that decide.
    """

    id: str
    statement: str
    lecture: str
    rule: Rule | EveryPart
    unit: str
    corrected: str | None = None
    parts: tuple[Part, ...] = ()
    lecture_rule: Rule | None = None
    budget: Mapping[str, float] = field(default_factory=dict)
    bounds: Bounds = ANYTHING
    repeats: str = "seeds"
    lecture_unit: str | None = None
    lecture_repeats: str | None = None

    @property
    def needs(self) -> str:
        """The budget in words; "" where there is none.

        >>> from thalweg.claims import Claim, greater
        >>> Claim("X1", "It is more.", "It is more.", greater(0), "nats", budget={"steps": 1_000}).needs
        'at least 1,000 steps'
        """
        least = " and ".join(f"{_whole(least)} {name}" for name, least in self.budget.items())
        return least and f"at least {least}"

    def __post_init__(self) -> None:
        deciding = [part.id for part in self.parts if part.decides]
        if isinstance(self.rule, EveryPart) and len(deciding) < 2:
            msg = f"{self.id} holds if every part does, and needs at least two parts that decide; got {deciding}."
            raise UsageError(msg)

    def judge(
        self,
        interval: Interval | None = None,
        *,
        numbers: Mapping[str, Any] | None = None,
        parts: Mapping[str, Interval] | None = None,
        lecture: Interval | None = None,
        ran: Mapping[str, float] | None = None,
    ) -> "Verdict":
        """What an experiment says about the claim.

        Args:
            interval: of the quantity that the rule judges; none where the rule is that every part holds.
            numbers: further quantities for the record.
            parts: the interval of every part, by its id.
            lecture: the interval that the lecture's own wording is judged by.
            ran: what the experiment ran, by what the budget counts.

        Raises:
            UsageError: intervals of other parts than the claim has, of a wording that it does not judge, or beyond the
                bounds of its quantity; or a budget that cannot be compared.
        """
        parts, ran = dict(parts or {}), dict(ran or {})
        if set(parts) != {part.id for part in self.parts}:
            msg = f"{self.id} has the parts {[part.id for part in self.parts]}; got intervals of {list(parts)}."
            raise UsageError(msg)
        if (interval is None) != isinstance(self.rule, EveryPart):
            need = "is judged by its parts alone; leave its own interval out" if interval else "needs its own interval"
            msg = f"{self.id} {need}: its rule is that it {self.rule.text}."
            raise UsageError(msg)
        if (lecture is None) != (self.lecture_rule is None):
            has = "has no lecture_rule" if self.lecture_rule is None else "has a lecture_rule"
            got = "none" if lecture is None else "one"
            msg = f"{self.id} {has} for the lecture's own wording, whose interval goes with it, and got {got}."
            raise UsageError(msg)
        if not set(self.budget) <= set(ran):
            msg = f"{self.id} is about a budget of {dict(self.budget)}; say what ran, such as ran={dict(self.budget)}."
            raise UsageError(msg)
        judged = tuple(self._judged(part, parts[part.id]) for part in self.parts)
        words = None
        if lecture is not None and self.lecture_rule is not None:
            words = self._judged(self._wording(self.lecture_rule), lecture)
        if interval is None:
            own = weakest(one for one in judged if one.part.decides)
        else:
            assert not isinstance(self.rule, EveryPart)
            alone = Part(self.id, self.statement, self.rule, self.unit, bounds=self.bounds, repeats=self.repeats)
            own = self._judged(alone, interval)
        ran = {name: ran[name] for name in self.budget}
        verdict = Verdict(self, own.interval, dict(numbers or {}), judged, words, ran, own)
        counted = {one.id: one.numbers for one in verdict.to_decide}
        return replace(verdict, numbers={**verdict.numbers, TO_DECIDE: counted}) if counted else verdict

    def _wording(self, rule: Rule) -> Part:
        """The lecture's own wording: of the claim's quantity, or of one of its own unit, whose bounds are not known."""
        own = self.lecture_unit is not None
        return Part(
            "lecture",
            self.lecture,
            rule,
            self.unit if self.lecture_unit is None else self.lecture_unit,
            decides=False,
            bounds=ANYTHING if own else self.bounds,
            repeats=self.repeats if self.lecture_repeats is None else self.lecture_repeats,
        )

    def _judged(self, part: Part, interval: Interval) -> Judgment:
        """The part with its interval, which must lie within the bounds of the quantity."""
        least, most = part.bounds
        if interval.low < least or interval.high > most:
            what = self.id if part.id in (self.id, "lecture") else f"{self.id}, {part.id}"
            msg = f"The quantity of {what} has the bounds {least:g} to {most:g}; got the interval {interval}: write "
            msg += f"statistics.mean(values, bounds=({least:g}, {most:g})), or another interval that stays within them."
            raise UsageError(msg)
        return Judgment(part, interval)


@dataclass(frozen=True)
class Verdict:
    """A claim, and the interval an experiment put on it; made by `Claim.judge`.

    >>> from thalweg.claims import Claim, greater
    >>> from thalweg.statistics import Interval
    >>> claim = Claim("X1", "It is more.", "It is more.", greater(0), "nats", budget={"steps": 1_000})
    >>> verdict = claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up"), ran={"steps": 100})
    >>> verdict.outcome, verdict.words
    ('undecided', 'undecided: 100 of 1,000 steps')

    Args:
        claim: what was tested.
        interval: of the quantity the claim's rule judges; where every part is to hold, that of the weakest one.
        numbers: further quantities, by name: numbers, strings, or lists or mappings of them; of one that is
            undecided though its budget ran with what each statement lacks, as "to decide".
        parts: each part of the claim with its own interval and outcome.
        lecture: the lecture's own wording with its interval and outcome; it decides nothing.
        ran: what the experiment ran, by what the claim's budget counts.
        own: the statement by itself, without its parts and whatever the budget; where every part is to hold, the
            weakest one.
    """

    claim: Claim
    interval: Interval
    numbers: Mapping[str, Any]
    parts: tuple[Judgment, ...]
    lecture: Judgment | None
    ran: Mapping[str, float]
    own: Judgment

    @property
    def outcome(self) -> Outcome:
        """holds, fails or undecided: the weakest of the statement and of all parts that decide.

        Undecided below the claim's budget, and where a number is none.
        """
        return "undecided" if self.shortfall else self.weakest.outcome

    @property
    def deciding(self) -> tuple[Judgment, ...]:
        """What the outcome rests on: the statement, unless it is its parts, and all parts that decide."""
        parts = tuple(one for one in self.parts if one.part.decides)
        return parts if isinstance(self.claim.rule, EveryPart) else (self.own, *parts)

    @property
    def weakest(self) -> Judgment:
        """The one of these that decides: one that fails, else one that is undecided, else the one nearest to it."""
        return weakest(self.deciding)

    @property
    def shortfall(self) -> str:
        """What it lacked of the claim's budget, such as "100 of 1,000 steps"; "" where nothing."""
        short = [
            f"{_whole(self.ran[name])} of {_whole(least)} {name}"
            for name, least in self.claim.budget.items()
            if self.ran[name] < least
        ]
        return ", ".join(short)

    @property
    def to_decide(self) -> tuple[ToDecide, ...]:
        """What each statement that leaves it undecided lacks; none where it is decided, or below the budget.

        There the budget is missing, whatever the number of seeds.
        """
        if self.shortfall or self.outcome != "undecided":
            return ()
        return tuple(to_decide(one) for one in self.deciding if one.outcome == "undecided")

    @property
    def lacking(self) -> tuple[str, ...]:
        """What an undecided verdict lacks, in sentences; none of one that is decided.

        >>> from thalweg.claims import Claim, greater
        >>> from thalweg.statistics import Interval
        >>> claim = Claim("X1", "It is more.", "It is more.", greater(0), "nats", budget={"steps": 1_000})
        >>> claim.judge(Interval(1.0, -1.0, 3.0, 5, "made up"), ran={"steps": 100}).lacking
        ('X1 lacks budget, not seeds: 100 of 1,000 steps.',)
        """
        if self.shortfall:
            return (f"{self.claim.id} lacks budget, not {self.own.part.repeats}: {self.shortfall}.",)
        return tuple(one.sentence for one in self.to_decide)

    @property
    def reason(self) -> str:
        """Why the outcome is what it is, where there is more to say than the interval shows; else "".

        Such as "100 of 1,000 steps" of one undecided, "too small to matter" or "opposite" of one that fails, with the
        name of the part where there are several.
        """
        weakest = self.weakest
        named = len(self.deciding) > 1 and weakest.reason
        return self.shortfall or (f"{weakest.part.id}, {weakest.reason}" if named else weakest.reason)

    @property
    def words(self) -> str:
        """The outcome and its reason.

        >>> from thalweg.claims import Claim, greater
        >>> from thalweg.statistics import Interval
        >>> claim = Claim("X1", "It is more.", "It is more.", greater(0, worth=1), "nats")
        >>> claim.judge(Interval(0.3, 0.1, 0.5, 5, "made up")).words
        'fails: too small to matter'
        """
        return f"{self.outcome}: {self.reason}" if self.reason else self.outcome

    @property
    def closeness(self) -> float:
        """How near the call is to another one, as a share of the width of an interval; see `Judgment.closeness`.

        Of several judgments: the nearest of all where it holds, the farthest of those that fail where it fails, and the
        nearest of those that are undecided otherwise. Infinite below the budget, where nothing was called.
        """
        near = [one.closeness for one in self.deciding if one.outcome == self.outcome]
        if self.shortfall or not near:
            return math.inf
        return max(near) if self.outcome == "fails" else min(near)

    @property
    def close(self) -> bool:
        """Whether another machine or other seeds could well make another call: the closeness is below 1/4.

        >>> from thalweg.claims import Claim, greater
        >>> from thalweg.statistics import Interval
        >>> claim = Claim("X1", "It is more.", "It is more.", greater(0), "nats")
        >>> [claim.judge(Interval(1.0, low, 2.0 - low, 5, "made up")).close for low in (0.9, 0.2, -0.2, -1.5)]
        [False, True, True, False]
        """
        return self.closeness < CLOSE


def _whole(count: float) -> str:
    """A count with all its digits, such as 1,500,000."""
    return f"{count:,.0f}" if count == round(count) else f"{count:,g}"
