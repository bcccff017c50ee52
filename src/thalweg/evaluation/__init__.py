"""Losses and metrics of populations, on samples of examples, under one policy of running statistics."""

from thalweg.evaluation.conditions import Conditions
from thalweg.evaluation.evaluate import Evaluator, by_example, evaluate
from thalweg.evaluation.heights import LineHeights, line_heights
from thalweg.evaluation.lines import Lines, lines
from thalweg.evaluation.outputs import outputs
from thalweg.evaluation.points import PointEstimates, Points, weighted_sums
from thalweg.evaluation.running_statistics import RunningStatistics, recomputed
from thalweg.evaluation.sample import Drawn, Sample, as_sample

__all__ = [
    "Conditions",
    "Drawn",
    "Evaluator",
    "LineHeights",
    "Lines",
    "PointEstimates",
    "Points",
    "RunningStatistics",
    "Sample",
    "as_sample",
    "by_example",
    "evaluate",
    "line_heights",
    "lines",
    "outputs",
    "recomputed",
    "weighted_sums",
]
