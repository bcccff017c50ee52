"""What a list of verdicts says about itself: how many would be wrong by chance, and which calls are close."""

from collections.abc import Iterable
from dataclasses import dataclass

from thalweg.claims.claim import Verdict
from thalweg.claims.rule import Within
from thalweg.statistics import LEVEL


@dataclass(frozen=True)
class Chance:
    """How many of the claims that were tested are called wrongly by chance at most; made by `chance`.

    >>> from thalweg.claims import Chance
    >>> print(Chance(tested=18, wrong=0.45, any_wrong=0.366))
    Of 18 claims at 95 %, at most 0.45 are called wrongly by chance on average; at least one in at most 37 % of cases.

    Args:
        tested: those that had an interval and ran their budget.
        wrong: how many of these are called wrongly on average, at most.
        any_wrong: the probability that one or more are, at most, if they are independent.
    """

    tested: int
    wrong: float
    any_wrong: float

    def __str__(self) -> str:
        return (
            f"Of {self.tested} claims at {100 * LEVEL:g} %, at most {self.wrong:.2g} are called wrongly by chance on "
            f"average; at least one in at most {100 * self.any_wrong:.0f} % of cases."
        )


def chance(verdicts: Iterable[Verdict]) -> Chance:
    """How many of these verdicts would be wrong by chance at most, were every truth where it is hardest to tell.

    An interval of 95 % misses the truth to either side in 2.5 % of the cases, and a call is wrong only if it misses to
    the side of the threshold; of a band (`within`), to either side. A claim of several parts fails wrongly if one of
    them does, so their chances add up; that it holds wrongly stays at 2.5 %. What ran less than its budget, or has no
    interval, is undecided and cannot be wrong. The number wrong on average is the sum of these chances, independent or
    not.

    >>> from thalweg.claims import Claim, chance, greater, within
    >>> from thalweg.statistics import Interval
    >>> rules = [greater(0)] * 9 + [within(0, 2)]
    >>> claims = [Claim(f"X{number}", "", "", rule, "nats") for number, rule in enumerate(rules)]
    >>> found = chance([claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up")) for claim in claims])
    >>> found.tested, round(found.wrong, 3), round(found.any_wrong, 3)
    (10, 0.275, 0.244)
    """
    rates = [rate for rate in map(_worst, verdicts) if rate]
    right = 1.0
    for rate in rates:
        right *= 1 - rate
    return Chance(len(rates), sum(rates), 1 - right)


def close_calls(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Those that another machine or other seeds could well call otherwise, see `Verdict.close`; the closest first.

    >>> from thalweg.claims import Claim, close_calls, greater
    >>> from thalweg.statistics import Interval
    >>> claims = [Claim(name, "", "", greater(0), "nats") for name in ("X1", "X2", "X3")]
    >>> ends = [0.9, 0.2, 0.1]
    >>> verdicts = [claim.judge(Interval(1.0, low, 2 - low, 5, "")) for claim, low in zip(claims, ends)]
    >>> [verdict.claim.id for verdict in close_calls(verdicts)]
    ['X3', 'X2']
    """
    return tuple(sorted((one for one in verdicts if one.close), key=lambda one: one.closeness))


def _worst(verdict: Verdict) -> float:
    """The probability, at most, that the claim is called wrongly."""
    if verdict.shortfall:
        return 0.0
    tail = (1 - LEVEL) / 2
    known = [one.part.rule for one in verdict.deciding if one.interval.known]
    return min(1.0, sum(2 * tail if isinstance(rule, Within) else tail for rule in known))
