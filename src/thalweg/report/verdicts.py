"""Verdicts to look at: a badge, an interval drawn against the rule's landmarks, the table of all of them."""

import math
from collections.abc import Sequence

from thalweg.claims import SYMBOLS, Claim, Finding, Judgment, Outcome, Rule, StudyResult, Verdict
from thalweg.claims.rule import Greater, Within
from thalweg.markup import element, number, text
from thalweg.statistics import Interval

_WIDTH, _HEIGHT, _MARGIN = 260.0, 44.0, 14.0
_LETTER, _APART = 6.5, 4  # how wide a digit below the bar is, and how far labels are from each other's ticks


def called(judged: Judgment | Verdict) -> str:
    """Its badge, and beside it the reason where there is one to say, such as "too small to matter"."""
    reason = element("span", text(judged.reason), class_="reason") if judged.reason else ""
    return badge(judged.outcome) + (f" {reason}" if reason else "")


def badge(outcome: Outcome) -> str:
    """An outcome as a word, a sign and a color."""
    sign = element("span", SYMBOLS[outcome], aria_hidden="true")
    return element("span", sign, " ", text(outcome), class_=f"badge {outcome}")


def spoken(interval: Interval) -> str:
    """The interval in words."""
    if interval.n == 0 and math.isnan(interval.estimate):
        return "none"
    interval = interval.without_rounding
    ends = f"[{number(interval.low)}, {number(interval.high)}]" if interval.known else "(no interval)"
    return f"{number(interval.estimate)} {ends}"


