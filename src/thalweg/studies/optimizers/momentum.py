"""OPT2: what momentum saves, on a quadratic with exact rates and on digits."""

from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg import sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.evaluation import Sample
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.optim import SGD, Adam, Momentum, Nesterov, RMSprop, Rule
from thalweg.population import Problem
from thalweg.results import spread
from thalweg.results.summary import spanned
from thalweg.statistics import POSITIVE
from thalweg.studies.lab import Lab, Seeds
from thalweg.studies.optimizers.tasks import digits_mlp
from thalweg.studies.study import decides
from thalweg.training import Recipe, infinite_if_diverged
from thalweg.tuning import Speedup, edge_warnings, modes, speedup
from thalweg.tuning import race as on_two_variables

CLAIM = Claim(
    id="OPT2",
    statement="On digits an MLP reaches the same training loss in fewer steps with momentum than with plain SGD, each "
    "at its best rate.",
    lecture="Momentum accelerates SGD.",
    rule=greater(1, worth=1.05),  # of 100 steps 5, which is as often as losses are looked at: less is not seen
    unit="steps of SGD / steps of momentum",
    budget={"steps": 100},
    bounds=POSITIVE,
)
BATCH = 128
RATES = np.logspace(-2.5, 1, 8)  # half decades
EVERY = 5
STEPS = {"quick": 150, "full": 600}
RULES: dict[str, Callable[..., Rule]] = {"SGD": SGD, "momentum": Momentum}
RACERS: dict[str, Rule] = {
    name: rule(1.0) for name, rule in (*RULES.items(), ("Nesterov", Nesterov), ("RMSprop", RMSprop), ("Adam", Adam))
}
CONDITION = 100.0  # of the quadratic, whose eigenvalues are from its inverse to 1
ROOT = CONDITION**0.5
OPTIMAL: dict[str, Rule] = {  # Polyak (1964)
    "SGD": SGD(2 / (1 + 1 / CONDITION)),
    "momentum": Momentum(4 / (1 + 1 / ROOT) ** 2, ((ROOT - 1) / (ROOT + 1)) ** 2),
}
PREDICTED = {"SGD": (CONDITION - 1) / (CONDITION + 1), "momentum": (ROOT - 1) / (ROOT + 1)}
FALLEN = 1e-6  # of the loss at the start


def race(lab: Lab, problem: Problem, batch: int | None, steps: int, seeds: Seeds) -> Speedup:
    """Both rules at all rates on the same problem, batches and seeds; every scored seed at the rates of its own."""
    at, rates, on = np.arange(0, steps + 1, EVERY), sweep.values(RATES.tolist()), Sample("train", 512)
    recipes = {
        name: Recipe(rule(lr=rates), steps, batch, evaluate=tuple(at.tolist()), evaluate_train_on=on)
        for name, rule in RULES.items()
    }
    runs = lab.train(problem, recipes, seeds.own, f"batch {batch or 'of all'}")
    shape = len(at), len(RATES), -1
    losses = {name: infinite_if_diverged(run.history["train_loss"]).reshape(shape) for name, run in runs.items()}
    apart = {name: seeds.apart(values) for name, values in losses.items()}
    tuned, scored = ({name: both[half] for name, both in apart.items()} for half in (0, 1))
    return speedup(at, tuned, scored, RATES)


def quadratic() -> tuple[dict[str, float], float, list[Figure]]:
    """Contraction a step by rule, SGD's steps to `FALLEN` of the loss for one of momentum's, and what shows it."""
    found, at = modes(OPTIMAL, np.logspace(-np.log10(CONDITION), 0, 100), 1999), np.arange(100.0)
    needed = {name: int((values <= FALLEN).argmax()) for name, values in found.losses.items()}
    fall = Figure.of(
        f"A quadratic of condition {CONDITION:g} at the optimal constants",
        [
            *(Line(at, values[:100], label=name) for name, values in found.losses.items()),
            *(Line(at, rate ** (2 * at), label=f"predicted slope, {name}") for name, rate in PREDICTED.items()),
        ],
        x=Axis("step"),
        y=Axis("loss / loss at the start", scale="log"),
        caption="Each mode contracts at the predicted rate in the long run; the loss falls with its square. SGD is "
        "slow where the eigenvalue is small, and a larger rate would diverge where it is large; momentum brings every "
        "mode down at one rate, swinging.",
    )
    return found.contraction, needed["SGD"] / needed["momentum"], [fall, found.figure(100)]


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """A race on digits; beside it the exact rates on a quadratic, and the ways on functions of two variables."""
    seeds, steps = lab.seeds(quick=6, full=15, tuning=2), lab.pick(**STEPS)
    problem, (contraction, times_faster, pictures) = digits_mlp(lab), quadratic()
    ran = race(lab, problem, BATCH, steps, seeds)
    numbers: dict[str, Any] = {
        "target loss of each seed": ran.target.tolist(),
        "best rate of each seed": {name: rates.tolist() for name, rates in ran.rate.items()},
        "seeds that never reached the target": ran.never,
        f"quadratic, condition {CONDITION:g}, steps to {FALLEN:g} of the loss, SGD / momentum": times_faster,
        "quadratic, contraction a step, measured": contraction,
        "quadratic, contraction a step, predicted": PREDICTED,
    }
    sentences = [
        f"On digits SGD needed {ran.needed['SGD'].mean():.0f} steps and momentum {ran.needed['momentum'].mean():.0f} "
        f"to reach a training loss of {spanned(ran.target)}, by seed.",
        f"On a quadratic of condition {CONDITION:.0f}, at the optimal constants, SGD takes {times_faster:.1f} times as "
        f"many steps as momentum to bring the loss to {FALLEN:g} of what it was; a step contracts by "
        f"{contraction['SGD']:.4f} and {contraction['momentum']:.4f}, and {PREDICTED['SGD']:.4f} and "
        f"{PREDICTED['momentum']:.4f} are predicted.",
    ]
    if lab.scale == "full":  # too slow for the quick scale
        whole = race(lab, problem, None, 200, Seeds(seeds.scored[:6], [], seeds.own_tuning[:6]))
        ratio = whole.ratio("SGD", "momentum")
        numbers["full batch, steps of SGD / steps of momentum, 95 % interval"] = [ratio.low, ratio.high]
        numbers["full batch, seeds that never reached the target"] = whole.never
        sentences.append(f"With the whole training set as batch SGD takes {ratio} times as many steps on digits.")
    labels = [f"{name}, lr {spanned(rates)}" for name, rates in ran.rate.items()]
    usual = float(np.median(ran.target))
    losses = lab.reading(
        "training loss at the best rate",
        list(ran.losses.values()),
        {"rule": labels, "step": ran.steps, "seed": seeds.scored},
        unit="nats",
    )
    figure = spread(
        losses,
        x="step",
        over="seed",
        title="Training loss at each rule's best rate",
        caption=f"Digits, MLP 64-32-10, batch {BATCH}; the rates and the target of each seed are "
        "from others of its own.",
        y_axis=Axis("training loss", "nats", scale="log"),
    ).with_marks(ReferenceLine(usual, "horizontal", label="median target"))
    coordinates = {"rule": list(ran.needed), "seed": seeds.scored}
    needed = lab.reading("steps to the target", list(ran.needed.values()), coordinates, unit="steps")
    return lab.finding(
        ran.ratio("SGD", "momentum"),
        figures=(figure, *pictures, on_two_variables(RACERS).figure()),
        readings=(losses, needed),
        ran={"steps": steps},
        numbers=numbers,
        sentences=(*sentences, *ran.late, *edge_warnings(ran.rate, RATES)),
    )
