"""OPT2: what momentum saves, on a quadratic with exact rates and on digits."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.evaluation import Sample
from thalweg.figures import Axis, ReferenceLine
from thalweg.optim import SGD, Adam, Momentum, Nesterov, RMSprop, Rule
from thalweg.population import Problem
from thalweg.results import spread
from thalweg.statistics import interval
from thalweg.studies.lab import Lab, Seeds
from thalweg.studies.optimizers.quadratic import CONDITION, FALLEN, quadratic
from thalweg.studies.optimizers.tasks import digits_mlp
from thalweg.studies.study import decides
from thalweg.training import Recipe, infinite_if_diverged, steps_to
from thalweg.tuning import edge_warnings
from thalweg.tuning import race as on_two_variables

Array = NDArray[np.float64]
CLAIM = Claim(
    id="OPT2",
    statement="Momentum reaches the same training loss in fewer steps than SGD, each at its best rate.",
    lecture="Momentum accelerates SGD.",
    rule=greater(1, worth=1.05),
    unit="steps of SGD / steps of momentum",
)
BATCH = 128
RATES = np.logspace(-2.5, 1, 8)  # half decades
EVERY = 5
STEPS = {"quick": 150, "full": 600}
RULES: dict[str, Callable[..., Rule]] = {"SGD": SGD, "momentum": Momentum}
RACERS: dict[str, Rule] = {
    "SGD": SGD(1.0),
    "momentum": Momentum(1.0),
    "Nesterov": Nesterov(1.0),
    "RMSprop": RMSprop(1.0),
    "Adam": Adam(1.0),
}


@dataclass(frozen=True)
class Race:
    """Each rule at its best rate, to a loss that tuned SGD reaches.

    Args:
        at: the evaluated steps (evaluations,).
        losses: by rule, of the scored seeds (evaluations, seeds).
        rate: by rule, the best on the tuning seeds.
        target: what the best SGD has after three quarters of the steps, on the tuning seeds.
        needed: by rule, steps to the target; the budget where it was never reached (seeds,).
        censored: by rule, how many seeds never reached it.
    """

    at: Array
    losses: dict[str, Array]
    rate: dict[str, float]
    target: float
    needed: dict[str, Array]
    censored: dict[str, int]

    @property
    def ratio(self) -> interval.Interval:
        """Steps of SGD for one of momentum; a rule that did not always arrive leaves one end open."""
        found = interval.ratio(self.needed["SGD"], self.needed["momentum"])
        low = 0.0 if self.censored["momentum"] else found.low
        high = math.inf if self.censored["SGD"] else found.high
        open_ended = ", open where a run did not arrive" if any(self.censored.values()) else ""
        return replace(found, low=low, high=high, method=f"{found.method}{open_ended}")

    @property
    def late(self) -> Iterator[str]:
        """A sentence for each rule that did not always reach the target."""
        for name, count in self.censored.items():
            if count:
                runs, steps = len(self.needed[name]), self.at[-1]
                yield f"{count} of {runs} runs of {name} did not reach the target in {steps} steps: that end is open."


def judged(at: Array, losses: Mapping[str, Array], tuning: int) -> Race:
    """The race that losses (evaluations, rates, seeds) by rule make, the first `tuning` seeds being for the rates."""
    tuned = losses["SGD"][:, :, :tuning].mean(2)
    target = float(tuned[int(0.75 * (len(at) - 1))].min())
    best, rate, needed, censored = {}, {}, {}, {}
    for name, values in losses.items():
        times = steps_to(target, at, values.reshape(len(at), -1)).reshape(values.shape[1:])
        pick = int(np.minimum(times[:, :tuning], 2 * at[-1]).mean(1).argmin())
        best[name], rate[name] = values[:, pick, tuning:], float(RATES[pick])
        censored[name] = int(np.isinf(times[pick, tuning:]).sum())
        needed[name] = np.minimum(times[pick, tuning:], at[-1])
    return Race(at, best, rate, target, needed, censored)


def race(lab: Lab, problem: Problem, batch: int | None, steps: int, seeds: Seeds) -> Race:
    """Both rules at all rates on the same problem, batches and seeds."""
    at = np.arange(0, steps + 1, EVERY)
    rates, on = sweep.values(RATES.tolist()), Sample("train", 512)
    recipes = {
        name: Recipe(rule(lr=rates), steps, batch, evaluate=tuple(at.tolist()), evaluate_train_on=on)
        for name, rule in RULES.items()
    }
    runs = lab.train(problem, recipes, seeds.shared_tuning + seeds.scored, f"batch {batch or 'of all'}")
    losses = {
        name: infinite_if_diverged(run.history["train_loss"]).reshape(len(at), len(RATES), -1)
        for name, run in runs.items()
    }
    return judged(at, losses, len(seeds.shared_tuning))


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """A race on digits; beside it the exact rates on a quadratic, and the ways on functions of two variables."""
    seeds = lab.seeds(quick=6, full=15, shared_tuning=lab.pick(quick=2, full=5))
    problem, exact = digits_mlp(lab), quadratic(100)
    ran = race(lab, problem, BATCH, lab.pick(**STEPS), seeds)
    whole = None
    if lab.scale == "full":  # too slow for the quick scale
        few = Seeds(seeds.scored[:6], seeds.shared_tuning[:2], [])
        whole = race(lab, problem, None, 200, few)
    losses = lab.reading(
        "training loss at the best rate",
        list(ran.losses.values()),
        {
            "rule": [f"{name}, lr {ran.rate[name]:.2g}" for name in ran.losses],
            "step": ran.at,
            "seed": seeds.scored,
        },
        unit="nats",
    )
    needed = lab.reading(
        "steps to the target", list(ran.needed.values()), {"rule": list(ran.needed), "seed": seeds.scored}, unit="steps"
    )
    figure = spread(
        losses,
        x="step",
        over="seed",
        title="Training loss at each rule's best rate",
        caption=f"Digits, MLP 64-32-10, batch {BATCH}. The target is {ran.target:.3g}.",
        y_axis=Axis("training loss", "nats", scale="log"),
    ).with_marks(ReferenceLine(ran.target, "horizontal", label="target"))
    full_batch = (
        {
            "full batch, steps of SGD / steps of momentum, 95 % interval": [whole.ratio.low, whole.ratio.high],
            "full batch, seeds that never reached the target": whole.censored,
        }
        if whole
        else {}
    )
    of_whole = (
        (f"With the whole training set as batch SGD takes {whole.ratio} times as many steps on digits.",)
        if whole
        else ()
    )
    return lab.finding(
        ran.ratio,
        figures=(figure, *exact.figures, on_two_variables(RACERS).figure()),
        readings=(losses, needed),
        numbers={
            "target loss": ran.target,
            "best rate": ran.rate,
            "seeds that never reached the target": ran.censored,
            f"quadratic, condition {CONDITION:g}, steps to {FALLEN:g} of the loss, SGD / momentum": exact.ratio,
            "quadratic, contraction a step, measured": exact.measured,
            "quadratic, contraction a step, predicted": exact.predicted,
            **full_batch,
        },
        sentences=(
            f"On digits SGD needed {ran.needed['SGD'].mean():.0f} steps and momentum "
            f"{ran.needed['momentum'].mean():.0f} to reach a training loss of {ran.target:.3g}.",
            f"On a quadratic of condition {CONDITION:.0f}, at the optimal constants, SGD takes {exact.ratio:.1f} times "
            f"as many steps as momentum to bring the loss to {FALLEN:g} of what it was; a step contracts by "
            f"{exact.measured['SGD']:.4f} and {exact.measured['momentum']:.4f}, and {exact.predicted['SGD']:.4f} and "
            f"{exact.predicted['momentum']:.4f} are predicted.",
            *of_whole,
            *ran.late,
            *edge_warnings(ran.rate, RATES),
        ),
    )
