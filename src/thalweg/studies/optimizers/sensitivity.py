"""OPT1: how much a wrong learning rate costs, rule by rule (Wortsman et al., 2023, arXiv:2309.14322)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.figures import Axis, Bars, Figure, Line
from thalweg.optim import SGD, Adam, AdamW, Momentum, RMSprop, Rule
from thalweg.population import Problem
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers.problems import digits_mlp
from thalweg.studies.readings import edge_warnings, reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train
from thalweg.tuning import sensitivity as of_window

CLAIM = Claim(
    id="OPT1",
    statement="SGD is more sensitive to its learning rate than Adam, over three decades around each one's best rate.",
    lecture="SGD is simple but sensitive to the learning rate.",
    rule=greater(0, worth=0.02),
    unit="nats of training loss lost by a rate drawn from the range, SGD minus Adam",
)
RATES = np.logspace(-5, 2, 15)  # half decades
WINDOW = 3  # half decades on each side of the best rate
FIXED = 6  # the grid's index of the middle, 1e-2, of the paper's own range: 3e-4 to 3e-1
BATCH = 128
RULES: dict[str, type[Rule]] = {
    "SGD": SGD,
    "momentum": Momentum,
    "RMSprop": RMSprop,
    "Adam": Adam,
    "AdamW": AdamW,
}


def final_losses(
    lab: Lab, problem: Problem, rule: type[Rule], steps: int, seeds: list[int], label: str
) -> NDArray[np.float64]:
    """Training loss after `steps`, at most what it was before the first: (rates, seeds); diverged counts as that."""
    recipe = Recipe(rule(lr=sweep.values(RATES.tolist())), steps, BATCH, evaluate=0)
    history = train(problem, recipe, seeds, progress=labelled(lab, label)).history
    before, after = history["train_loss"][0], history["train_loss"][-1]
    return np.fmin(after, before).reshape(len(RATES), len(seeds))


def sensitivity(losses: NDArray[np.float64], centre: int) -> NDArray[np.float64]:
    """Mean over the window of rates around `centre`, minus the best in it: (seeds,)."""
    first = min(max(centre - WINDOW, 0), len(losses) - 2 * WINDOW - 1)
    return of_window(losses[first : first + 2 * WINDOW + 1])


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on OPT1."""
    tuning, scored = tuning_and_scored(lab, lab.pick(quick=2, full=4), lab.pick(quick=8, full=16))
    steps = lab.pick(quick=150, full=600)
    problem = digits_mlp(lab)
    found: dict[str, NDArray[np.float64]] = {}
    fixed: dict[str, float] = {}
    best: dict[str, float] = {}
    kept, lines = [], []
    for name, rule in RULES.items():
        losses = final_losses(lab, problem, rule, steps, tuning + scored, f"OPT1, {name}")
        centre = int(losses[:, : len(tuning)].mean(1).argmin())
        held_out = losses[:, len(tuning) :]
        found[name], best[name] = sensitivity(held_out, centre), float(RATES[centre])
        fixed[name] = float(sensitivity(held_out, FIXED).mean())
        kept.append(held_out)
        lines.append(Line(RATES, held_out.mean(1), low=held_out.min(1), high=held_out.max(1), label=name))
    same = f"{RATES[FIXED - WINDOW]:.1g} to {RATES[FIXED + WINDOW]:.1g}"
    decades = np.log10(RATES[2 * WINDOW] / RATES[0])
    verdict = CLAIM.judge(
        interval.difference(found["SGD"], found["Adam"]),
        numbers={
            "sensitivity": {name: float(values.mean()) for name, values in found.items()},
            f"sensitivity over {same}, the same rates for every rule": fixed,
            "best rate": best,
            "steps": steps,
        },
    )
    curves = Figure.of(
        "Final training loss against the learning rate",
        tuple(lines),
        x=Axis("learning rate", scale="log"),
        y=Axis("training loss", "nats"),
        caption=f"Digits, MLP 64-32-10, batch {BATCH}, {steps} steps, {len(scored)} seeds; diverged runs count as the "
        "loss before training. Bands run from the smallest to the largest.",
    )
    intervals = [interval.mean(values) for values in found.values()]
    bars = Figure.of(
        "Sensitivity to the learning rate",
        (
            Bars(
                list(found),
                np.array([each.estimate for each in intervals]),
                low=np.array([each.low for each in intervals]),
                high=np.array([each.high for each in intervals]),
            ),
        ),
        x=Axis("update rule"),
        y=Axis("loss lost by a random rate", "nats"),
        caption=f"Mean over the rates within {decades:.0f} decades centered on each rule's best rate on other seeds, "
        "minus the least of them; 95 % intervals over seeds.",
    )
    sgd, adam = found["SGD"].mean(), found["Adam"].mean()
    yield Finding(
        verdict,
        figures=(curves, bars),
        readings=(
            reading(
                lab,
                "final training loss",
                np.stack(kept),
                {"rule": list(RULES), "rate": RATES, "seed": scored},
                unit="nats",
                notes=("A run that diverged counts as the loss before training.",),
            ),
        ),
        sentences=(
            f"A rate drawn from the {decades:.0f} decades around the best one ({best['SGD']:.2g} for SGD, "
            f"{best['Adam']:.2g} for Adam) costs SGD {sgd:.3f} nats and Adam {adam:.3f}.",
            f"Over one range for both, {same}, it costs SGD {fixed['SGD']:.3f} and Adam {fixed['Adam']:.3f}.",
            *edge_warnings(best, RATES),
        ),
    )
