"""Claims: falsifiable statements, the rules that decide them, verdicts, findings, and the results of studies."""

from thalweg.claims.claim import Claim, Judgment, Part, Verdict
from thalweg.claims.finding import Finding
from thalweg.claims.result import StudyResult
from thalweg.claims.rule import SYMBOLS, Outcome, Rule, greater, less, weakest, within

__all__ = [
    "SYMBOLS",
    "Claim",
    "Finding",
    "Judgment",
    "Outcome",
    "Part",
    "Rule",
    "StudyResult",
    "Verdict",
    "greater",
    "less",
    "weakest",
    "within",
]