def bar(judgment: Judgment) -> str:
    """The interval as a bar above a line, with a tick at each value where the outcome would change.

    The side on which the claim holds is thick, and broken where the effect is too small to be worth having. An end
    at infinity is an arrow. "" when there is nothing to draw.
    """
    interval, rule = judgment.interval, judgment.part.rule
    if math.isnan(interval.estimate) or not interval.known:
        return ""
    finite = [end for end in (interval.low, interval.estimate, interval.high, *rule.landmarks) if math.isfinite(end)]
    low, high = min(finite), max(finite)
    span = (high - low) or max(abs(high), 1.0)
    low, high = low - 0.12 * span, high + 0.12 * span

    def at(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(_MARGIN + share * (_WIDTH - 2 * _MARGIN), 1)

    holding, small = _holding(rule, low, high)
    stretches = {"axis": (low, high), "holding": holding, "small": small}
    parts = [_line(at(start), at(stop), kind) for kind, (start, stop) in stretches.items()]
    marks = sorted((at(landmark), number(landmark)) for landmark in rule.landmarks)
    for (x, label), (anchor, shift) in zip(marks, _anchors(marks), strict=True):
        parts.append(f'<line class="landmark" x1="{x}" x2="{x}" y1="6" y2="30"/>')
        parts.append(f'<text x="{x}" dx="{shift}" y="41" text-anchor="{anchor}">{text(label)}</text>')
    left, right = at(interval.low), at(interval.high)
    parts.append(f'<line class="interval" x1="{left}" x2="{right}" y1="14" y2="14"/>')
    parts += [_end(left, -1, math.isfinite(interval.low)), _end(right, 1, math.isfinite(interval.high))]
    parts.append(f'<circle class="estimate" cx="{at(interval.estimate)}" cy="14" r="4"/>')
    words = f"Estimate and 95 % interval {spoken(interval)}; the claim {rule.text}."
    return (
        f'<svg class="bar {judgment.outcome}" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{text(words)}">{"".join(parts)}</svg>'
    )


def estimate(judgment: Judgment) -> str:
    """The estimate with its interval and unit, as a paragraph."""
    return element("p", element("strong", text(spoken(judgment.interval))), " ", text(judgment.part.unit))


def judgments(verdict: Verdict) -> str:
    """The statement, each of its parts and the lecture's own wording, with an outcome for each.

    "" where the statement is all there is.
    """
    parts = [(text(f"Part {one.part.id}"), one) for one in verdict.parts]
    statement = [("The statement itself", verdict.own)] if parts and verdict.own not in verdict.parts else []
    lecture = [] if verdict.lecture is None else [("The lecture's own wording", verdict.lecture)]
    items = [_judged(name, judgment) for name, judgment in [*statement, *parts, *lecture]]
    what = "the statement and every part that decides do" if statement else "every part that decides does"
    weakest = element("p", f"The claim holds only if {what}.") if parts else ""
    return weakest + element("ul", *items, class_="judgments") if items else ""


def _judged(name: str, judgment: Judgment) -> str:
    part = judgment.part
    counts = "" if part.decides else " It is shown beside and decides nothing."
    return element(
        "li",
        element("p", element("strong", name), ": ", text(part.statement)),
        element("div", element("span", called(judgment)), bar(judgment), estimate(judgment), class_="result"),
        element("p", text(f"Rule: {part.rule.text}; n = {judgment.interval.n}.{counts}"), class_="rule"),
    )


def table(results: Sequence[StudyResult]) -> str:
    """One row a claim, of all studies; with scale and seed where they differ."""
    several = len({(result.scale, result.seed) for result in results}) > 1
    names = ("Claim", "Statement", "Verdict", "Estimate [95 % interval]", "Unit", "n", *(["Scale, seed"] * several))
    head = element("tr", *(element("th", name, scope="col") for name in names))
    rows = [_row(result, finding, several=several) for result in results for finding in result.findings]
    caption = element("caption", "Every claim, and what its experiment says")
    return element("table", caption, element("thead", head), element("tbody", *rows), class_="verdicts")


def anchor(result: StudyResult, claim: Claim) -> str:
    """The id of a claim on the page: another for each scale and seed it was tested at."""
    return f"{claim.id}-{result.scale}-{result.seed}"


def _row(result: StudyResult, finding: Finding, *, several: bool) -> str:
    verdict = finding.verdict
    claim, of_part = verdict.claim, verdict.own in verdict.parts
    link = element("a", text(claim.id), href=f"#{anchor(result, claim)}")
    return element(
        "tr",
        element("th", link, scope="row"),
        element("td", text(claim.statement)),
        element("td", called(verdict)),
        element("td", text(spoken(verdict.interval)), class_="numeric"),
        element("td", text(verdict.own.part.unit), text(f" (part {verdict.own.part.id})") if of_part else ""),
        element("td", text(verdict.interval.n), class_="numeric size"),
        element("td", text(f"{result.scale}, {result.seed}")) if several else "",
    )


def _holding(rule: Rule, low: float, high: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Between which values the claim holds, and between which of them the effect is too small."""
    if isinstance(rule, Within):
        return (rule.low, rule.high), (rule.low, rule.low)
    holding = (rule.worth, high) if isinstance(rule, Greater) else (low, rule.worth)
    return holding, (rule.threshold, rule.worth)


def _line(start: float, stop: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{start}" x2="{stop}" y1="24" y2="24"/>'


def _end(x: float, side: int, bounded: bool) -> str:
    if bounded:
        return f'<line class="interval" x1="{x}" x2="{x}" y1="9" y2="19"/>'
    return f'<path class="interval" d="M{x - 5 * side} 9 L{x} 14 L{x - 5 * side} 19"/>'


def _anchors(marks: list[tuple[float, str]]) -> list[tuple[str, int]]:
    """How labels stand to their ticks, and how far aside: apart from each other, and within the picture."""
    if len(marks) == 2:
        (left, before), (right, after) = marks
        if right - left < _LETTER * (len(before) + len(after)) / 2 + 2 * _APART:
            return [("end", -_APART), ("start", _APART)]
    edge = [(x, x < 40, x > _WIDTH - 40) for x, _ in marks]
    return [("start" if near else "end" if far else "middle", 0) for _, near, far in edge]
