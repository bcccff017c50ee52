"""Schedules: closed-form functions of the step that multiply the learning rate, and their algebra.

A schedule maps a step t = 1, 2, ..., T to a multiplier, usually in [0, 1]. It has no state, so a run
resumes exactly at any step. Fields may be numbers or one value per member. Each says what it gives beyond T.
`Scheduled` gives any other hyper-parameter a schedule of its own.
"""

from thalweg.schedules.cosine import Cosine
from thalweg.schedules.inverse_square_root import InverseSquareRoot, Noam
from thalweg.schedules.one_cycle import OneCycle, OneCycleMomentum
from thalweg.schedules.restarts import Restarts
from thalweg.schedules.schedule import Schedule
from thalweg.schedules.scheduled import Scheduled
from thalweg.schedules.shapes import Exponential, Linear, Polynomial, Step
from thalweg.schedules.warmup import Constant, Warmup
from thalweg.schedules.warmup_stable_decay import WSD

__all__ = [
    "WSD",
    "Constant",
    "Cosine",
    "Exponential",
    "InverseSquareRoot",
    "Linear",
    "Noam",
    "OneCycle",
    "OneCycleMomentum",
    "Polynomial",
    "Restarts",
    "Schedule",
    "Scheduled",
    "Step",
    "Warmup",
]
