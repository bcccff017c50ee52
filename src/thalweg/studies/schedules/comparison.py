"""The runs behind SCH2 and SCH3: every schedule at its best peak rate, which is chosen on other seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.evaluation import Sample, by_example
from thalweg.figures import Axis, Figure
from thalweg.optim import Adam
from thalweg.results import Reading, spread
from thalweg.studies.lab import Lab, Seeds
from thalweg.studies.schedules import language
from thalweg.studies.schedules.language import BETA2, RESTARTS, WIDTH, WINDOW, factors_of_two, language_model
from thalweg.training import Recipe, infinite_if_diverged

Array = NDArray[np.float64]
STEPS, RATES = {"quick": 100, "full": 1200}, {"quick": (-7, -3), "full": (-9, -2)}  # peak rates as powers of 2
DEPTH, BATCH = 1, 16
EARLY = 5  # the early loss is that after a fifth of the steps
UNIT = "nats a byte"
BUDGET = {"steps": 1_000}  # in runs of 100 the constant rate ends lower than a cosine, of 300 and 600 neither does


@dataclass(frozen=True)
class Comparison:
    """What every schedule gave, as held-out losses in nats a byte.

    Args:
        rates: the peak rates tried (rates,).
        seeds: scored, and those that rates were chosen on.
        tuned: at the end on the tuning seeds, by schedule: (rates, seeds), infinite where a run diverged.
        at: the evaluated steps, the last one the end.
        course: at these steps, at the best rates, by schedule: (steps, seeds).
        windows: on each held-out window after the early step and at the end, by schedule: (2, seeds, windows).
    """

    rates: Array
    seeds: Seeds
    tuned: Mapping[str, Array]
    at: NDArray[np.int64]
    course: Mapping[str, Array]
    windows: Mapping[str, Array]

    @property
    def steps(self) -> int:
        """Of every run."""
        return int(self.at[-1])

    @property
    def early(self) -> int:
        """The early step."""
        return self.steps // EARLY

    @property
    def best(self) -> dict[str, float]:
        """The peak rate of least mean loss on the tuning seeds, by schedule."""
        return best_rates(self.rates, self.tuned)

    @property
    def setting(self) -> str:
        """What was trained on what, for captions."""
        return f"Byte-level transformer of one block, width {WIDTH}, {self.steps} steps of {BATCH} x {WINDOW} bytes"

    def tuning(self, lab: Lab, names: Sequence[str]) -> tuple[Reading, Figure]:
        """The final loss of these schedules against the peak rate, and its picture."""
        reading = lab.reading(
            "held-out loss against the peak rate",
            [self.tuned[name] for name in names],
            {"schedule": names, "rate": self.rates, "seed": self.seeds.shared_tuning},
            unit=UNIT,
            notes=("On the tuning seeds; infinite where the run diverged.",),
        )
        figure = spread(
            reading,
            x="rate",
            over="seed",
            title="Final loss against the peak rate",
            caption=f"{self.setting}; the seeds are those on which the best rates were chosen.",
            x_axis=Axis("peak learning rate", scale="log"),
            y_axis=Axis("held-out loss", UNIT),
        )
        return reading, figure


def compare(lab: Lab) -> Comparison:
    """Tune every schedule on some seeds, and run it on others."""
    seeds = lab.seeds(quick=5, full=12, shared_tuning=lab.pick(quick=2, full=4))
    steps, held_out = lab.pick(**STEPS), lab.pick(quick=128, full=512)
    rates = factors_of_two(*lab.pick(**RATES))
    problem = language_model(lab, DEPTH, held_out)
    shapes, moments = language.shapes(steps), (steps // EARLY, steps)
    rule = Adam(sweep.values(rates.tolist()), beta2=BETA2)
    trial = Recipe(rule, steps, BATCH, evaluate=0, evaluate_train_on=Sample("train", 1))
    trials = {name: replace(trial, schedule=shape) for name, shape in shapes.items() if name != RESTARTS}
    tuned = {
        name: infinite_if_diverged(run.history.final("test_loss")).reshape(len(rates), -1)
        for name, run in lab.train(problem, trials, seeds.shared_tuning, "tuning").items()
    }
    best = best_rates(rates, tuned)
    scored = replace(trial, evaluate=lab.pick(quick=5, full=20), snapshot=moments)
    recipes = {
        name: replace(scored, optimizer=Adam(best.get(name, best["cosine"]), beta2=BETA2), schedule=shape)
        for name, shape in shapes.items()
    }
    runs = lab.train(problem, recipes, seeds.scored)
    return Comparison(
        rates,
        seeds,
        tuned,
        runs[RESTARTS].history.steps,
        {name: run.history["test_loss"] for name, run in runs.items()},
        {
            name: np.stack([by_example(problem, run.snapshots[at], on="test")["loss"].numpy() for at in moments])
            for name, run in runs.items()
        },
    )


def best_rates(rates: Array, tuned: Mapping[str, Array]) -> dict[str, float]:
    """The rate of least mean loss, by schedule; losses are (rates, seeds)."""
    return {name: float(rates[losses.mean(1).argmin()]) for name, losses in tuned.items()}
