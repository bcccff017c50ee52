"""What SIM4 trains: networks on true and on random labels, and from several starts, each read at one training loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import data, nets, optim
from thalweg.data import Data, Examples, pooled
from thalweg.evaluation import evaluate
from thalweg.generalization.bounds import margins
from thalweg.generalization.dealt import drawn_anew
from thalweg.generalization.implicit import scale_of_initialization
from thalweg.generalization.simplicity import input_jacobian
from thalweg.population import Population, Problem
from thalweg.randomness import generator
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.training import Recipe, Run

Array = NDArray[np.float64]
TRUE, RANDOM, AGAIN, RELABELLED = "true labels", "random labels", "other random labels", "classes permuted"
STANDARD, MEMORIZED, FOUR, EIGHT = "standard start", "random labels memorized before", "4 x start", "8 x start"
TASK, PREFERENCE = "true / random labels", "standard / bad start"
TASK_LEVEL, LEVEL = 0.02, 0.01
FULL_ALONE = "trained at full scale alone"
EXAMPLES, LOOKED_AT, PATH = 500, 200, 8


@dataclass(frozen=True)
class Setting:
    """What is trained, by Adam at 3e-3 on true and on random labels, and at 2e-3 from several starts.

    Args:
        name: of the data.
        widths: of the inputs, the hidden layer and the outputs.
        tested: examples to test on.
        true_steps, random_steps, steps: at most, on true and random labels, and from several starts.
    """

    name: str
    widths: tuple[int, ...]
    tested: int
    true_steps: int = 400
    random_steps: int = 2_500
    steps: int = 600

    @property
    def source(self) -> Data:
        """All examples that are drawn from."""
        return data.digits() if self.name == DIGITS.name else data.mnist1d(train=19_000, test=1_000)


def recipe(rate: float, steps: int) -> Recipe:
    """Evaluated and kept at 60 steps at equal ratios."""
    kept = tuple(np.unique(np.geomspace(10, steps, 60).round()).astype(int).tolist())
    return Recipe(optim.Adam(rate), steps, 100, evaluate=kept, snapshot=kept)


DIGITS = Setting("digits", (64, 256, 10), 1_297)
SIGNALS = Setting("MNIST-1D", (40, 256, 10), 2_000, true_steps=800, steps=1_500)


@dataclass(frozen=True, eq=False)
class Arm:
    """Networks where each first came to one training loss: (seeds,), NaN of those that did not.

    Args:
        level: the training loss.
        loss: the training loss of each where it is read, at most the level.
        norm: mean norm of the input Jacobian over 200 test inputs.
        margin: median margin of its training examples.
        error: in points of test examples.
        path: training loss and norm along training, geometric means over seeds: (2, points).
    """

    level: float
    loss: Array
    norm: Array
    margin: Array
    error: Array
    path: Array


def ratio(first: Arm | None, second: Arm | None, *, per_margin: bool = False) -> Interval:
    """Of the norms of two arms at one training loss; unknown if a network did not come there."""
    if first is None or second is None:
        return Interval.missing(FULL_ALONE)
    one, other = (arm.norm / (arm.margin if per_margin else 1) for arm in (first, second))
    late = int(np.isnan(one).sum() + np.isnan(other).sum())
    if late:
        return Interval.missing(f"{late} of {2 * len(one)} networks did not come to a loss of {first.level:g}")
    return interval.ratio(one, other)


@dataclass(frozen=True, eq=False)
class Given:
    """What each seed is trained and tested on.

    Args:
        sets: by labels, a training set for each seed.
        looked_at: 200 of its test examples, for each seed.
        whole: all examples.
        tested: on which of them each seed is tested: (seeds, tested).
    """

    seeds: list[int]
    sets: dict[str, list[Examples]]
    looked_at: list[Examples]
    whole: Examples
    tested: torch.Tensor


def given(setting: Setting, seeds: Sequence[int], labels: Sequence[str]) -> Given:
    """500 examples for every seed, with true labels and with others."""
    sets, whole, tested = drawn_anew(setting.source, EXAMPLES, seeds, stream="smoothness", test=setting.tested)
    found = {name: [labelled(one, name, seed) for one, seed in zip(sets, seeds, strict=True)] for name in labels}
    return Given(list(seeds), found, [whole.select(rows[:LOOKED_AT]) for rows in tested], whole, tested)


def labelled(examples: Examples, name: str, seed: int) -> Examples:
    """The same inputs with other labels."""
    own, draw = torch.as_tensor(examples.targets), generator(seed, name)
    if name == RELABELLED:
        return Examples(examples.inputs, torch.randperm(10, generator=draw)[own])
    return examples if name == TRUE else Examples(examples.inputs, torch.randint(10, own.shape, generator=draw))


def trained(
    lab: Lab, setting: Setting, of: Given, labels: Sequence[str], how: Recipe, start: Mapping[str, Population]
) -> tuple[Problem, Run]:
    """Networks (labels, seeds), or of one kind of labels (starts, seeds)."""
    pool, rows = pooled([one for name in labels for one in of.sets[name]])
    problem = Problem(partial(nets.mlp, *setting.widths), Data(pool, name=setting.name, classes=10), device=lab.device)
    run = lab.train(
        problem,
        how,
        of.seeds * len(labels),
        f"{setting.name}, {', '.join(start or labels)}",
        start=start or None,
        paired=bool(start),
        examples=rows,
    )
    return problem, run


def norms(problem: Problem, population: Population, looked_at: Sequence[Examples]) -> Array:
    """Mean norms of the input Jacobian of members, each on examples of its own: (members,)."""
    each = [input_jacobian(problem, population[[member]], on=one)["norm"][0] for member, one in enumerate(looked_at)]
    return np.array(each)


def read(problem: Problem, run: Run, arms: Sequence[str], of: Given, level: float) -> dict[str, Arm]:
    """Networks (arms, seeds), each where it first comes to the level."""
    count = len(of.seeds)
    looked_at = of.looked_at * len(arms)
    loss, accuracy, norm, margin = (np.full(len(run.final), nan) for _ in range(4))
    if (run.history["train_loss"] <= level).any():
        at = run.at_first("train_loss", level)
        there = np.searchsorted(run.history.steps, at.steps), at.members
        loss = at.among_all(run.history["train_loss"][there])
        rows = of.tested.repeat(len(arms), 1)[at.members]
        accuracy = at.among_all(evaluate(problem, at.population, of.whole, rows=rows)["accuracy"])
        norm = at.among_all(norms(problem, at.population, [looked_at[member] for member in at.members]))
        assert run.examples is not None
        sets = [problem.data.train.select(run.examples[member]) for member in at.members]
        own = [margins(problem, at.population[[row]], on=one) for row, one in enumerate(sets)]
        margin = at.among_all([float(np.median(one)) for one in own])
    kept = sorted(run.snapshots)[:: -(len(run.snapshots) // PATH)][::-1]
    few = [one.select(torch.arange(LOOKED_AT // 4)) for one in looked_at]
    along = np.stack([norms(problem, run.snapshots[step], few) for step in kept])
    paths = np.stack([run.history["train_loss"][np.searchsorted(run.history.steps, kept)], along])
    found = {}
    for number, name in enumerate(arms):
        own = slice(number * count, (number + 1) * count)
        path = np.exp(np.log(paths[:, :, own]).mean(2))
        found[name] = Arm(level, loss[own], norm[own], margin[own], 100 * (1 - accuracy[own]), path)
    return found


def memorizing(run: Run, members: Sequence[int]) -> Population | None:
    """Each at the first snapshot at which it has no training error; None if one has not."""
    steps = np.array(sorted(run.snapshots))
    right = run.history["train_accuracy"][np.searchsorted(run.history.steps, steps)][:, members] == 1
    if not right.any(0).all():
        return None
    first = steps[right.argmax(0)].tolist()
    return Population.concatenate([run.snapshots[step][[one]] for step, one in zip(first, members, strict=True)])


@dataclass(frozen=True, eq=False)
class Compared:
    """Networks by their labels at one training loss, and by their starts on true labels at another."""

    task: dict[str, Arm]
    starts: dict[str, Arm]

    @property
    def ratios(self) -> dict[str, Interval]:
        """Of both comparisons, and per unit of margin."""
        pairs = {
            TASK: (self.task[TRUE], self.task[RANDOM]),
            PREFERENCE: (self.starts[STANDARD], self.starts.get(MEMORIZED)),
        }
        per_margin = {f"{name}, margin": ratio(*pair, per_margin=True) for name, pair in pairs.items()}
        return {name: ratio(*pair) for name, pair in pairs.items()} | per_margin

    @property
    def errors(self) -> Interval:
        """Points of test error that the bad start costs."""
        if MEMORIZED not in self.starts:
            return Interval.missing("not all random labels were memorized")
        more = self.starts[MEMORIZED].error - self.starts[STANDARD].error
        return (
            Interval.missing("not all came to the loss")
            if np.isnan(more).any()
            else interval.mean(more, bounds=(-100, 100))
        )


def compared(lab: Lab, setting: Setting, seeds: Sequence[int], *, controls: bool = False) -> Compared:
    """Train on true and random labels, and on true ones from the standard start and from memorized random labels."""
    of = given(setting, seeds, (TRUE, RANDOM, RELABELLED, AGAIN) if controls else (TRUE, RANDOM))
    task: dict[str, Arm] = {}
    memorized = None
    for group, steps in (((TRUE, RELABELLED), setting.true_steps), ((RANDOM, AGAIN), setting.random_steps)):
        labels = [name for name in group if name in of.sets]
        problem, run = trained(lab, setting, of, labels, recipe(3e-3, steps), {})
        task |= read(problem, run, labels, of, TASK_LEVEL)
        memorized = memorizing(run, range(len(seeds)))  # at last of random labels
    if RELABELLED in task:  # test labels are as they were
        task[RELABELLED] = replace(task[RELABELLED], error=np.full(len(seeds), nan))
    starts = {STANDARD: problem.initialize(seeds)}
    if memorized is not None:
        starts[MEMORIZED] = memorized
    if controls:
        drawn = scale_of_initialization(problem, seeds, (4.0, 8.0))
        starts |= {FOUR: drawn["4"], EIGHT: drawn["8"]}
    problem, run = trained(lab, setting, of, [TRUE], recipe(2e-3, setting.steps), starts)
    return Compared(task, read(problem, run, list(starts), of, LEVEL))
