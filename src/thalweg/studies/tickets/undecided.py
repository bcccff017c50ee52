"""What is said of statements that full scale leaves undecided: about how many seeds would decide them."""

import math
from collections.abc import Mapping

from thalweg.claims import Claim, EveryPart, Part
from thalweg.statistics import Interval, units_to_clear
from thalweg.studies.lab import Lab


def seeds_to_decide(lab: Lab, claim: Claim, intervals: Mapping[str, Interval]) -> list[str]:
    """A sentence for every deciding statement that is undecided at full scale; none at quick scale, which need not.

    Args:
        lab: whose scale it is.
        claim: whose rule and parts judge.
        intervals: by the id of the part, or of the claim.
    """
    return to_decide(claim, intervals) if lab.scale == "full" else []


def to_decide(claim: Claim, intervals: Mapping[str, Interval], unit: str = "seeds") -> list[str]:
    """A sentence for every deciding statement that is undecided.

    Args:
        claim, intervals: see `seeds_to_decide`.
        unit: what the intervals count.
    """
    own = () if isinstance(claim.rule, EveryPart) else (Part(claim.id, claim.statement, claim.rule, claim.unit),)
    sentences = []
    for part in (*own, *claim.parts):
        found = intervals.get(part.id)
        if not part.decides or found is None or not found.known:
            continue
        if part.rule.judge(found.low, found.high) == "undecided":
            sentences.append(f"{found.n} {unit} do not decide {part.id}, {found}; {more_of(part, found)}.")
    return sentences


def more_of(part: Part, found: Interval) -> str:
    """How many would decide, in words."""
    needed = [units_to_clear(found, cut) for cut in part.rule.cuts if found.low <= cut <= found.high]
    known = [count for count in needed if count is not None]
    if len(known) == len(needed):
        return f"about {max(known):,} would, were the estimate to stay"
    if math.isinf(found.low) or math.isinf(found.high):
        return "how many would cannot be extrapolated from an interval without bounds"
    return "no number would, were the estimate to stay at the threshold"
