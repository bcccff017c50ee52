"""What a list of verdicts says about itself: how many would be wrong by chance, and which calls are close."""

from collections.abc import Iterable
from dataclasses import dataclass

from thalweg.arguments import in_words
from thalweg.claims.claim import Verdict
from thalweg.statistics import COVERED, LEVEL

_MISSED = 1 - COVERED  # by one interval, and all on the side of the threshold


@dataclass(frozen=True)
class Chance:
    """How many of the claims that were tested would be called wrongly by chance at most; made by `chance`.

    >>> import textwrap
    >>> from thalweg.claims import Chance
    >>> print(textwrap.fill(str(Chance(tested=18, wrong=1.26, any_wrong=0.729)), 100))
    Were every truth exactly at its threshold, at most 1.3 of 18 claims would be called wrongly by
    chance on average, and at least one in at most 73 % of cases; the farther away the truths are, the
    fewer. That counts 7 % an interval, which those of 95 % over few values miss at most; they miss more
    of values with heavy tails, or of two kinds.

    Args:
        tested: those that had an interval and ran their budget.
        wrong: how many of these are called wrongly on average, at most.
        any_wrong: the probability that one or more are, at most, if they are independent.
    """

    tested: int
    wrong: float
    any_wrong: float

    def __str__(self) -> str:
        claims = f"{self.tested} claim{'s' * (self.tested != 1)}"
        return (
            f"Were every truth exactly at its threshold, at most {self.wrong:.2g} of {claims} would be called wrongly "
            f"by chance on average, and at least one in at most {100 * self.any_wrong:.0f} % of cases; the farther "
            f"away the truths are, the fewer. That counts {100 * _MISSED:.0f} % an interval, which those of "
            f"{100 * LEVEL:g} % over few values miss at most; they miss more of values with heavy tails, or of two "
            "kinds."
        )


@in_words
def chance(verdicts: Iterable[Verdict]) -> Chance:
    """How many of these verdicts would be wrong by chance at most, were every truth exactly at its threshold.

    A call is wrong only if the interval misses the truth to the side of the threshold. For skewed values nearly all
    misses are on one side, so each interval is given all of them: 7 %, as intervals of 95 % over few values cover at
    least 93 % of what docs/coverage.md calls good. Not good there, and missed more often, are values with heavy tails
    and no bounds, and values of two kinds of which a sample may show one alone. A claim of several parts fails wrongly
    if one of them does, so their chances add up. What ran less than its budget, or has no interval, is undecided and
    cannot be wrong. The number wrong on average is the sum of these chances, independent or not.

    >>> from thalweg.claims import Claim, chance, greater, within
    >>> from thalweg.statistics import Interval
    >>> rules = [greater(0)] * 9 + [within(0, 2)]
    >>> claims = [Claim(f"X{number}", "", "", rule, "nats") for number, rule in enumerate(rules)]
    >>> found = chance([claim.judge(Interval(1.0, 0.5, 1.5, 5, "made up")) for claim in claims])
    >>> found.tested, round(found.wrong, 3), round(found.any_wrong, 3)
    (10, 0.7, 0.516)
    """
    rates = [rate for rate in map(_worst, verdicts) if rate]
    right = 1.0
    for rate in rates:
        right *= 1 - rate
    return Chance(len(rates), sum(rates), 1 - right)


@in_words
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
    return min(1.0, _MISSED * sum(one.interval.known for one in verdict.deciding))
