"""Schedules: closed-form functions of the step that multiply the learning rate, and their algebra.

A schedule maps a step t = 1, 2, ..., T to a multiplier, usually in [0, 1]. It has no state, so a run
resumes exactly at any step. Fields may be numbers or one value a member.
"""

from thalweg.schedules.cosine import Cosine
from thalweg.schedules.inverse_square_root import InverseSquareRoot
from thalweg.schedules.schedule import Schedule
from thalweg.schedules.warmup import Constant, Warmup

__all__ = ["Constant", "Cosine", "InverseSquareRoot", "Schedule", "Warmup"]
