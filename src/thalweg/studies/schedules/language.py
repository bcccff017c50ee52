"""A small language model trained by one schedule and another, each at its best peak rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg import schedules, sweep
from thalweg.data import Examples, text
from thalweg.evaluation import Evaluator, Sample
from thalweg.figures import Axis, Figure, Line
from thalweg.nets import transformer
from thalweg.optim import Adam
from thalweg.population import Population, Problem
from thalweg.schedules import Schedule
from thalweg.studies.lab import Lab
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, Run, infinite_if_diverged, train

Array = NDArray[np.float64]
WINDOW, WIDTH, HEADS, DEPTH = 16, 16, 2, 1  # bytes read at once, and the size of the transformer
BATCH = 16
BETA2 = 0.95  # as for GPT-3 (Brown et al., 2020, arXiv:2005.14165, appendix B)
WARMED = 25  # one step in so many is warmup: 4,000 of 100,000 in the first transformer (arXiv:1706.03762)
EARLY = 5  # the early loss is that after one step in so many
RESTARTS = "cosine with restarts"


@dataclass(frozen=True)
class Comparison:
    """Runs of every schedule at its best peak rate.

    Args:
        problem: what was trained.
        steps: of every run.
        rates: the peak rates tried (rates,).
        tuned: held-out loss at the end on the tuning seeds, by schedule: (rates, seeds), infinite where it diverged.
        tuning: the seeds that rates were chosen on.
        scored: the seeds of the runs.
        runs: at the best rates, by schedule, kept early and at the end; with restarts at the cosine's best rate.
    """

    problem: Problem
    steps: int
    rates: Array
    tuned: Mapping[str, Array]
    tuning: list[int]
    scored: list[int]
    runs: Mapping[str, Run]

    @property
    def best(self) -> dict[str, float]:
        """The peak rate of least mean loss on the tuning seeds, by schedule."""
        return best_rates(self.rates, self.tuned)

    @property
    def early(self) -> int:
        """The early step."""
        return self.steps // EARLY

    @property
    def setting(self) -> str:
        """What was trained on what, for captions."""
        return f"Byte-level transformer of one block, width {WIDTH}, {self.steps} steps of {BATCH} x {WINDOW} bytes"

    def curve(self, name: str) -> tuple[NDArray[np.int64], Array]:
        """The evaluated steps, and the held-out loss there: (evaluations, seeds)."""
        history = self.runs[name].history
        return history.steps, history["test_loss"]

    def by_window(self, name: str, step: int) -> Array:
        """Loss after a step on each held-out window, in nats a byte: (seeds, windows)."""
        return by_window(self.problem, self.runs[name].snapshots[step])


def compare(lab: Lab) -> Comparison:
    """Tune every schedule on some seeds, and run it on others."""
    tuning, scored = tuning_and_scored(lab, lab.pick(quick=2, full=4), lab.pick(quick=5, full=12))
    steps, held_out = lab.pick(quick=100, full=1200), lab.pick(quick=128, full=512)
    rates = factors_of_two(lab.pick(quick=-7, full=-9), lab.pick(quick=-3, full=-2))
    problem = language_model(lab, DEPTH, held_out)
    candidates = shapes(steps)
    rule = Adam(sweep.values(rates.tolist()), beta2=BETA2)
    tuned = {}
    for name, schedule in candidates.items():
        recipe = Recipe(rule, steps, BATCH, schedule, evaluate=0, evaluate_train_on=Sample("train", 1))
        history = train(problem, recipe, tuning, progress=labelled(lab, f"SCH2, tuning {name}")).history
        tuned[name] = infinite_if_diverged(history.final("test_loss")).reshape(len(rates), len(tuning))
    best = best_rates(rates, tuned)
    evaluations, kept = lab.pick(quick=5, full=20), (steps // EARLY, steps)
    runs = {}
    for name, schedule in (candidates | {RESTARTS: restarts(steps)}).items():
        rule = Adam(best.get(name, best["cosine"]), beta2=BETA2)
        recipe = Recipe(
            rule, steps, BATCH, schedule, evaluate=evaluations, snapshot=kept, evaluate_train_on=Sample("train", 1)
        )
        runs[name] = train(problem, recipe, scored, progress=labelled(lab, f"SCH2, {name}"))
    return Comparison(problem, steps, rates, tuned, tuning, scored, runs)


def language_model(lab: Lab, depth: int, held_out: int, *, norm: str = "pre") -> Problem:
    """The next byte of Python's documentation, after each of the bytes before it, by a small transformer."""
    data = text(context=WINDOW).subset(test=held_out, seed=0)
    vocabulary = len(data.ground_truth["vocabulary"])
    model = lambda: transformer(vocabulary, WINDOW, WIDTH, HEADS, depth, norm=norm)  # noqa: E731
    return Problem(model, data, device=lab.device)


def best_rates(rates: Array, tuned: Mapping[str, Array]) -> dict[str, float]:
    """The rate of least mean loss, by schedule; losses are (rates, seeds)."""
    return {name: float(rates[losses.mean(1).argmin()]) for name, losses in tuned.items()}


def factors_of_two(first: int, last: int) -> Array:
    """Learning rates from 2^first to 2^last."""
    return np.exp2(np.arange(first, last + 1, dtype=np.float64))


def shapes(steps: int) -> dict[str, Schedule]:
    """Schedules by name, all with the same warmup and made for `steps`."""
    warmup = max(1, steps // WARMED)
    return {
        "constant": schedules.Warmup(warmup),
        "cosine": schedules.Cosine(warmup=warmup),
        "linear": schedules.Linear().warmed_up(warmup),
        "WSD": schedules.WSD(decay=steps // 5, warmup=warmup),  # a fifth, as in arXiv:2405.18392
        "inverse square root": schedules.InverseSquareRoot(warmup=warmup),
    }


def restarts(steps: int) -> Schedule:
    """SGDR after the same warmup: three cycles, each twice as long as the one before, the last ending the run."""
    warmup = max(1, steps // WARMED)
    return schedules.Restarts((steps - warmup) / 7, growth=2).warmed_up(warmup)


def by_window(problem: Problem, population: Population) -> Array:
    """Loss of every member on every held-out window, in nats a byte: (members, windows)."""
    assert isinstance(problem.data.test, Examples)
    return Evaluator(problem, population, problem.data.test).by_example()["loss"].numpy()


def tuning_figure(comparison: Comparison, names: Sequence[str]) -> Figure:
    """The final loss of these schedules against the peak rate."""
    return Figure.of(
        "Final loss against the peak rate",
        tuple(
            Line(comparison.rates, losses.mean(1), low=losses.min(1), high=losses.max(1), label=name)
            for name, losses in ((name, comparison.tuned[name]) for name in names)
        ),
        x=Axis("peak learning rate", scale="log"),
        y=Axis("held-out loss", "nats a byte"),
        caption=f"{comparison.setting}; mean of the {len(comparison.tuning)} tuning seeds, on which the best rates "
        "were chosen; bands run from the smallest to the largest.",
    )
