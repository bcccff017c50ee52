"""Losses and metrics of populations, on samples of examples, under one policy of running statistics."""

from thalweg.evaluation.barrier import Barrier, barrier, barrier_height
from thalweg.evaluation.conditions import Conditions
from thalweg.evaluation.evaluate import Evaluator, by_example, evaluate
from thalweg.evaluation.outputs import outputs
from thalweg.evaluation.points import PointEstimates, Points, weighted_sums
from thalweg.evaluation.running_statistics import RunningStatistics, recomputed
from thalweg.evaluation.sample import Drawn, Sample, as_sample

__all__ = [
    "Barrier",
    "Conditions",
    "Drawn",
    "Evaluator",
    "PointEstimates",
    "Points",
    "RunningStatistics",
    "Sample",
    "as_sample",
    "barrier",
    "barrier_height",
    "by_example",
    "evaluate",
    "outputs",
    "recomputed",
    "weighted_sums",
]
