"""LTH7: whether a small transformer needs late rewinding. Large models are not tested: no laptop trains them.

The text is Python's own documentation as `data.text` has it, by bytes and with every paragraph once, where the design
had it reduced to 49 characters: it needs no second corpus, and held-out text is not quoted from the training part. It
is another one for every version of Python, so its hash is part of what was found.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from thalweg import optim, schedules, tickets
from thalweg.claims import Claim, Finding, Part, greater
from thalweg.evaluation import Sample
from thalweg.figures import Figure
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.schedules.language import language_model
from thalweg.studies.study import decides
from thalweg.studies.tickets.setting import UNKNOWN
from thalweg.tickets import Policy, RewindingMap
from thalweg.training import Recipe

DEPTH, WIDTH, HEADS, HELD_OUT = 2, 32, 4, 1_000  # and windows of text to test on
RATE, LARGER = 5e-3, 6  # and how much larger the rate is without warmup
STEPS, BATCH, WARMUP = 400, 32, 0.05
LATE, KEEP, LEVEL = 0.1, 0.4, 2  # k as a share of the steps; of what remains, at every level; the level that is scored
POLICY = Policy(kinds=("hidden",))  # attention and MLP; embeddings, norms and the output layer stay
WORTH = 0.02
UNIT = "nats of held-out loss, k = 0 minus k = 10 %"
MASK, WITHOUT = "shuffled masks are worse", "no warmup, large rate"
CLAIM = Claim(
    id="LTH7",
    statement="A character transformer (2 layers, width 32, 400 steps with warmup on Python's documentation) needs "
    "late rewinding: at 16 % density tickets rewound to 10 % of training are better than those rewound to step 0.",
    lecture="The lottery ticket hypothesis often fails for large models; rewound to about 1,000 steps it works for "
    "BERT and GPT-2.",
    rule=greater(0, worth=WORTH),
    unit=UNIT,
    budget={"steps": STEPS, "seeds": 5},
    corrected="This small transformer does not need it, and large ones are not tested here. BERT's tickets sit at the "
    "pretrained weights (Chen et al., 2020, arXiv:2007.12223), so there is no reset to a step of pretraining, and of "
    "GPT-2 there is no such result.",
    parts=(
        Part(MASK, "The mask shuffled has a larger loss.", greater(0), "nats of held-out loss", decides=False),
        Part(WITHOUT, f"So it does at {LARGER} times the rate.", greater(0, worth=WORTH), UNIT, decides=False),
    ),
)


def recipe_of(steps: int, rate: float = RATE, warmup: float = WARMUP) -> Recipe:
    """AdamW with warmup, a cosine to a tenth, and clipping."""
    return Recipe(
        optim.AdamW(rate, weight_decay=0.01),
        steps,
        BATCH,
        schedules.Cosine(warmup=round(warmup * steps), final=0.1),
        clip_norm=1.0,
        evaluate=0,
        evaluate_train_on=Sample("train", 500),
    )


def chains(lab: Lab, recipe: Recipe, seeds: list[int], rounds: int, *, shuffled: bool) -> RewindingMap:
    """Tickets rewound to step 0 and to 10 %, with shuffled masks or without."""
    return tickets.rewinding_map(
        language_model(lab, DEPTH, HELD_OUT, width=WIDTH, heads=HEADS),
        recipe,
        (0, LATE),
        seeds=seeds,
        rounds=rounds,
        keep=KEEP,
        policy=POLICY,
        margin=WORTH,
        metric="test_loss",
        controls={"shuffled": (rounds,) if rounds < LEVEL else (LEVEL,)} if shuffled else (),
        progress=lab.labelled("rewinding a transformer"),
        workers=lab.workers,
    )


def gained(found: RewindingMap, level: int) -> Interval:
    """loss(k = 0) - loss(k = 10 %) of the tickets of a level, over paired seeds."""
    return found.better(found.steps[-1], level, 0)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Rewind tickets of a transformer to step 0 and to 10 % of training, with warmup and, at full scale, without."""
    seeds, (steps, levels) = lab.seeds(quick=2, full=5).scored, lab.pick(quick=(50, 1), full=(STEPS, 3))
    maps = {"with warmup": chains(lab, recipe_of(steps), seeds, levels, shuffled=True)}
    if lab.scale == "full":
        without = recipe_of(steps, LARGER * RATE, 0.0)
        maps["no warmup"] = chains(lab, without, seeds, LEVEL, shuffled=False)
    return found(lab, maps, language_model(lab, DEPTH, HELD_OUT).data.notes[0])


def found(lab: Lab, maps: Mapping[str, RewindingMap], text: str) -> Finding:
    """Both rewinding points beside each other, with warmup and, where that was trained, without."""
    main, full = maps["with warmup"], "no warmup" in maps
    levels, count, steps = main["test_loss"].shape[1], len(main["dense"]), main.dense.recipe.steps
    scored = min(LEVEL, levels)
    late, densities = main.steps[-1], main.reading.coordinate("density")
    worse = np.concatenate([main.gains(step, scored, "shuffled") for step in (0, late)])
    parts = {
        MASK: interval.mean(worse.reshape(2, -1).min(0)),
        WITHOUT: gained(maps["no warmup"], LEVEL) if full else UNKNOWN,
    }
    gains = [gained(main, level) for level in range(1, levels + 1)]
    larger = f"Without warmup and at {LARGER} times the rate, late rewinding gains {parts[WITHOUT]} nats."
    panels = [one.figure().with_marks(title=name) for name, one in maps.items()]
    return lab.finding(
        gains[scored - 1],
        parts=parts,
        ran={"steps": steps, "seeds": count},
        figures=Figure.row(
            panels,
            title="Rewinding a small transformer",
            caption=f"Held-out loss in nats a byte, {text}. {DEPTH} layers of width {WIDTH}, AdamW, {steps} steps; "
            f"means over {count} seeds with pointwise 95 % intervals.",
        ),
        readings=[
            replace(one.reading, name=f"rewinding, {name}", notes=(*one.reading.notes, text))
            for name, one in maps.items()
        ],
        sentences=[
            f"At {densities[scored - 1]:.0%} density, being rewound to step {late} instead of 0 gains tickets "
            f"{gains[scored - 1]} nats of held-out loss, and having their masks instead of shuffled ones, where that "
            f"is less, {parts[MASK]}.",
            "Instead of dense networks, tickets rewound to step 0 gain "
            + ", ".join(f"{main.better(0, level)} at {densities[level - 1]:.1%}" for level in range(1, levels + 1))
            + ".",
            *([larger] if full else []),
        ],
        numbers={
            "text": text,
            "k = 0 minus k = 10 %, by density": {f"{d:.3f}": str(one) for d, one in zip(densities, gains, strict=True)},
            "dense loss": {name: float(one["dense"].mean()) for name, one in maps.items()},
        },
    )
