"""What the study trains: perceptrons on tables of addition, every seed with a training set of its own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thalweg import data, nets, optim
from thalweg.generalization import grokking
from thalweg.population import Population, Problem
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.training import Recipe, Run

Array = NDArray[np.float64]
WIDTH, EARLY, EVERY, KEPT = 256, 100, 10, 40
PLANNED = 4  # networks a setting that the design has, too few to decide of a share; see `why_as_many`


@dataclass(frozen=True)
class Setting:
    """A table of addition modulo p, the fraction of it that is trained on, and how."""

    p: int
    fraction: float
    lr: float
    decay: float
    steps: int

    @property
    def text(self) -> str:
        """In words."""
        return f"p = {self.p}, {self.fraction:.0%} of the pairs, lr {self.lr:g}, decay {self.decay:g}"


# The design's: beta2 is 0.98, since with 0.999 the last rise of the accuracy takes several times as long.
SMALL = Setting(31, 0.6, 1e-2, 0.8, 1_200)
MAIN = Setting(37, 0.6, 1e-2, 0.4, 1_600)
LARGE = Setting(59, 0.5, 5e-3, 0.3, 3_200)


@dataclass(frozen=True, eq=False)
class Trained:
    """A run of one setting, every member of which has the split of its seed; and each one's own problem."""

    setting: Setting
    problems: tuple[Problem, ...]
    run: Run

    @cached_property
    def times(self) -> grokking.Times:
        """When each memorized, and when it generalized."""
        return grokking.times(self.run)

    @cached_property
    def memorized(self) -> list[int]:
        """T_mem of every seed, or the last step where it has not come there."""
        return [int(min(step, self.setting.steps)) for step in self.times["memorized"]]

    def path(self, seed: int, steps: Iterable[int]) -> Population:
        """One seed's network at snapshots, as members."""
        snapshots = self.run.snapshots
        return Population.concatenate([snapshots[step][seed] for step in steps])

    def accuracies(self, steps: ArrayLike) -> Array:
        """On held-out pairs at evaluated steps: (steps, seeds)."""
        rows = np.searchsorted(self.times.reading.coordinate("step"), np.asarray(steps))
        return self.times["test"][rows]


def problem_of(lab: Lab, setting: Setting, seed: int, operation: str = "+", *, double: bool = False) -> Problem:
    """The table, split by the seed."""
    table = data.modular(setting.p, operation, train_fraction=setting.fraction, seed=seed, encoding="tokens")
    return problem_on(lab, setting, table, double=double)


def problem_on(lab: Lab, setting: Setting, table: data.Data, *, double: bool = False) -> Problem:
    """The perceptron on a table."""
    dtype = torch.float64 if double else torch.float32
    return Problem(partial(nets.modular_mlp, setting.p, WIDTH), table, device=lab.device, dtype=dtype)


def rule_of(lr: float, decay: float) -> optim.AdamW:
    """That of the study at a rate and a decay."""
    return optim.AdamW(lr, 0.9, 0.98, weight_decay=decay)


def evaluations(steps: int, first: int = 0) -> tuple[int, ...]:
    """Every step up to 100 and every tenth from there, from the first on."""
    return (*range(first, min(EARLY, steps)), *range(max(EARLY, -(-first // EVERY) * EVERY), steps + 1, EVERY))


def snapshots(steps: int) -> tuple[int, ...]:
    """Every step up to 100, among which is that of memorization, and every fortieth."""
    return (*range(EARLY), *range(EARLY, steps + 1, KEPT // 2), *(() if steps % (KEPT // 2) == 0 else (steps,)))


def trained(lab: Lab, setting: Setting, seeds: Sequence[int], operation: str = "+") -> Trained:
    """Each seed's network on its own split of the table, all as one population."""
    steps = setting.steps
    recipe = Recipe(rule_of(setting.lr, setting.decay), steps, evaluate=evaluations(steps), snapshot=snapshots(steps))
    problems = tuple(problem_of(lab, setting, seed, operation) for seed in seeds)
    title = "random answers" if operation == "random" else f"decay {setting.decay:g}"
    (train, mine), (test, held) = (data.pooled([getattr(one.data, of) for one in problems]) for of in ("train", "test"))
    whole = problem_on(lab, setting, data.Data(train, test, classes=setting.p))
    label = f"p = {setting.p}, {title}"
    return Trained(setting, problems, lab.train(whole, recipe, seeds, label, examples=mine, test_examples=held))


@dataclass(frozen=True, eq=False)
class Shared:
    """All that GRK1, GRK2 and GRK4 look at.

    Args:
        tables: the settings that are scored, the main one first.
        random: random answers in the place of sums, otherwise the main setting.
        without: no decay, otherwise the main setting.
    """

    tables: tuple[Trained, ...]
    random: Trained
    without: Trained

    @property
    def main(self) -> Trained:
        """Of the main setting."""
        return self.tables[0]


def weakest(intervals: Sequence[Interval], *, above: bool = True) -> Interval:
    """Of intervals of several settings, all of which are to be above a threshold (or below), the one nearest to it."""
    if any(not one.known for one in intervals):
        return next(one for one in intervals if not one.known)
    return min(intervals, key=lambda one: one.low) if above else max(intervals, key=lambda one: one.high)


def by_setting(runs: Shared, values: Sequence[Array]) -> dict[str, list[float]]:
    """Numbers over seeds of every setting, by its text, for the record."""
    return {run.setting.text: one.tolist() for run, one in zip(runs.tables, values, strict=True)}


def mean_known(values: Array) -> float:
    """The mean of what is finite; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def share_in_each(settings: Sequence[NDArray[np.bool_]]) -> Interval:
    """The share of a setting's networks of which something is true, by Clopper and Pearson, where it is least certain.

    Networks of one setting are alike and those of another are not, so they are not counted together.
    """
    return weakest([interval.fraction(values.astype(np.float64)) for values in settings])


def why_as_many(runs: Shared) -> str:
    """Why no setting has as few networks as were planned: said in every finding that judges such a share."""
    fewest = min(len(run.problems) for run in runs.tables)
    few, enough = (interval.fraction(np.ones(count)).low for count in (PLANNED, fewest))
    return (
        f"{PLANNED} networks a setting were planned, and at least {fewest} are trained: what is true of {PLANNED} of "
        f"{PLANNED} is, by its exact 95 % interval, true of {few:.0%} or more of such networks, and that is no answer "
        f"to whether it is true of most, more than 50 %; {fewest} of {fewest} are {enough:.0%} or more."
    )
