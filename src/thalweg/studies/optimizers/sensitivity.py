"""OPT1: how much a wrong learning rate costs, rule by rule (Wortsman et al., 2023, arXiv:2309.14322)."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, Part, greater
from thalweg.figures import Axis, Bars, Figure
from thalweg.optim import SGD, Adam, AdamW, Momentum, RMSprop, Rule
from thalweg.results import spread
from thalweg.results.summary import spanned
from thalweg.statistics import POSITIVE, Interval, interval, own_choices
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers.tasks import digits_mlp
from thalweg.studies.study import decides
from thalweg.training import Recipe
from thalweg.tuning import edge_warnings
from thalweg.tuning import sensitivity as of_window

Array = NDArray[np.float64]
# In nats: the probability of the right digit, as a geometric mean, is 2 % lower. Less is no reason to choose a rule.
RULE = greater(0, worth=0.02)
UNIT = "nats of training loss lost by a rate drawn from the range, {} minus Adam"
CLAIM = Claim(
    id="OPT1",
    statement="On digits an MLP trained by plain SGD is more sensitive to the learning rate than one trained by Adam, "
    "over three decades around each rule's best rate.",
    lecture="SGD is simple but sensitive to the learning rate.",
    rule=RULE,
    unit=UNIT.format("SGD"),
    budget={"steps": 80},
    parts=(
        Part(
            "momentum",
            "With momentum SGD is more sensitive than Adam, too.",
            RULE,
            UNIT.format("momentum"),
            decides=False,
        ),
    ),
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


def sensitivity(losses: Array, centers: NDArray[np.int64]) -> Array:
    """Mean over the window of rates around the center of each seed, minus the least in it: (seeds,)."""
    first = np.clip(centers - WINDOW, 0, len(losses) - 2 * WINDOW - 1)
    window = first + np.arange(2 * WINDOW + 1)[:, None]
    return of_window(np.take_along_axis(losses, window, axis=0))


def off_center(best: Mapping[str, Array]) -> Iterator[str]:
    """A sentence for each rule some of whose best rates are too near an end of the grid for a window around them."""
    low, high = RATES[[WINDOW, -1 - WINDOW]]
    for name, rates in best.items():
        if count := int(((rates < low) | (rates > high)).sum()):
            yield (
                f"The range of {name} is not centered on its best rate for {count} of {len(rates)} seeds: the grid "
                "ends too early there, and the range with it."
            )


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Every rule at every rate; the best rate of a scored seed is that of a tuning seed of its own."""
    seeds, steps = lab.seeds(quick=6, full=16, tuning=1), lab.pick(**STEPS)
    rates = sweep.values(RATES.tolist())
    recipes = {name: Recipe(rule(lr=rates), steps, BATCH, evaluate=0) for name, rule in RULES.items()}
    scored, found, fixed, best = {}, {}, {}, {}
    for name, run in lab.train(digits_mlp(lab), recipes, seeds.own).items():
        before, after = run.history["train_loss"][0], run.history["train_loss"][-1]
        losses = np.fmin(after, before).reshape(len(RATES), -1)  # a run that diverged counts as the loss before
        tuned, scored[name] = seeds.apart(losses)
        centers = own_choices(tuned)
        found[name], best[name] = sensitivity(scored[name], centers), RATES[centers]
        fixed[name] = float(sensitivity(scored[name], np.full(len(seeds), FIXED)).mean())
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
        caption=f"Mean over the rates within {decades:.0f} decades centered on the rule's best rate, which each seed "
        "has from another of its own, minus the least of them; 95 % intervals over seeds.",
    )
    mean = {name: float(values.mean()) for name, values in found.items()}
    plain, beside = (interval.difference(found[name], found["Adam"]) for name in ("SGD", "momentum"))
    return lab.finding(
        plain,
        parts={"momentum": beside},
        figures=(curves, bars),
        readings=reading,
        ran={"steps": steps},
        numbers={
            "sensitivity": mean,
            f"sensitivity over {same}, the same rates for every rule": fixed,
            "best rate of each seed": {name: rates.tolist() for name, rates in best.items()},
            "steps": steps,
        },
        sentences=(
            f"A rate drawn from the {decades:.0f} decades around the best one ({spanned(best['SGD'])} for plain SGD, "
            f"{spanned(best['Adam'])} for Adam, by seed) costs plain SGD {mean['SGD']:.3f} nats and Adam "
            f"{mean['Adam']:.3f}.",
            f"It costs {mean['momentum']:.3f} with momentum: {than_adam(beside, plain)}.",
            f"Over one range for both, {same}, it costs SGD {fixed['SGD']:.3f} and Adam {fixed['Adam']:.3f}.",
            *off_center(best),
            *edge_warnings(best, RATES),
        ),
    )


def than_adam(difference: Interval, plain: Interval) -> str:
    """What an interval of the sensitivity of momentum minus Adam's says, in words, beside that of plain SGD."""
    if difference.low > 0:
        return f"more than Adam, by {difference}"
    if difference.high < 0:
        alone = ", so it is plain SGD that is sensitive" if plain.low > 0 else ""
        return f"less than Adam, the difference being {difference}{alone}"
    return f"no clear difference from Adam, {difference}"
