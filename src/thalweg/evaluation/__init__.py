"""Losses and metrics of populations, on samples of examples, under one policy of running statistics."""

from thalweg.evaluation.evaluate import Evaluator, evaluate
from thalweg.evaluation.sample import Sample

__all__ = ["Evaluator", "Sample", "evaluate"]
