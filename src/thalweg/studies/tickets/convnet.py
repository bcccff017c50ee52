"""LTH5: what late rewinding gives where training is unstable at first, in a convnet at a large rate.

The MLP of the other claims is the wrong place to look: it is stable enough at the start that rewinding to any k gains
less than a point. A small rate is the control: there late rewinding must gain nothing.
That the gain is the same from 5 and from 20 % of training on was expected, and is a part that is shown.

Normalization layers are evaluated with the running statistics they were trained to: the rate falls to 0, and those
recomputed on training examples gave the same accuracies to a twentieth of a point.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from thalweg import nets, tickets
from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Figure
from thalweg.population import Problem
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.studies.tickets.setting import ALL, MARGIN, UNIT, UNKNOWN, recipe_of, signals
from thalweg.tickets import Policy, RewindingMap

STEPS, LARGE, SMALL = 300, 1.0, 0.1  # steps, and the two rates
FEWER = 100  # steps at quick scale, which shows how it is done and decides nothing
POINTS = (0, 0.05, 0.2)  # of rewinding, as shares of the steps
KEEP = {"hidden": 0.5, "output": 0.75}  # of what remains, at every level
POLICY = Policy(never=("convolution1.weight",))
LEVEL = 2  # that is scored, fixed before anything was trained
GAIN, MATCHES, NOT_AT_0 = "late beats original", "late matches", "original is worse"
MASK, WEIGHTS = "late beats shuffled", "late beats the original's mask"
SATURATED, STABLE = "later than 5 %", "small rate"
CLAIM = Claim(
    id="LTH5",
    statement="In a 1-D convnet with batch normalization trained on MNIST-1D at a large rate (300 steps, rate 1), "
    "tickets at 74 % sparsity match the dense network if rewound to 20 % of training, and are worse than it if rewound "
    "to step 0.",
    lecture="Rewound to k = 0 tickets work up to about 90 % sparsity, to k = 0.1 T up to 98 %, to k = 0.5 T at almost "
    "any.",
    rule=every_part(),
    unit=UNIT,
    budget={"seeds": 5, "steps": STEPS},
    corrected="The table has no source; its 98 % and its k = 0.5 T are not trained here. What late rewinding gains, it "
    "gains where training is unstable at its start, as at a large rate, and more from 20 % of training than from 5 %; "
    "at a tenth of that rate nothing is gained.",
    parts=(
        Part(GAIN, "Rewinding to 20 % is better than to step 0.", greater(0), UNIT, bounds=ALL),
        Part(MATCHES, "Rewound to 20 %, tickets are at most half a point worse.", greater(-MARGIN), UNIT, bounds=ALL),
        Part(NOT_AT_0, "Rewound to step 0, they are worse than the dense network.", less(0), UNIT, bounds=ALL),
        Part(MASK, "Late weights alone are not it.", greater(0), UNIT, decides=False, bounds=ALL),
        Part(WEIGHTS, "The mask found late matters, too.", greater(0), UNIT, decides=False, bounds=ALL),
        Part(
            SATURATED,
            "Rewinding to 20 % is within 2 points of rewinding to 5 %.",
            within(-2, 2),
            UNIT,
            decides=False,
            bounds=ALL,
        ),
        Part(
            STABLE,
            "At a small rate, rewinding to 20 % is within 2 points of step 0.",
            within(-2, 2),
            UNIT,
            decides=False,
            bounds=ALL,
        ),
    ),
)


def problem_of(lab: Lab, scale: float = 1.0) -> Problem:
    """The convnet on MNIST-1D; `scale` is where the scales of its normalization layers start."""
    return Problem(partial(nets.signal_convnet, scale=scale), signals(), device=lab.device)


def points_better(found: RewindingMap, rewinding: int, than: str | int, level: int = LEVEL) -> Interval:
    """By how many points of accuracy tickets are better over paired seeds."""
    return interval.mean(100 * found.gains(rewinding, level, than), bounds=ALL)


def chains(lab: Lab, rate: float, seeds: list[int]) -> RewindingMap:
    """Tickets from every point at one rate, with controls at the scored level where the rate is large."""
    main, full = rate == LARGE, lab.scale == "full"
    return tickets.rewinding_map(
        problem_of(lab),
        recipe_of(STEPS if full else FEWER, rate),
        POINTS if main and full else (POINTS[0], POINTS[-1]),
        seeds=seeds,
        rounds=1 if not full else 3 if main else LEVEL,
        keep=KEEP,
        margin=MARGIN / 100,
        policy=POLICY,
        controls=dict.fromkeys(("shuffled", "earliest mask"), (LEVEL,)) if main and full else {},
        progress=lab.labelled(f"rewinding at rate {rate:g}"),
        workers=lab.workers,
    )


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Rewind tickets to three steps, at a large and at a small rate."""
    seeds = lab.seeds(quick=2, full=8).scored
    return found(lab, chains(lab, LARGE, seeds), chains(lab, SMALL, seeds) if lab.scale == "full" else None)


