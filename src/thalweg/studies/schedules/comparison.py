"""The runs behind SCH2 and SCH3: every schedule at its best peak rate, which each scored seed chooses by itself.

It takes the rate that ended best on a tuning seed of its own, and so the interval over seeds also covers the doubt
about the rates that comes from seeds. Rates are chosen on other held-out windows than they are scored on: on shared
ones the luck of a window would count in favor of what was chosen for it. All seeds choose on the same windows, and all
windows are pieces of one text: the doubts from that are not in the interval, as the units say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import greater
from thalweg.evaluation import Sample, by_example
from thalweg.figures import Axis, Figure
from thalweg.optim import Adam
from thalweg.population import Problem
from thalweg.results import Reading, spread
from thalweg.statistics import own_choices
from thalweg.studies.lab import Lab, Seeds
from thalweg.studies.schedules import language
from thalweg.studies.schedules.language import BETA2, RESTARTS, WIDTH, WINDOW, factors_of_two, to_tune_and_to_score
from thalweg.training import Recipe, infinite_if_diverged
from thalweg.tuning import edge_warnings

Array = NDArray[np.float64]
STEPS = {"quick": 100, "full": 1200}
# Peak rates as powers of 2. Tried on seeds 500,000 to 500,005, on which nothing is scored: at full scale the best of a
# constant rate were 2^-7 and 2^-6, of a cosine 2^-6 and 2^-5, and of the inverse square root 2^-5.
RATES = {"quick": (-7, -3), "full": (-8, -3)}
HELD_OUT = {"quick": 128, "full": 512}  # windows to score on, and as many others to tune on
DEPTH, BATCH = 1, 16
EARLY = 5  # the early loss is that after a fifth of the steps
UNIT = "nats a byte"
RULE = greater(0, worth=0.01)  # the probability of a byte, as a geometric mean, is 1 % higher: less is hardly a gain
OVER = (
    "over held-out windows and seeds, each at rates that were best on a tuning seed of its own; that all windows are "
    "pieces of one text, and that all seeds tune on the same ones, leaves doubts that are not counted"
)
DATA = "the text of Python's documentation"
BUDGET = {"steps": 1_000}  # in runs of 100 the constant rate ends lower than a cosine, of 300 and 600 neither does


@dataclass(frozen=True)
class Comparison:
    """What every schedule gave, as held-out losses in nats a byte.

    Args:
        rates: the peak rates tried (rates,).
        seeds: scored, and those that each of them chose its rates on.
        tuned: at the end, on the windows to tune on, by schedule: (rates, seeds, tuning seeds of each), infinite where
            a run diverged.
        at: the evaluated steps, the last one the end.
        course: at these steps, each seed at the rate it chose, by schedule: (steps, seeds).
        windows: on each window to score on after the early step and at the end, by schedule: (2, seeds, windows).
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
    def best(self) -> dict[str, Array]:
        """The peak rate that each scored seed chose, by schedule: (seeds,)."""
        return chosen_rates(self.rates, self.tuned)

    @property
    def typical(self) -> dict[str, float]:
        """The geometric mean of these over seeds, by schedule."""
        return {name: float(np.exp(np.log(rates).mean())) for name, rates in self.best.items()}

    @property
    def setting(self) -> str:
        """What was trained on what, for captions."""
        return f"Byte-level transformer of one block, width {WIDTH}, {self.steps} steps of {BATCH} x {WINDOW} bytes"

    def at_edges(self, names: Sequence[str]) -> tuple[str, ...]:
        """A sentence for each of these schedules that seeds chose the smallest or largest rate for."""
        best = self.best
        return edge_warnings({name: best[name] for name in names}, self.rates, noun="peak rate")

    def tuning(self, lab: Lab, names: Sequence[str]) -> tuple[tuple[Reading, Reading], Figure]:
        """Of these schedules the final loss against the peak rate and the rates chosen, and the picture of the loss."""
        losses = lab.reading(
            "held-out loss against the peak rate",
            [self.tuned[name].reshape(len(self.rates), -1) for name in names],
            {"schedule": names, "rate": self.rates, "seed": [one for own in self.seeds.own_tuning for one in own]},
            unit=UNIT,
            notes=("On the tuning seeds and the windows to tune on; infinite where the run diverged.",),
        )
        chosen = lab.reading(
            "best peak rate",
            [self.best[name] for name in names],
            {"schedule": names, "seed": self.seeds.scored},
            notes=("That of the least loss on the tuning seeds of each seed.",),
        )
        figure = spread(
            losses,
            x="rate",
            over="seed",
            title="Final loss against the peak rate",
            caption=f"{self.setting}; the seeds and windows are those on which rates were chosen, windows "
            "being the same for all seeds.",
            x_axis=Axis("peak learning rate", scale="log"),
            y_axis=Axis("held-out loss", UNIT),
        )
        return (losses, chosen), figure


