"""GRK3: what weight decay has to do with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Figure
from thalweg.generalization import grokking
from thalweg.optim import FrozenNorm
from thalweg.population import Problem
from thalweg.statistics import POSITIVE, SHARE, Interval, interval
from thalweg.studies.grokking.setting import EARLY, MAIN, Array, evaluations, mean_known, problem_of, rule_of
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe, Run, Start, train

NEVER, FROZEN, EQUAL, INVERSE, PREDICTED = "no decay", "frozen norm", "equal products", "inversely", "predicted"
CLAIM = Claim(
    id="GRK3",
    statement="Without decay none groks in 4,000 steps, and with norms frozen at memorization most do; the delay "
    "depends on lr x decay, for small ones inversely.",
    lecture="Why grokking happens (added): weight decay drives it.",
    rule=every_part(),
    unit="see the parts",
    budget={"steps without decay": 4_000},
    corrected="A bounded norm does: without decay and with the norm of each tensor frozen it groks as well. The delay "
    "goes as 1/(lr x decay) only for small decay.",
    parts=(
        Part(NEVER, "Without decay fewer than half grok in 4,000 steps.", less(0.5), "share of seeds", bounds=SHARE),
        Part(
            FROZEN,
            "With norms frozen at T_mem and no decay more than half do.",
            greater(0.5),
            "share of seeds",
            bounds=SHARE,
        ),
        Part(
            EQUAL,
            "Delays of equal lr x decay up to 0.004 are within 15 % of each other.",
            within(1 / 1.15, 1.15),
            "ratio of delays",
            bounds=POSITIVE,
        ),
        Part(
            INVERSE,
            "From lr x decay of 0.001 to 0.002 (quick: 0.002 to 0.004) the delay goes as 1/(lr x decay), to the power "
            "1 +- 0.2.",
            within(0.8, 1.2),
            "power",
        ),
        Part(
            PREDICTED,
            "a + b/(lr x decay), fitted on two cells, predicts the others to 15 %.",
            less(0.15),
            "mean relative error over cells",
            bounds=POSITIVE,
        ),
    ),
)
Cell = tuple[float, float]
# On as many seeds as the other parts, where the design has four.
CELLS: tuple[Cell, ...] = (
    *((1e-2, decay) for decay in (0.1, 0.2, 0.4, 0.8, 1.6)),
    *((5e-3, decay) for decay in (0.4, 0.8, 1.6)),
    *((2e-2, decay) for decay in (0.2, 0.4)),
)
QUICK: tuple[Cell, ...] = ((1e-2, 0.2), (1e-2, 0.4), (1e-2, 0.8), (5e-3, 0.8))  # which one seed does not decide
SMALL, CAP, PIECE = 0.004, 8_000, 200  # lr x decay; steps at most, and after how many it is asked whether to go on
SHUFFLES = 200


def product(cell: Cell) -> float:
    """lr x decay."""
    return round(cell[0] * cell[1], 9)


def until_grokked(problem: Problem, recipe: Recipe, seed: int, lab: Lab, label: str, start: Start | None = None) -> Run:
    """One network, trained here, as there is nothing to cut, until it has generalized or to the last step."""
    told = partial(train, problem, recipe, [seed], progress=lab.labelled(label))
    run = told(start=start, until=min(PIECE, recipe.steps))
    while run.step < recipe.steps and np.isinf(grokking.times(run)["generalized"][0]):
        run = told(resume=run, until=min(run.step + PIECE, recipe.steps))
    return run


def delays(lab: Lab, cells: Sequence[Cell], seeds: Sequence[int]) -> Array:
    """T_grok - T_mem of every cell and seed, infinite where it did not come in CAP steps: (cells, seeds)."""
    table = np.zeros((len(cells), len(seeds)))
    for column, seed in enumerate(seeds):
        problem = problem_of(lab, MAIN, seed)
        for row, (lr, decay) in enumerate(cells):
            recipe = Recipe(rule_of(lr, decay), CAP, evaluate=evaluations(CAP))
            run = until_grokked(problem, recipe, seed, lab, f"lr {lr:g}, decay {decay:g}, seed {column + 1}")
            table[row, column] = grokking.times(run).delay[0]
    return table


@dataclass(frozen=True, eq=False)
class Without:
    """Arms without decay.

    Args:
        plain, double: in float32, and in float64 or None.
        frozen: T_grok with norms frozen at T_mem, infinite where it did not come: (seeds,).
    """

    plain: grokking.Times
    double: grokking.Times | None
    frozen: Array

    @property
    def delay(self) -> Array:
        """T_grok - T_mem with frozen norms, infinite where either did not come: (seeds,)."""
        memorized = self.plain["memorized"]
        return self.frozen - np.where(np.isfinite(memorized), memorized, 0.0)


def without_decay(lab: Lab, seeds: Sequence[int], steps: int) -> Without:
    """No decay in float32 and, at full scale, in float64; and norms frozen at each seed's T_mem.

    A network that has not memorized by the last step of which the state is kept counts as one that does not grok.
    """
    plain, double, frozen = [], [], np.full(len(seeds), np.inf)
    rule = rule_of(MAIN.lr, 0.0)
    for number, seed in enumerate(seeds):
        early = tuple(range(EARLY + 1))
        recipe = Recipe(rule, steps, evaluate=evaluations(steps), snapshot=early, snapshot_state=True)
        problem, label = problem_of(lab, MAIN, seed), f"no decay, seed {number + 1} of {len(seeds)}"
        run = lab.train(problem, recipe, [seed], label)
        plain.append(run)
        if number < lab.pick(quick=0, full=2):  # where the loss of float32 is rounded to 0; reported, not judged
            whole = Recipe(rule, steps, evaluate=evaluations(steps))
            double.append(lab.train(problem_of(lab, MAIN, seed, double=True), whole, [seed], f"{label}, float64"))
        memorized = grokking.times(run)["memorized"][0]
        if memorized > EARLY:
            continue
        first = int(memorized)
        start = run.at(first)
        kept = {**(start.state or {}), "frozen_norm": torch.zeros_like(start.population.theta)}
        held = Recipe(FrozenNorm(rule), steps, evaluate=evaluations(steps, first))
        end = until_grokked(problem, held, seed, lab, f"frozen norm, seed {number + 1}", replace(start, state=kept))
        frozen[number] = grokking.times(end)["generalized"][0]
    return Without(grokking.times(plain), grokking.times(double) if double else None, frozen)


def equal(cells: Sequence[Cell], table: Array) -> Iterator[tuple[str, Interval]]:
    """The ratio of delays of any two cells of equal product."""
    for later, (lr, decay) in enumerate(cells):
        for first in range(later):
            if product(cells[first]) == product(cells[later]) <= SMALL:
                name = f"lr {lr:g}, decay {decay:g} / lr {cells[first][0]:g}, decay {cells[first][1]:g}"
                yield name, interval.ratio_of_times(table[later], table[first], CAP)


def smallest(cells: Sequence[Cell]) -> tuple[int, int]:
    """The cells of the two smallest products of the main rate."""
    own = sorted((product(cell), row) for row, cell in enumerate(cells) if cell[0] == MAIN.lr)
    return own[0][1], own[1][1]


def power(cells: Sequence[Cell], table: Array) -> Interval:
    """Of 1/(lr x decay), between the two smallest products of the main rate."""
    first, second = smallest(cells)
    slopes = np.log(table[first] / table[second]) / np.log(product(cells[second]) / product(cells[first]))
    return interval.mean(slopes)


def against(frozen: Array, decayed: Array, limit: float) -> Interval:
    """The ratio of two delays of the same seeds, those beyond the limit counting as not known: (seeds,) each."""
    late, own = (np.where(delay <= limit, delay, np.inf) for delay in (frozen, decayed))
    return interval.ratio_of_times(late, own, limit)


def shuffled(products: Sequence[float], table: Array, fitted: Sequence[int], seed: int) -> Array:
    """Errors of the law, fitted on the same cells, where delays change places among cells at random: (SHUFFLES,)."""
    draw, errors = np.random.default_rng(seed), np.zeros(SHUFFLES)
    for number in range(SHUFFLES):
        law = grokking.delay_law(products, draw.permutation(table), fitted=fitted)
        errors[number] = mean_known(np.abs(law["error"][~law["fitted"]]))
    return errors


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train without decay, with frozen norms, and over cells of rate and decay."""
    seeds, cells = lab.seeds(quick=1, full=8).scored, lab.pick(quick=QUICK, full=CELLS)
    steps = lab.pick(quick=1_000, full=4_000)
    arms, table = without_decay(lab, seeds, steps), delays(lab, cells, seeds)
    own = {decay: row for row, (lr, decay) in enumerate(cells) if lr == MAIN.lr}
    products, fitted = [product(cell) for cell in cells], [own[min(own)], own[0.8]]
    law, null = grokking.delay_law(products, table, fitted=fitted), shuffled(products, table, fitted, lab.seed)
    slope, sooner = power(cells, table), against(arms.delay, table[own[MAIN.decay]], steps - EARLY)
    ratios = dict(equal(cells, table))
    farthest = max(ratios.values(), key=lambda one: np.nan_to_num(max(abs(np.log([one.low, one.high]))), nan=np.inf))
    grokked = arms.plain.share
    held = interval.fraction(np.isfinite(arms.frozen).astype(float))
    typical = {f"lr {lr:g}, decay {decay:g}": row.tolist() for (lr, decay), row in zip(cells, table, strict=True)}
    low, high = (products[row] for row in smallest(cells))
    return lab.finding(
        parts={
            NEVER: grokked,
            FROZEN: held,
            EQUAL: farthest,
            INVERSE: slope,
            PREDICTED: law.error,
        },
        ran={"steps without decay": steps},
        numbers={
            "delays": {name: [str(one) for one in row] for name, row in typical.items()},
            "ratios of delays at equal products": {
                name: [one.low, one.estimate, one.high] for name, one in ratios.items()
            },
            "T_grok with frozen norms": [str(one) for one in arms.frozen],
            "T_grok without decay in float64": [] if arms.double is None else [*map(str, arms.double["generalized"])],
            "a, b": [float(law["a"].mean()), float(law["b"].mean())],
            "delay with frozen norms / with decay": [sooner.low, sooner.estimate, sooner.high],
            "lr x decay of the power": [low, high],
            "lr x decay fitted on": [products[row] for row in fitted],
            "mean relative error of the law, delays shuffled over cells": null.tolist(),
        },
        figures=Figure.row(
            [law.figure(), arms.plain.figure().with_marks(title=f"without decay: {arms.plain.figure().title}")],
            title="What weight decay has to do with it",
            caption=f"p = {MAIN.p}, {MAIN.fraction:.0%} of the pairs; {len(seeds)} seeds. {law.reading.notes[0]}",
        ),
        readings=lab.reading("delay", table, {"cell": list(typical), "seed": seeds}, unit="steps"),
        sentences=[
            f"Without decay {grokked.estimate:.0%} of {len(seeds)} networks generalize in {steps:,} steps; with the "
            f"norm of each tensor frozen at T_mem {held.estimate:.0%} do, at step {np.median(arms.frozen):,.0f}. The "
            f"delay since T_mem is then {sooner} of that with decay {MAIN.decay:g}.",
            f"Delays of equal lr x decay are {farthest} of each other where they differ most. From {low:g} to {high:g} "
            f"they go as 1/(lr x decay) to the power {slope}.",
            f"Fitted at lr x decay of {products[fitted[0]]:g} and {products[fitted[1]]:g}, {law['a'].mean():.0f} + "
            f"{law['b'].mean():.2f}/(lr x decay) predicts the other cells to {law.error}; with delays shuffled over "
            f"cells to {np.median(null):.2g} (median), and as well in {np.mean(null <= law.error.estimate):.1%} of "
            f"{SHUFFLES} shuffles.",
        ],
    )
