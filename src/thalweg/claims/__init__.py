"""Claims: falsifiable statements, the rules that decide them, verdicts, findings, and the results of studies."""

from thalweg.claims.chance import Chance, chance, close_calls
from thalweg.claims.claim import Claim, Verdict
from thalweg.claims.finding import Finding
from thalweg.claims.judgment import Judgment, Part, weakest
from thalweg.claims.result import StudyResult
from thalweg.claims.rule import SYMBOLS, EveryPart, Failure, Outcome, Rule, every_part, greater, less, within
from thalweg.claims.to_decide import ToDecide, to_decide

__all__ = [
    "SYMBOLS",
    "Chance",
    "Claim",
    "EveryPart",
    "Failure",
    "Finding",
    "Judgment",
    "Outcome",
    "Part",
    "Rule",
    "StudyResult",
    "ToDecide",
    "Verdict",
    "chance",
    "close_calls",
    "every_part",
    "greater",
    "less",
    "to_decide",
    "weakest",
    "within",
]
