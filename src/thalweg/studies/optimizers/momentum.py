"""OPT2: what momentum saves, on a quadratic with exact rates and on digits."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.evaluation import Sample
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.optim import SGD, Momentum, Rule
from thalweg.population import Problem
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers.modes import CONDITION, FALLEN, quadratic
from thalweg.studies.optimizers.tasks import digits_mlp
from thalweg.studies.optimizers.race import race as course
from thalweg.studies.readings import edge_warnings, reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, infinite_if_diverged, steps_to, train

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


def curves(
    lab: Lab, problem: Problem, rule: type[Rule], batch: int | None, steps: int, seeds: list[int], label: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The evaluated steps, and the training loss there: (evaluations, rates, seeds); infinite once diverged."""
    recipe = Recipe(
        rule(lr=sweep.values(RATES.tolist())),
        steps,
        batch,
        evaluate=tuple(range(0, steps + 1, EVERY)),
        evaluate_train_on=Sample("train", 512),
    )
    history = train(problem, recipe, seeds, progress=labelled(lab, label)).history
    losses = infinite_if_diverged(history["train_loss"])
    return history.steps, losses.reshape(len(history.steps), len(RATES), len(seeds))


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

    at: NDArray[np.int64]
    losses: dict[str, NDArray[np.float64]]
    rate: dict[str, float]
    target: float
    needed: dict[str, NDArray[np.float64]]
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


def judged(at: NDArray[np.int64], losses: Mapping[str, NDArray[np.float64]], tuning: int) -> Race:
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


def race(lab: Lab, problem: Problem, batch: int | None, steps: int, tuning: list[int], scored: list[int]) -> Race:
    """Both rules on the same problem, batches and seeds."""
    at, losses = np.arange(0), {}
    for name, rule in (("SGD", SGD), ("momentum", Momentum)):
        label = f"OPT2, {name}, {'full batch' if batch is None else f'batch {batch}'}"
        at, losses[name] = curves(lab, problem, rule, batch, steps, tuning + scored, label)
    return judged(at, losses, len(tuning))


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on OPT2."""
    tuning, scored = tuning_and_scored(lab, lab.pick(quick=2, full=5), lab.pick(quick=6, full=15))
    problem = digits_mlp(lab)
    ran = race(lab, problem, BATCH, lab.pick(quick=150, full=600), tuning, scored)
    exact = quadratic(100)
    numbers: dict[str, Any] = {
        "target loss": ran.target,
        "best rate": ran.rate,
        "seeds that never reached the target": ran.censored,
        f"quadratic, condition {CONDITION:g}, steps to {FALLEN:g} of the loss, SGD / momentum": exact.ratio,
        "quadratic, contraction a step, measured": exact.measured,
        "quadratic, contraction a step, predicted": exact.predicted,
    }
    whole = None
    if lab.scale == "full":  # too slow for the quick scale
        whole = race(lab, problem, None, 200, tuning[:2], scored[:6])
        numbers["full batch, steps of SGD / steps of momentum, 95 % interval"] = [whole.ratio.low, whole.ratio.high]
        numbers["full batch, seeds that never reached the target"] = whole.censored
    sgd, heavy = (ran.needed[name].mean() for name in ("SGD", "momentum"))
    sentences = [
        f"On digits SGD needed {sgd:.0f} steps and momentum {heavy:.0f} to reach a training loss of {ran.target:.3g}.",
        f"On a quadratic of condition {CONDITION:.0f}, at the optimal constants, SGD takes {exact.ratio:.1f} times as "
        f"many steps as momentum to bring the loss to {FALLEN:g} of what it was; a step contracts by "
        f"{exact.measured['SGD']:.4f} and {exact.measured['momentum']:.4f}, and {exact.predicted['SGD']:.4f} and "
        f"{exact.predicted['momentum']:.4f} are predicted.",
    ]
    if whole is not None:
        sentences.append(f"With the whole training set as batch SGD takes {whole.ratio} times as many steps on digits.")
    digits = Figure.of(
        "Training loss at each rule's best rate",
        (
            *(
                Line(
                    ran.at.astype(float),
                    values.mean(1),
                    low=values.min(1),
                    high=values.max(1),
                    label=f"{name}, lr {ran.rate[name]:.2g}",
                )
                for name, values in ran.losses.items()
            ),
            ReferenceLine(ran.target, "horizontal", label="target"),
        ),
        x=Axis("step"),
        y=Axis("training loss", "nats", scale="log"),
        caption=f"Digits, MLP 64-32-10, batch {BATCH}, mean of {len(scored)} seeds; bands run from the smallest to the "
        f"largest. The target is {ran.target:.3g}.",
    )
    yield Finding(
        CLAIM.judge(ran.ratio, numbers=numbers),
        figures=(digits, *exact.figures, course()),
        readings=(
            reading(
                lab,
                "training loss at the best rate",
                np.stack(list(ran.losses.values())),
                {"rule": list(ran.losses), "step": ran.at, "seed": scored},
                unit="nats",
            ),
            reading(
                lab,
                "steps to the target",
                np.stack(list(ran.needed.values())),
                {"rule": list(ran.needed), "seed": scored},
                unit="steps",
            ),
        ),
        sentences=(*sentences, *ran.late, *edge_warnings(ran.rate, RATES)),
    )
