"""Claims: falsifiable statements, the rules that decide them, verdicts, findings, and the results of studies."""

from thalweg.claims.claim import Claim, Verdict, greater, less, within
from thalweg.claims.finding import Finding
from thalweg.claims.result import StudyResult

__all__ = ["Claim", "Finding", "StudyResult", "Verdict", "greater", "less", "within"]
