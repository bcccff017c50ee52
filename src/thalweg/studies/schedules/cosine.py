"""SCH2: the final loss of cosine, linear, constant and WSD schedules, each at its best peak rate."""

import numpy as np

from thalweg.claims import Claim, Finding, greater
from thalweg.figures import Axis, Figure, Line
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import edge_warnings, reading
from thalweg.studies.schedules.language import RESTARTS, Comparison, tuning_figure

CLAIM = Claim(
    id="SCH2",
    statement="A language model ends with a lower held-out loss on a cosine than on a constant rate, each after the "
    "same warmup and at its best peak rate for the budget.",
    lecture="Cosine annealing decays smoothly and helps the final loss; restarts are possible.",
    rule=greater(0, worth=0.01),
    unit="nats a byte of one held-out text, constant minus cosine, over seeds and windows of one small transformer",
    corrected="After a warmup the cosine's progress is (t - warmup) / (total - warmup); counted from the start, the "
    "rate drops at once when the warmup hands over.",
)
NAMES = ("constant", "cosine", "linear", "WSD")


def decide(lab: Lab, comparison: Comparison) -> Finding:
    """The finding on SCH2."""
    steps = comparison.steps
    final = {name: comparison.by_window(name, steps) for name in (*NAMES, RESTARTS)}
    ahead = {name: interval.crossed(final[name] - final["cosine"]) for name in final if name != "cosine"}
    by_seed = {name: losses.mean(1) for name, losses in final.items()}
    mean = {name: float(losses.mean()) for name, losses in by_seed.items()}
    best = {name: comparison.best[name] for name in NAMES}
    seeds_alone = interval.difference(by_seed["constant"], by_seed["cosine"])
    verdict = CLAIM.judge(
        ahead["constant"],
        numbers={
            "steps": steps,
            "best peak rate": best,
            "held-out loss, nats a byte": mean,
            "ahead of cosine or behind (-), 95 % interval": {
                name: [-found.high, -found.low] for name, found in ahead.items() if name != "constant"
            },
            "constant minus cosine on these very windows, 95 % interval over seeds": [
                seeds_alone.low,
                seeds_alone.high,
            ],
        },
    )
    first, *others = sorted(NAMES, key=mean.__getitem__)
    yielded = ", ".join(f"{name} {mean[name]:.3f}" for name in others)
    return Finding(
        verdict,
        figures=(_courses(comparison), tuning_figure(comparison, NAMES)),
        readings=(
            reading(
                lab,
                "held-out loss at the end",
                np.stack(list(by_seed.values())),
                {"schedule": list(by_seed), "seed": comparison.scored},
                unit="nats a byte",
                notes=(f"{RESTARTS} runs at the cosine's best peak rate, the others each at its own.",),
            ),
            reading(
                lab,
                "held-out loss against the peak rate",
                np.stack([comparison.tuned[name] for name in NAMES]),
                {"schedule": list(NAMES), "rate": comparison.rates, "seed": comparison.tuning},
                unit="nats a byte",
                notes=("On the tuning seeds; infinite where the run diverged.",),
            ),
        ),
        sentences=(
            f"After {steps} steps, each at its best peak rate, {first} has the lowest loss, {mean[first]:.3f} nats a "
            f"byte; {yielded}.",
            f"Constant minus cosine is {ahead['constant']} nats a byte, over {len(comparison.scored)} seeds and "
            f"{final['cosine'].shape[1]} windows.",
            f"With restarts, at the cosine's peak rate, the loss ends at {mean[RESTARTS]:.3f}.",
            *edge_warnings(best, comparison.rates),
        ),
    )


def _courses(comparison: Comparison) -> Figure:
    """The multiplier of every schedule and the loss it leads to."""
    at = np.arange(1.0, comparison.steps + 1)
    names = (*NAMES, RESTARTS)
    schedules = {name: comparison.runs[name].recipe.schedule for name in names}
    multiplier = Figure.of(
        "The schedules",
        tuple(
            Line(at, np.broadcast_to(schedule(at, comparison.steps), at.shape), label=name)
            for name, schedule in schedules.items()
        ),
        x=Axis("step"),
        y=Axis("rate / peak rate"),
    )
    lines = []
    for name in names:
        steps, losses = comparison.curve(name)
        lines.append(
            Line(steps[1:].astype(float), losses[1:].mean(1), low=losses[1:].min(1), high=losses[1:].max(1), label=name)
        )
    loss = Figure.of("The loss", tuple(lines), x=Axis("step"), y=Axis("held-out loss", "nats a byte"))
    rates = ", ".join(f"{name} {comparison.best[name]:.2g}" for name in NAMES)
    return Figure.row(
        [multiplier, loss],
        title="Schedules, and the loss they lead to",
        caption=f"{comparison.setting}; peak rates: {rates}, with restarts as the cosine. Mean of "
        f"{len(comparison.scored)} seeds; bands run from the smallest to the largest. Only the ends are compared.",
    )
