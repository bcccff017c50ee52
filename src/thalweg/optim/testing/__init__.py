"""Tests for any optimizer: what every optimizer must do, and the closed forms of what it says it is."""

from thalweg.optim.testing.check import REQUIREMENTS, check
from thalweg.optim.testing.report import Outcome, Report, RequirementError
from thalweg.optim.testing.specification import LAWS, Specification

__all__ = ["LAWS", "REQUIREMENTS", "Outcome", "Report", "RequirementError", "Specification", "check"]