def found(lab: Lab, large: RewindingMap, small: RewindingMap | None) -> Finding:
    """What was rewound late beside what was not and beside the dense network, with the controls there are."""
    full, count = small is not None, len(large["dense"])
    maps = {LARGE: large} | ({SMALL: small} if small else {})
    late, densities = large.steps[-1], large.reading.coordinate("density")
    steps, level = large.dense.recipe.steps, min(LEVEL, len(densities))
    parts = {
        GAIN: points_better(large, late, 0, level),
        MATCHES: points_better(large, late, "dense", level),
        NOT_AT_0: points_better(large, 0, "dense", level),
        MASK: points_better(large, late, "shuffled") if full else UNKNOWN,
        WEIGHTS: points_better(large, late, "earliest mask") if full else UNKNOWN,
        SATURATED: points_better(large, late, large.steps[1]) if full else UNKNOWN,
        STABLE: points_better(small, late, 0) if small else UNKNOWN,
    }
    panels = [one.figure().with_marks(title=f"rate {rate:g}") for rate, one in maps.items()]
    sentences = [
        f"At rate {LARGE:g} and {1 - densities[level - 1]:.0%} sparsity, tickets rewound to step {late} are "
        f"{parts[GAIN]} points better than those rewound to step 0, {parts[MATCHES]} better than the dense network, "
        f"and those rewound to step 0 {parts[NOT_AT_0]}.",
        f"Trained are steps {', '.join(map(str, large.steps))} of {steps} at "
        f"{', '.join(f'{1 - density:.0%}' for density in densities)} sparsity; of the lecture's table 98 % and "
        "k = 0.5 T are not.",
    ]
    if full:
        sentences += [
            f"Rewinding to step {late} instead of {large.steps[1]} gains {parts[SATURATED]} points. On the weights of "
            f"step {late} the ticket is {parts[MASK]} points better than its mask shuffled, and {parts[WEIGHTS]} than "
            "the mask found with step 0.",
            f"At rate {SMALL:g} rewinding to step {late} gains {parts[STABLE]} points.",
        ]
    return lab.finding(
        parts=parts,
        ran={"seeds": count, "steps": steps},
        figures=Figure.row(
            panels,
            title="What late rewinding gives",
            caption=f"MNIST-1D, 1-D convnet of four layers with batch normalization, {steps} steps; means over "
            f"{count} seeds with pointwise 95 % intervals, of 10,000 test examples. Controls are on the weights "
            f"of step {late}.",
        ),
        readings=[replace(one.reading, name=f"rewinding at rate {rate:g}") for rate, one in maps.items()],
        sentences=sentences,
        numbers={
            "largest matching sparsity": {
                f"rate {rate:g}, step {step}": float(reached)
                for rate, one in maps.items()
                for step, reached in zip(one.steps, one["matching sparsity"], strict=True)
            },
            "better than dense, points": {
                f"rate {rate:g}, step {step}": (100 * (table - one["dense"]).mean(1)).tolist()
                for rate, one in maps.items()
                for step, table in zip(one.steps, one[one.metric], strict=True)
            },
            "dense accuracy": {f"rate {rate:g}": float(np.mean(one["dense"])) for rate, one in maps.items()},
        },
    )
