"""The digits of every seed that bounds with trainings are taken on, and what each family is given with them."""

from dataclasses import dataclass
from functools import partial
from typing import TypedDict

from jaxtyping import Int64
from torch import Tensor

from thalweg import data, nets, optim, schedules
from thalweg.data import Data, Examples, pooled
from thalweg.generalization.dealt import drawn_anew
from thalweg.population import Problem
from thalweg.progress import Watcher
from thalweg.schedules import Schedule
from thalweg.studies.lab import Lab
from thalweg.training import Recipe

TRAINED, DELTA = 1_437, 0.05


@dataclass(frozen=True, eq=False)
class Digits:
    """1,437 digits of each seed to train on, and the 360 others.

    Args:
        data: the training sets of all seeds, one after the other, and all digits.
        examples, test_examples: which of them are whose: (seeds, n).
        seeds: as many.
    """

    data: Data
    examples: Int64[Tensor, "seeds n"]
    test_examples: Int64[Tensor, "seeds test"]
    seeds: list[int]

    def problem(self, lab: Lab, *widths: int) -> Problem:
        """A perceptron on them."""
        return Problem(partial(nets.mlp, *widths), self.data, device=lab.device)


class Common(TypedDict):
    """What every family is given."""

    seeds: list[int]
    examples: Int64[Tensor, "seeds n"]
    test_examples: Int64[Tensor, "seeds test"]
    delta: float
    progress: Watcher | None


def digits(seeds: list[int], share: float = 0.0) -> Digits:
    """Drawn anew for each seed, with so large a share of random training labels; test labels are true."""
    clean, whole, tested = drawn_anew(data.digits(), TRAINED, seeds, stream="not vacuous")
    sets = [
        Data(one, name="digits", classes=10).with_random_labels(share, seed).train if share else one
        for one, seed in zip(clean, seeds, strict=True)
    ]
    pool, table = pooled([one for one in sets if isinstance(one, Examples)])
    return Digits(Data(pool, whole, "digits", 10), table, tested, seeds)


def given(lab: Lab, of: Digits, label: str) -> Common:
    """To each family."""
    return {
        "seeds": of.seeds,
        "examples": of.examples,
        "test_examples": of.test_examples,
        "delta": DELTA,
        "progress": lab.labelled(label),
    }


def adam(rate: float, steps: int, schedule: Schedule | None = None) -> Recipe:
    """In batches of 100; at a constant rate, unless there is a schedule."""
    return Recipe(optim.Adam(rate), steps, 100, schedule or schedules.Constant(), evaluate=1)
