"""What is said of statements that full scale leaves undecided: about how many seeds would decide them."""

from collections.abc import Mapping

from thalweg.claims import Claim, EveryPart, Part
from thalweg.statistics import Interval, units_to_clear
from thalweg.studies.lab import Lab


def seeds_to_decide(lab: Lab, claim: Claim, intervals: Mapping[str, Interval]) -> list[str]:
    """A sentence for every deciding statement that is undecided at full scale.

    Args:
        lab: whose scale it is.
        claim: whose rule and parts judge.
        intervals: by the id of the part, or of the claim.
    """
    own = () if isinstance(claim.rule, EveryPart) else (Part(claim.id, claim.statement, claim.rule, claim.unit),)
    sentences = []
    for part in (*own, *claim.parts):
        found = intervals.get(part.id)
        if lab.scale != "full" or not part.decides or found is None or not found.known:
            continue
        if part.rule.judge(found.low, found.high) == "undecided":
            needed = [units_to_clear(found, cut) for cut in part.rule.cuts if found.low <= cut <= found.high]
            known = [count for count in needed if count is not None]
            words = f"about {max(known)} would, were the estimate to stay" if known else "more would not"
            sentences.append(f"{found.n} seeds do not decide {part.id}, {found}; {words}.")
    return sentences
