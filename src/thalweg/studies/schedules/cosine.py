"""SCH2: the final loss of cosine, linear, constant and WSD schedules, each at its best peak rate."""

import numpy as np

from thalweg.claims import Claim, Finding
from thalweg.figures import Axis, Figure, Line
from thalweg.results import spread
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.schedules.comparison import BUDGET, DATA, OVER, RULE, UNIT, Comparison
from thalweg.studies.schedules.language import RESTARTS, shapes

CLAIM = Claim(
    id="SCH2",
    statement=f"A byte-level transformer of one block on {DATA} ends with a lower held-out loss on a cosine than on a "
    "constant rate, each after the same warmup and at its best peak rate for the budget.",
    lecture="Cosine annealing decays smoothly and helps the final loss; restarts are possible.",
    rule=RULE,
    unit=f"{UNIT}, constant minus cosine, {OVER}",
    budget=BUDGET,
    corrected="After a warmup the cosine's progress is (t - warmup) / (total - warmup); counted from the start, the "
    "rate drops at once when the warmup hands over.",
)
NAMES = ("constant", "cosine", "linear", "WSD")


def finding(lab: Lab, comparison: Comparison) -> Finding:
    """The finding on SCH2."""
    steps, scored = comparison.steps, comparison.seeds.scored
    final = {name: comparison.windows[name][-1] for name in (*NAMES, RESTARTS)}
    ahead = {name: interval.crossed(losses - final["cosine"]) for name, losses in final.items() if name != "cosine"}
    by_seed = {name: losses.mean(1) for name, losses in final.items()}
    mean = {name: float(losses.mean()) for name, losses in final.items()}
    alone = interval.difference(by_seed["constant"], by_seed["cosine"])
    first, *others = sorted(NAMES, key=mean.__getitem__)
    behind = ", ".join(f"{name} {mean[name]:.3f}" for name in others)
    end = lab.reading(
        "held-out loss at the end",
        list(by_seed.values()),
        {"schedule": list(by_seed), "seed": scored},
        unit=UNIT,
        notes=(f"{RESTARTS} runs at the cosine's best peak rates, the others each at their own.",),
    )
    tuned, tuning_figure = comparison.tuning(lab, NAMES)
    return lab.finding(
        ahead["constant"],
        claim=CLAIM,
        ran={"steps": steps},
        numbers={
            "steps": steps,
            "best peak rate, geometric mean": {name: comparison.typical[name] for name in NAMES},
            "held-out loss, nats a byte": mean,
            "ahead of cosine or behind (-), 95 % interval": {
                name: [-found.high, -found.low] for name, found in ahead.items() if name != "constant"
            },
            "constant minus cosine on these very windows, 95 % interval over seeds": [alone.low, alone.high],
        },
        figures=(_courses(lab, comparison), tuning_figure),
        readings=(end, *tuned),
        sentences=(
            f"After {steps} steps, each at its best peak rates, {first} has the lowest loss, {mean[first]:.3f} nats a "
            f"byte; {behind}.",
            f"Constant minus cosine is {ahead['constant']} nats a byte, over {len(scored)} seeds and "
            f"{final['cosine'].shape[1]} windows.",
            f"With restarts, at the cosine's peak rates, the loss ends at {mean[RESTARTS]:.3f}.",
            *comparison.at_edges(NAMES),
        ),
    )


def _courses(lab: Lab, comparison: Comparison) -> Figure:
    """The multiplier of every schedule and the loss it leads to."""
    steps, names = comparison.steps, [*NAMES, RESTARTS]
    at, schedules = np.arange(1.0, steps + 1), shapes(steps)
    lines = [Line(at, np.broadcast_to(schedules[name](at, steps), at.shape), label=name) for name in names]
    multiplier = Figure.of("The schedules", lines, x=Axis("step"), y=Axis("rate / peak rate"))
    course = lab.reading(
        "held-out loss",
        [comparison.course[name][1:] for name in names],
        {"schedule": names, "step": comparison.at[1:], "seed": comparison.seeds.scored},
        unit=UNIT,
    )
    rates = ", ".join(f"{name} {comparison.typical[name]:.2g}" for name in NAMES)
    return Figure.row(
        [multiplier, spread(course, x="step", over="seed", title="The loss")],
        title="Schedules, and the loss they lead to",
        caption=f"{comparison.setting}; each seed at the peak rates that were best on its tuning seed, on average "
        f"{rates}, with restarts as the cosine. Mean of {len(comparison.seeds)} seeds; bands run from the smallest to "
        "the largest. Only the ends are compared.",
    )
