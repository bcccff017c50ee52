"""DD8: when to stop. Train past the fit, or stop early: each advice costs much somewhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg import data, nets, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.data import Data, Examples, ExampleSet, pooled
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Bars, Figure
from thalweg.generalization.double_descent import over_training, stopped
from thalweg.generalization.double_descent.over_networks import wrong_class
from thalweg.generalization.double_descent.stopping import RULES
from thalweg.optim import Rule
from thalweg.population import Population, Problem
from thalweg.statistics import Interval, interval
from thalweg.studies.double_descent import training_time
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Observed, Recipe, train

Array = NDArray[np.float64]
Loss = Literal["loss", "accuracy"]  # what is watched on validation
FIT, PATIENCE, BEST, LAST = RULES
POINTS, LOGS = "points of test error", "log ratio of risks"
CLEAN, NOISY, SCALES, TABLE = "clean digits", "noisy digits", "two scales", "modular addition"
UNITS = {CLEAN: POINTS, NOISY: POINTS, SCALES: LOGS, TABLE: POINTS}
AXES = {POINTS: ("wrong classes", "%"), LOGS: ("log of risk", "")}
MARGIN = {POINTS: 1.0, LOGS: math.log(1.05)}  # within which the whole run's best must be of the best other rule
N, VALIDATION, STEPS, EVALUATIONS = 500, 300, 2_500, 40
CLAIM = Claim(
    id="DD8",
    statement="On four problems the checkpoint that is best on validation over the whole run is within a point (5 % of "
    "the risk) of the best of the other rules; stopping at the first fit, at the last step, or with short patience "
    "loses more than 5 points, 5 %, or 50 points on one of them.",
    lecture="Train past interpolation, do not stop at 100 % training accuracy, use early stopping on validation.",
    rule=every_part(),
    unit=POINTS,
    corrected="The two pull apart. Stopping early is right with noisy labels, and misses what comes late in training "
    "where features have separate scales or the network groks. Keep the best checkpoint of a run that is long on a log "
    "axis.",
    parts=(
        *(
            Part(
                name,
                f"{name}: the best on validation is within the margin of the best other rule.",
                less(MARGIN[unit]),
                unit,
            )
            for name, unit in UNITS.items()
        ),
        Part(f"{FIT}, {NOISY}", "The first fit loses more than 5 points there.", greater(5), POINTS),
        Part(f"{LAST}, {NOISY}", "The last step loses more than 5 points there.", greater(5), POINTS),
        Part(f"{PATIENCE}, {SCALES}", "Short patience loses more than 5 % there.", greater(math.log(1.05)), LOGS),
        Part(f"{PATIENCE}, {TABLE}", "Short patience loses more than 50 points there.", greater(50), POINTS),
    ),
)


@dataclass(frozen=True)
class Watched:
    """Runs at their evaluations: steps (evaluations,), and errors (runs, evaluations) each, less being better."""

    steps: Array
    train: Array
    validation: Array
    test: Array

    @property
    def scores(self) -> dict[str, Array]:
        """The test error of what each rule keeps: (runs,)."""
        kept = stopped(self.steps, self.train, self.validation)
        return {rule: self.test[np.arange(len(self.test)), places] for rule, places in kept.items()}


def trained(
    lab: Lab, problem: Problem, sets: Sequence[Sequence[Examples]], seeds: list[int], rule: Rule, steps: int, of: Loss
) -> Watched:
    """Networks on own sets for training, validation and testing, batches of 100, or all where `of` is accuracy."""
    at = np.unique(np.geomspace(5, steps, EVALUATIONS).round()).astype(int)
    parts = [pooled(part) for part in sets]
    (pool, table), size = parts[0], 100 if of == "loss" else None
    own = Problem(
        problem.model,
        Data(pool, name=problem.data.name, classes=problem.data.classes),
        metrics={"wrong": wrong_class},
        device=lab.device,
    )
    there = [(examples.to(own.device), rows) for examples, rows in parts]
    names = "wrong", "loss" if of == "loss" else "wrong", "wrong"

    def errors(step: int, population: Population, *rows: Tensor) -> Tensor:
        measured = [evaluate(own, population, one, rows=of) for (one, _), of in zip(there, rows, strict=True)]
        return torch.stack([one[name] for one, name in zip(measured, names, strict=True)], 1)

    recipe, watch = Recipe(rule, steps, size, evaluate=0), Observed(errors, at=at.tolist(), own=[of for _, of in there])
    told = lab.labelled(problem.data.name)
    train(own, recipe, seeds, examples=table, observe=watch, progress=told, workers=lab.workers)
    fitted, validation, test = (watch.values[..., part].T for part in range(3))
    return Watched(at, fitted, validation, 100 * test)


def digits_runs(lab: Lab, noise: float) -> Watched:
    """500 digits and 300 for validation, with the same noise, MLP 64-128-10; all others, clean, are tested on."""
    seeds, sets = lab.seeds(quick=4, full=8).scored, ([], [], [])
    for seed in seeds:
        clean = data.digits().split_anew(N + VALIDATION, seed=seed, stream="stopping")
        noisy = in_memory((clean.with_label_noise(noise, seed) if noise else clean).train)
        parts = noisy.select(torch.arange(N)), noisy.select(torch.arange(N, len(noisy))), in_memory(clean.test)
        for part, examples in zip(sets, parts, strict=True):
            part.append(examples)
    problem = Problem(lambda: nets.mlp(64, 128, 10), Data(sets[0][0], name="digits", classes=10))
    return trained(lab, problem, sets, seeds, optim.Adam(3e-3), STEPS, "loss")


def modular_runs(lab: Lab) -> Watched:
    """Addition modulo a prime, which a network groks: held-out pairs are for validation and testing by halves."""
    p, decay, steps = lab.pick(quick=(31, 0.8, 1_200), full=(37, 0.4, 1_600))
    seeds, sets = lab.seeds(quick=3, full=5).scored, ([], [], [])
    for seed in seeds:
        table = data.modular(p, train_fraction=0.6, seed=seed)
        held = in_memory(table.test)
        half = len(held) // 2
        parts = in_memory(table.train), held.select(torch.arange(half)), held.select(torch.arange(half, len(held)))
        for part, examples in zip(sets, parts, strict=True):
            part.append(examples)
    problem = Problem(lambda: nets.mlp(2 * p, 256, p, bias=False), Data(sets[0][0], name=TABLE, classes=p))
    rule = optim.AdamW(1e-2, beta2=0.98, weight_decay=decay)
    return trained(lab, problem, sets, seeds, rule, steps, "accuracy")


def in_memory(examples: ExampleSet | None) -> Examples:
    """The examples, which generated data hold in memory."""
    assert isinstance(examples, Examples)
    return examples


def linear_runs(lab: Lab, variances: tuple[float, float] = (1.0, 0.01)) -> Watched:
    """The linear model of DD5, by the logarithm of its risk; it fits no label, so its first fit is its last step."""
    curve = over_training(training_time.steps(), variances=variances, seeds=lab.seeds(quick=20, full=20).scored)
    never = np.ones(curve["risk"].T.shape)
    return Watched(curve.steps.astype(float), never, curve["validation error"].T, np.log(curve["risk"].T))


def judged(found: Mapping[str, Watched]) -> dict[str, Interval]:
    """The parts: the best on validation against the best other rule by its mean, and what simpler rules lose to it.

    A rule that kept the very same networks in every run is neither better nor worse, and no other one: left out.
    """
    scores = {name: runs.scores for name, runs in found.items()}
    parts: dict[str, Interval] = {}
    for name, of in scores.items():
        others = [rule for rule in RULES if not np.array_equal(of[rule], of[BEST])]
        other = min(others, key=lambda rule: of[rule].mean(), default=BEST)
        parts[name] = interval.mean(of[BEST] - of[other])
    for rule, name in ((FIT, NOISY), (LAST, NOISY), (PATIENCE, SCALES), (PATIENCE, TABLE)):
        parts[f"{rule}, {name}"] = interval.mean(scores[name][rule] - scores[name][BEST])
    return parts


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Four problems, each under four rules."""
    found = {
        CLEAN: digits_runs(lab, 0.0),
        NOISY: digits_runs(lab, 0.2),
        SCALES: linear_runs(lab),
        TABLE: modular_runs(lab),
    }
    means = {name: {rule: float(of.mean()) for rule, of in runs.scores.items()} for name, runs in found.items()}
    panels = [
        Figure.of(name, [Bars(RULES, np.array(list(of.values())))], Axis(), Axis(*AXES[UNITS[name]]))
        for name, of in means.items()
    ]
    return lab.finding(
        parts=judged(found),
        figures=Figure.row(
            panels,
            title="What each rule of stopping scores",
            caption="Means over seeds on clean test examples: shares of wrong classes, or the logarithm of the risk.",
        ),
        readings=[
            lab.reading(name, [runs.scores[rule] for rule in RULES], {"rule": RULES, "run": range(len(runs.test))})
            for name, runs in found.items()
        ],
        sentences=[
            f"{name.capitalize()}: "
            + ", ".join(f"{rule} {value:.3g}" for rule, value in of.items())
            + f" ({AXES[UNITS[name]][0]}{', %' if UNITS[name] == POINTS else ''})."
            for name, of in means.items()
        ],
        numbers={"mean score": means},
    )
