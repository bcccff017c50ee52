"""SCH1: how large a learning rate a transformer takes, with warmup and without.

A rate trains if the loss ends clearly below what the frequencies of bytes alone give, which is where a transformer that
took too large a rate stays. (A share of the loss before training would say less: that one hangs on the random logits.)
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, greater
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.studies.lab import Lab
from thalweg.studies.readings import reading
from thalweg.studies.schedules.language import factors_of_two, language_model
from thalweg.studies.schedules.trainable import frequencies_alone, largest
from thalweg.studies.schedules.warmup_runs import (
    ARMS,
    BARE,
    DEPTH,
    EARLY,
    FRACTION,
    LATE,
    WARM,
    WARMUP,
    WINDOWS,
    Found,
    bytes_to_predict,
    final_losses,
    gradient_norms,
)
from thalweg.studies.seeds import tuning_and_scored

Array = NDArray[np.float64]
CLAIM = Claim(
    id="SCH1",
    statement="With linear warmup a small post-norm transformer trains at larger learning rates than without.",
    lecture="Warmup is critical for transformers: large early gradients destabilize.",
    rule=greater(1, worth=1.25),
    unit="largest rate that trains, with / without warmup, over seeds of one post-norm byte-level transformer",
    corrected="Steps are counted from 1, for from 0 the first step has rate 0 and its batch is thrown away; and the "
    "rate holds after the warmup, of which the lecture says nothing: base_lr min(1, t / warmup).",
)


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on SCH1."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=5, full=12))
    steps = lab.pick(quick=150, full=400)
    rates = factors_of_two(*lab.pick(quick=(-7, -4), full=(-7, -1)))
    problems = {  # the quick scale has no time for both
        f"{norm}-norm": language_model(lab, DEPTH, 1, norm=norm)
        for norm in lab.pick(quick=("post",), full=("post", "pre"))
    }
    alone = frequencies_alone(bytes_to_predict(problems["post-norm"]))
    found: dict[str, Found] = {}
    for norm, problem in problems.items():
        losses = final_losses(lab, problem, rates, steps, seeds, f"SCH1, {norm}")
        limit = {arm: largest(rates, each, FRACTION * alone) for arm, each in losses.items()}
        norms = gradient_norms(lab, problem, float(rates[0]), steps, seeds, f"SCH1, gradients, {norm}")
        found[norm] = Found(losses, limit, *norms)
    verdict = CLAIM.judge(
        found["post-norm"].gain,
        numbers={
            "largest rate that trains": {
                norm: {arm: each.typical for arm, each in one.limit.items()} for norm, one in found.items()
            },
            "with / without warmup, 95 % interval": {
                norm: [one.gain.low, one.gain.high] for norm, one in found.items()
            },
            "gradient norm early / late, without warmup, 95 % interval": {
                norm: [one.fall.low, one.fall.high] for norm, one in found.items()
            },
            "a run trains below, nats a byte": FRACTION * alone,
            "frequencies of bytes alone, nats a byte": alone,
            "steps": steps,
            "steps of warmup": WARMUP,
        },
    )
    yield Finding(
        verdict,
        figures=(_losses(rates, found, steps, alone), _gradients(found, float(rates[0]))),
        readings=(
            reading(
                lab,
                "final training loss",
                np.array([list(one.losses.values()) for one in found.values()]),
                {"norm": list(found), "arm": list(ARMS), "rate": rates, "seed": seeds},
                unit="nats a byte",
                notes=("A run that diverged, or ended above the loss before training, counts as that.",),
            ),
            reading(
                lab,
                "gradient norm without warmup",
                np.stack([one.norms for one in found.values()]),
                {"norm": list(found), "step": found["post-norm"].at, "seed": seeds},
            ),
        ),
        sentences=tuple(sentence for norm, one in found.items() for sentence in sentences(norm, one, rates)),
    )


def sentences(norm: str, found: Found, rates: Array) -> Iterator[str]:
    """What was found with the normalization there, and where the grid of rates ended too early."""
    yield (
        f"With {norm} the largest rate that trains is {found.limit[WARM].typical:.2g} with {WARMUP} steps of warmup "
        f"and {found.limit[BARE].typical:.2g} without: {found.gain} times as large."
    )
    yield (
        f"With {norm}, at a rate of {rates[0]:.2g} without warmup, the gradient of the first {EARLY} steps is "
        f"{found.fall} times as long as that of the last {LATE}."
    )
    for arm, limit in found.limit.items():
        for reached, which in (
            (limit.beyond, f"the largest rate tried, {rates[-1]:.2g}, still"),
            (limit.none, "no rate"),
        ):
            if reached.any():
                count = f"{reached.sum()} of {len(reached)} seeds"
                yield f"With {norm} {arm} {which} trains for {count}: the grid ends too early there."


def _losses(rates: Array, found: Mapping[str, Found], steps: int, alone: float) -> Figure:
    """The final loss against the rate, a panel for each placement."""
    panels = [
        Figure.of(
            norm,
            (
                *(
                    Line(rates, each.mean(1), low=each.min(1), high=each.max(1), label=arm)
                    for arm, each in one.losses.items()
                ),
                ReferenceLine(FRACTION * alone, "horizontal", label="trains below"),
            ),
            x=Axis("learning rate", scale="log"),
            y=Axis("training loss", "nats a byte"),
        )
        for norm, one in found.items()
    ]
    seeds = found["post-norm"].norms.shape[1]
    return Figure.row(
        panels,
        title="Final training loss against the learning rate",
        caption=f"Byte-level transformer of {DEPTH} blocks, Adam, {steps} steps of which {WARMUP} are warmup; mean of "
        f"{seeds} seeds, bands from the smallest to the largest. Frequencies of bytes alone give {alone:.2f}; a run "
        f"trains if it ends below {FRACTION:g} of that.",
    )


def _gradients(found: Mapping[str, Found], rate: float) -> Figure:
    """The norm of the gradient over the steps."""
    lines = [
        Line(one.at.astype(float), one.norms.mean(1), low=one.norms.min(1), high=one.norms.max(1), label=norm)
        for norm, one in found.items()
    ]
    return Figure.of(
        "The gradient without warmup",
        tuple(lines),
        x=Axis("step"),
        y=Axis("norm of the gradient", scale="log"),
        caption=f"On the same {WINDOWS} windows at every step, at a rate of {rate:.2g}; mean of the seeds, bands from "
        "the smallest to the largest.",
    )
