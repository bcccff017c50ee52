"""Running statistics of normalization layers at points that no training has visited."""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from thalweg.evaluation.sample import sampled
from thalweg.population import Batch, Execution, Plan, Population, Problem

POLICIES = ("frozen", "interpolate", "recompute")


class Recomputed:
    """The running statistics of a population's normalization layers, made anew on some training examples, in place.

    Args:
        population: read and written at every `renew`.
        count: how many training examples, the same at every call, drawn by the stream (seed, "statistics"); the layers
            keep their mean and (unbiased) variance, as torch's do with momentum 1.
        plan: see `train`.
    """

    def __init__(self, problem: Problem, population: Population, count: int, plan: Plan | str, seed: int) -> None:
        train = problem.data.train
        chosen = sampled(len(train), min(count, len(train)), seed, "statistics")
        self.batch = Batch.of(train, chosen[None])
        self.execution = Execution(problem, population, self.batch, plan=plan, training=False)
        self.kept: list[Tensor] = []
        for name, layer in self.execution.rows.bound.module.named_modules():
            if isinstance(layer, _NormBase) and layer.track_running_stats:
                layer.train()
                layer.momentum = 1.0
                self.kept += [
                    population.buffers[f"{name}.{leaf}".lstrip(".")] for leaf in ("running_mean", "running_var")
                ]

    @torch.no_grad()
    def renew(self) -> None:
        """One pass over the examples, whose outputs nobody wants."""
        for buffer in self.kept:
            buffer.zero_()  # what was not finite before would stay so: 0 times it is not 0
        for _ in self.execution.outputs(self.batch):
            pass


def tracked(problem: Problem) -> bool:
    """Whether the model has layers that keep running statistics."""
    return any(isinstance(layer, _NormBase) and layer.track_running_stats for layer in problem.template.modules())
