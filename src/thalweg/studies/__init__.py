"""Studies: claims of the lecture, and the experiments that decide them."""

from thalweg.studies import interval
from thalweg.studies.catalog import find
from thalweg.studies.catalog import studies as list
from thalweg.studies.claim import Claim, Verdict, greater, less, within
from thalweg.studies.interval import Interval
from thalweg.studies.result import StudyResult
from thalweg.studies.running import growing, run
from thalweg.studies.study import Context, Experiment, Finding, Study

__all__ = [
    "Claim",
    "Context",
    "Experiment",
    "Finding",
    "Interval",
    "Study",
    "StudyResult",
    "Verdict",
    "find",
    "greater",
    "growing",
    "interval",
    "less",
    "list",
    "run",
    "within",
]
