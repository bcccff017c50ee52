"""What stands beside a claim's own statement: its parts, the lecture's own wording, and what its budget lacked."""

from thalweg.claims import Judgment, Verdict
from thalweg.report.markup import element, text
from thalweg.report.verdicts import badge, bar, spoken


def beside(verdict: Verdict) -> list[str]:
    """A sentence where the budget was not reached, a block for each part, and one for the lecture's own wording."""
    blocks = [_shortfall(verdict)] if verdict.shortfall else []
    blocks += [_block(_name(part), part) for part in verdict.parts]
    if verdict.lecture is not None:
        blocks.append(_block("The lecture's own wording", verdict.lecture))
    return blocks


def _shortfall(verdict: Verdict) -> str:
    own = verdict.statement.outcome
    sentence = f"Undecided: {verdict.shortfall}. The claim is about the whole budget"
    rest = "." if own == "undecided" else f"; by its rule alone, what was run would say that it {own}."
    return element("p", text(sentence + rest), class_="notice")


def _name(judgment: Judgment) -> str:
    beside = "" if judgment.part.decides else ", which decides nothing"
    return f"Part {judgment.part.id}{beside}"


def _block(name: str, judgment: Judgment) -> str:
    part, interval = judgment.part, judgment.interval
    estimate = element("p", element("strong", text(spoken(interval))), " ", text(part.unit))
    rule = f"Rule: {part.rule.text}. Method: {interval.method}; n = {interval.n}."
    return element(
        "section",
        element("h4", text(f"{name}: {part.statement}")),
        element("div", badge(judgment.outcome), bar(judgment), estimate, class_="result"),
        element("p", text(rule), class_="command"),
        class_="part",
    )