def compare(lab: Lab) -> Comparison:
    """Tune every schedule for each scored seed on tuning seeds of its own, and run it."""
    seeds = lab.seeds(quick=5, full=12, tuning=1)
    steps, rates = lab.pick(**STEPS), factors_of_two(*lab.pick(**RATES))
    tune, score = to_tune_and_to_score(lab, DEPTH, lab.pick(**HELD_OUT))
    shapes, moments = language.shapes(steps), (steps // EARLY, steps)
    rule = Adam(sweep.values(rates.tolist()), beta2=BETA2)
    trial = Recipe(rule, steps, BATCH, evaluate=0, evaluate_train_on=Sample("train", 1))
    trials = {name: replace(trial, schedule=shape) for name, shape in shapes.items() if name != RESTARTS}
    own = [one for tuning in seeds.own_tuning for one in tuning]
    tuned = {
        name: infinite_if_diverged(run.history.final("test_loss")).reshape(len(rates), len(seeds), -1)
        for name, run in lab.train(tune, trials, own, "tuning").items()
    }
    best = chosen_rates(rates, tuned)
    scored = replace(trial, evaluate=lab.pick(quick=5, full=20), snapshot=moments)
    runs = {
        name: each_at_its_rate(
            lab, score, replace(scored, schedule=shape), best.get(name, best["cosine"]), seeds.scored, name
        )
        for name, shape in shapes.items()
    }
    return Comparison(
        rates,
        seeds,
        tuned,
        np.array(scored.evaluation_steps),
        {name: course for name, (course, _) in runs.items()},
        {name: windows for name, (_, windows) in runs.items()},
    )


def chosen_rates(rates: Array, tuned: Mapping[str, Array]) -> dict[str, Array]:
    """The rate that each scored seed takes, by schedule: (seeds,); losses are (rates, seeds, tuning seeds of each)."""
    return {name: rates[own_choices(losses)] for name, losses in tuned.items()}


def each_at_its_rate(
    lab: Lab, problem: Problem, recipe: Recipe, rates: Array, seeds: Sequence[int], label: str
) -> tuple[Array, Array]:
    """Held-out losses of networks that each have a rate of their own, those of one rate trained together.

    Returns:
        at the evaluated steps (steps, seeds), and on each held-out window at the snapshots (snapshots, seeds, windows).
    """
    course = np.empty((len(recipe.evaluation_steps), len(seeds)))
    windows = np.empty((len(recipe.snapshot_steps), len(seeds), len(problem.data.test or ())))
    for rate in np.unique(rates):
        (here,) = np.nonzero(rates == rate)
        run = lab.train(
            problem,
            replace(recipe, optimizer=Adam(float(rate), beta2=BETA2)),
            np.asarray(seeds)[here].tolist(),
            f"{label} at {rate:.2g}",
        )
        course[:, here] = run.history["test_loss"]
        for i, at in enumerate(recipe.snapshot_steps):
            windows[i, here] = by_example(problem, run.snapshots[at], on="test")["loss"].numpy()
    return course, windows
