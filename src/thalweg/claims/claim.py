"""Claims and verdicts: a falsifiable statement, and what an experiment found.

A verdict is never typed. It is computed from a rule and a 95 % interval, whenever it is read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.claims.rule import Outcome, Rule, weakest
from thalweg.errors import UsageError
from thalweg.statistics import Interval


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
    """

    id: str
    statement: str
    rule: Rule
    unit: str
    decides: bool = True


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
        rule: when it holds.
        unit: of the quantity the rule judges, in words.
        corrected: what is right, where the lecture is imprecise or wrong.
        parts: further statements that belong to it; those that decide must hold as well.
        lecture_rule: when the lecture's own wording would hold, where it differs from the statement.
        budget: the smallest budget that the claim is about, by what is counted, such as {"steps": 1000}; an experiment
            that ran less shows its interval, and the verdict is undecided.
    """

    id: str
    statement: str
    lecture: str
    rule: Rule
    unit: str
    corrected: str | None = None
    parts: tuple[Part, ...] = ()
    lecture_rule: Rule | None = None
    budget: Mapping[str, float] = field(default_factory=dict)

    def judge(
        self,
        interval: Interval,
        *,
        numbers: Mapping[str, Any] | None = None,
        parts: Mapping[str, Interval] | None = None,
        lecture: Interval | None = None,
        ran: Mapping[str, float] | None = None,
    ) -> "Verdict":
        """What an experiment says about the claim.

        Args:
            interval: of the quantity that the rule judges.
            numbers: further quantities for the record.
            parts: the interval of every part, by its id.
            lecture: the interval that the lecture's own wording is judged by.
            ran: what the experiment ran, by what the budget counts.

        Raises:
            UsageError: intervals of other parts than the claim has, of a wording that it does not judge, or a budget
                that cannot be compared.
        """
        parts, ran = dict(parts or {}), dict(ran or {})
        if set(parts) != {part.id for part in self.parts}:
            msg = f"{self.id} has the parts {[part.id for part in self.parts]}; got intervals of {list(parts)}."
            raise UsageError(msg)
        if (lecture is None) != (self.lecture_rule is None):
            has = "has no lecture_rule" if self.lecture_rule is None else "has a lecture_rule"
            got = "none" if lecture is None else "one"
            msg = f"{self.id} {has} for the lecture's own wording, whose interval goes with it, and got {got}."
            raise UsageError(msg)
        if not set(self.budget) <= set(ran):
            msg = f"{self.id} is about a budget of {dict(self.budget)}; say what ran, such as ran={dict(self.budget)}."
            raise UsageError(msg)
        judged = tuple(Judgment(part, parts[part.id]) for part in self.parts)
        words = None
        if lecture is not None and self.lecture_rule is not None:
            words = Judgment(Part("lecture", self.lecture, self.lecture_rule, self.unit, decides=False), lecture)
        return Verdict(self, interval, dict(numbers or {}), judged, words, {name: ran[name] for name in self.budget})


@dataclass(frozen=True)
class Judgment:
    """A part of a claim, or the lecture's own wording, with the interval an experiment put on it.

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


@dataclass(frozen=True)
class Verdict:
    """A claim, and the interval an experiment put on it; made by `Claim.judge`.

    >>> from thalweg.claims import Claim, greater
    >>> from thalweg.statistics import Interval
    >>> claim = Claim("X1", "It is more.", "It is more.", greater(0), "nats", budget={"steps": 1_000})
    >>> verdict = claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up"), ran={"steps": 100})
    >>> verdict.outcome, verdict.shortfall
    ('undecided', '100 of 1,000 steps')

    Args:
        claim: what was tested.
        interval: of the quantity the claim's rule judges.
        numbers: further quantities, by name: numbers, strings, or lists or mappings of them.
        parts: each part of the claim with its own interval and outcome.
        lecture: the lecture's own wording with its interval and outcome; it decides nothing.
        ran: what the experiment ran, by what the claim's budget counts.
    """

    claim: Claim
    interval: Interval
    numbers: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Judgment, ...] = ()
    lecture: Judgment | None = None
    ran: Mapping[str, float] = field(default_factory=dict)

    @property
    def statement(self) -> Judgment:
        """The claim's own statement with its interval and outcome, apart from its parts and its budget."""
        claim = self.claim
        return Judgment(Part(claim.id, claim.statement, claim.rule, claim.unit), self.interval)

    @property
    def outcome(self) -> Outcome:
        """holds, fails or undecided: the weakest of the statement and of all parts that decide.

        Undecided below the claim's budget, and where a number is none.
        """
        if self.shortfall:
            return "undecided"
        return weakest(judgment.outcome for judgment in (self.statement, *self.parts) if judgment.part.decides)

    @property
    def shortfall(self) -> str:
        """What it lacked of the claim's budget, such as "100 of 1,000 steps"; "" where nothing."""
        short = [
            f"{self.ran[name]:,g} of {least:,g} {name}"
            for name, least in self.claim.budget.items()
            if self.ran[name] < least
        ]
        return ", ".join(short)
