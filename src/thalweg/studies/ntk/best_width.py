"""What NTK10 trains: nets over widths, at one rate beside their kernel, and with Adam in torch's parameterization."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg import nets, optim, sweep
from thalweg.data import Data, Examples
from thalweg.population import Problem
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.centered import Learned, Task
from thalweg.training import Recipe

Array = NDArray[np.float64]
LEVEL, ADAM_STEPS = 0.05, 200


@dataclass(frozen=True)
class Widths:
    """What came of one recipe at every width.

    Args:
        widths: of the hidden layer.
        accuracy: on the test examples: (widths, seeds).
        steps: to the level, infinite where it was not reached: (widths, seeds).
    """

    widths: tuple[int, ...]
    accuracy: Array
    steps: Array

    @classmethod
    def of(cls, runs: Mapping[int, Learned]) -> "Widths":
        """Of what was trained at every width."""
        accuracy, steps = zip(*((one.accuracy, one.steps_to(LEVEL)) for one in runs.values()), strict=True)
        return cls(tuple(runs), np.array(accuracy), np.array(steps))

    def at(self, width: int) -> int:
        """Its row."""
        return self.widths.index(width)

    def better(self, width: int, other: int) -> Array:
        """By how many points one width is better than another: (seeds,)."""
        return 100 * (self.accuracy[self.at(width)] - self.accuracy[self.at(other)])


def with_adam(lab: Lab, task: Task, hidden: int, rate: float | sweep.Sweep) -> Learned:
    """Cross-entropy of nets in torch's parameterization, on the examples of every seed."""
    both = Examples(task.inputs, task.targets.argmax(1))
    problem = Problem(lambda: nets.mlp(64, hidden, 10), Data(both, both, name="digits", classes=10), device=lab.device)
    recipe = Recipe(optim.Adam(rate), ADAM_STEPS, task.train.shape[1], evaluate=0)
    label = f"Adam, width {hidden:,}"
    run = lab.train(problem, recipe, task.seeds, label, examples=task.train, test_examples=task.test)
    return Learned(run, run.history.final("test_accuracy"))
