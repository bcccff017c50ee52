"""Losses and metrics: functions of outputs and targets, with weights where examples or tokens count differently."""

from thalweg.losses.accuracy import Accuracy
from thalweg.losses.cross_entropy import CrossEntropy
from thalweg.losses.logistic import Logistic
from thalweg.losses.squared_error import SquaredError
from thalweg.losses.stablemax import StableMax

__all__ = ["Accuracy", "CrossEntropy", "Logistic", "SquaredError", "StableMax"]
