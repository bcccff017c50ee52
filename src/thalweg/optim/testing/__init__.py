"""A ladder of checks for any optimizer: what none may do, and the closed forms of what it claims to be."""

from thalweg.optim.testing.claims import LAWS, Claims
from thalweg.optim.testing.ladder import RUNGS, check
from thalweg.optim.testing.report import Report, RequirementError, Rung

__all__ = ["LAWS", "RUNGS", "Claims", "Report", "RequirementError", "Rung", "check"]
