"""OPT1: how much a wrong learning rate costs, rule by rule (Wortsman et al., 2023, arXiv:2309.14322)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.figures import Axis, Bars, Figure
from thalweg.optim import SGD, Adam, AdamW, Momentum, RMSprop, Rule
from thalweg.results import spread
from thalweg.statistics import POSITIVE, interval
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers.tasks import digits_mlp
from thalweg.studies.study import decides
from thalweg.training import Recipe
from thalweg.tuning import edge_warnings
from thalweg.tuning import sensitivity as of_window

Array = NDArray[np.float64]
CLAIM = Claim(
    id="OPT1",
    statement="SGD is more sensitive to its learning rate than Adam, over three decades around each one's best rate.",
    lecture="SGD is simple but sensitive to the learning rate.",
    rule=greater(0, worth=0.02),
    unit="nats of training loss lost by a rate drawn from the range, SGD minus Adam",
    budget={"steps": 40},
)
RATES = np.logspace(-5, 2, 15)  # half decades
WINDOW = 3  # half decades on each side of the best rate
FIXED = 6  # the grid's index of the middle, 1e-2, of the paper's own range: 3e-4 to 3e-1
BATCH = 128
STEPS = {"quick": 150, "full": 600}
RULES: dict[str, Callable[..., Rule]] = {
    "SGD": SGD,
    "momentum": Momentum,
    "RMSprop": RMSprop,
    "Adam": Adam,
    "AdamW": AdamW,
}


def sensitivity(losses: Array, center: int) -> Array:
    """Mean over the window of rates around `center`, minus the best in it: (seeds,)."""
    first = min(max(center - WINDOW, 0), len(losses) - 2 * WINDOW - 1)
    return of_window(losses[first : first + 2 * WINDOW + 1])


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Every rule at every rate; its best rate is that of other seeds."""
    seeds = lab.seeds(quick=8, full=16, shared_tuning=lab.pick(quick=2, full=4))
    steps, tuning = lab.pick(**STEPS), len(seeds.shared_tuning)
    rates = sweep.values(RATES.tolist())
    recipes = {name: Recipe(rule(lr=rates), steps, BATCH, evaluate=0) for name, rule in RULES.items()}
    scored, found, fixed, best = {}, {}, {}, {}
    for name, run in lab.train(digits_mlp(lab), recipes, seeds.shared_tuning + seeds.scored).items():
        before, after = run.history["train_loss"][0], run.history["train_loss"][-1]
        losses = np.fmin(after, before).reshape(len(RATES), -1)  # a run that diverged counts as the loss before
        center = int(losses[:, :tuning].mean(1).argmin())
        scored[name] = losses[:, tuning:]
        found[name], best[name] = sensitivity(scored[name], center), float(RATES[center])
        fixed[name] = float(sensitivity(scored[name], FIXED).mean())
    same = f"{RATES[FIXED - WINDOW]:.1g} to {RATES[FIXED + WINDOW]:.1g}"
    decades = np.log10(RATES[2 * WINDOW] / RATES[0])
    reading = lab.reading(
        "final training loss",
        list(scored.values()),
        {"rule": list(RULES), "rate": RATES, "seed": seeds.scored},
        unit="nats",
        notes=("A run that diverged counts as the loss before training.",),
    )
    curves = spread(
        reading,
        x="rate",
        over="seed",
        title="Final training loss against the learning rate",
        caption=f"Digits, MLP 64-32-10, batch {BATCH}, {steps} steps; diverged runs count as the loss before training.",
        x_axis=Axis("learning rate", scale="log"),
        y_axis=Axis("training loss", "nats"),
    )
    intervals = [interval.mean(values, bounds=POSITIVE) for values in found.values()]
    estimates, low, high = (np.array([getattr(one, end) for one in intervals]) for end in ("estimate", "low", "high"))
    bars = Figure.of(
        "Sensitivity to the learning rate",
        (Bars(list(found), estimates, low=low, high=high),),
        x=Axis("update rule"),
        y=Axis("loss lost by a random rate", "nats"),
        caption=f"Mean over the rates within {decades:.0f} decades centered on each rule's best rate on other seeds, "
        "minus the least of them; 95 % intervals over seeds.",
    )
    sgd, adam = found["SGD"].mean(), found["Adam"].mean()
    return lab.finding(
        interval.difference(found["SGD"], found["Adam"]),
        figures=(curves, bars),
        readings=reading,
        ran={"steps": steps},
        numbers={
            "sensitivity": {name: float(values.mean()) for name, values in found.items()},
            f"sensitivity over {same}, the same rates for every rule": fixed,
            "best rate": best,
            "steps": steps,
        },
        sentences=(
            f"A rate drawn from the {decades:.0f} decades around the best one ({best['SGD']:.2g} for SGD, "
            f"{best['Adam']:.2g} for Adam) costs SGD {sgd:.3f} nats and Adam {adam:.3f}.",
            f"Over one range for both, {same}, it costs SGD {fixed['SGD']:.3f} and Adam {fixed['Adam']:.3f}.",
            *edge_warnings(best, RATES),
        ),
    )
