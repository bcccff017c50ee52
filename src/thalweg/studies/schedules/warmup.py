"""SCH1: how large a learning rate a transformer takes, with warmup and without.

A rate trains if the loss ends clearly below what the frequencies of bytes alone give, which is where a transformer that
took too large a rate stays. (A share of the loss before training would say less: that one hangs on the random logits.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import results, sweep
from thalweg.optim import Adam
from thalweg.population import Batch, Problem
from thalweg.population.derivatives import gradient
from thalweg.results import Axis, Figure, Line
from thalweg.schedules import Warmup
from thalweg.studies import interval
from thalweg.studies.claim import Claim, greater
from thalweg.studies.record import reading
from thalweg.studies.schedules.language import BETA2, factors_of_two, language_model
from thalweg.studies.schedules.trainable import Largest, frequencies_alone, gain, largest
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.studies.study import Context, Finding
from thalweg.training import Recipe, train

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
DEPTH, BATCH = 2, 8
WARMUP = round(2 / (1 - BETA2))  # steps (Ma & Yarats, 2021, arXiv:1910.04209)
BARE, WARM = "without warmup", "with warmup"
ARMS = {BARE: 0, WARM: WARMUP}
FRACTION = 0.95  # of the loss by frequencies alone; a run trains if it ends below
MEASURED = 128  # windows that the loss is measured on
EARLY = LATE = 4  # steps at either end whose gradients are compared,
WINDOWS = 32  # on so many windows


@dataclass(frozen=True)
class Found:
    """What one placement of the normalization gave.

    Args:
        losses: at the end, by arm (rates, seeds).
        limit: the largest rate that trains, by arm.
        at: the steps of the gradients (steps,).
        norms: of the gradients, without warmup (steps, seeds).
    """

    losses: Mapping[str, Array]
    limit: Mapping[str, Largest]
    at: NDArray[np.int64]
    norms: Array

    @property
    def gain(self) -> interval.Interval:
        """The largest rate with / without warmup."""
        return gain(self.limit[WARM], self.limit[BARE])

    @property
    def fall(self) -> interval.Interval:
        """The norm of the gradient at the first steps / at the last."""
        return interval.ratio(self.norms[:EARLY].mean(0), self.norms[-LATE:].mean(0))


def final_losses(
    context: Context, problem: Problem, rates: Array, steps: int, seeds: list[int], label: str
) -> dict[str, Array]:
    """Training loss after `steps`, at most what it was before the first, by arm: (rates, seeds)."""
    rule = Adam(sweep.values(rates.tolist()), beta2=BETA2)
    schedule = Warmup(sweep.values(list(ARMS.values())))
    recipe = Recipe(rule, steps, BATCH, schedule, evaluate=0, evaluate_train_on=MEASURED)
    history = train(problem, recipe, seeds, watch=labelled(context, label)).history
    before, after = history["train_loss"][0], history["train_loss"][-1]
    final = np.fmin(after, before).reshape(len(rates), len(ARMS), len(seeds))
    return {arm: final[:, i] for i, arm in enumerate(ARMS)}


def gradient_norms(
    context: Context, problem: Problem, lr: float, steps: int, seeds: list[int], label: str
) -> tuple[NDArray[np.int64], Array]:
    """Steps, and the norm of the gradient there without warmup, always on the same windows: (steps, seeds)."""
    at = (*range(EARLY), *range(EARLY, steps - LATE, steps // 8), *range(steps - LATE + 1, steps + 1))
    recipe = Recipe(Adam(lr, beta2=BETA2), steps, BATCH, evaluate=0, snapshot=at, evaluate_train_on=1)
    run = train(problem, recipe, seeds, watch=labelled(context, label))
    batch = Batch.of(problem.data.train, torch.arange(WINDOWS)[None])
    norms = [gradient(problem, kept, batch).norm(dim=1).double().numpy() for kept in run.snapshots.values()]
    return np.array(at), np.stack(norms)


def decide(context: Context) -> Iterator[Finding]:
    """The finding on SCH1."""
    _, seeds = tuning_and_scored(context, 0, context.pick(quick=5, full=12))
    steps = context.pick(quick=150, full=400)
    rates = factors_of_two(*context.pick(quick=(-7, -4), full=(-10, -2)))
    problems = {  # the quick scale has no time for both
        f"{norm}-norm": language_model(context, DEPTH, 1, norm=norm)
        for norm in context.pick(quick=("post",), full=("post", "pre"))
    }
    bytes_to_predict: Any = problems["post-norm"].data.train.take(torch.arange(len(problems["post-norm"].data.train)))[
        1
    ]
    alone = frequencies_alone(bytes_to_predict)
    found: dict[str, Found] = {}
    for norm, problem in problems.items():
        losses = final_losses(context, problem, rates, steps, seeds, f"SCH1, {norm}")
        limit = {arm: largest(rates, each, FRACTION * alone) for arm, each in losses.items()}
        norms = gradient_norms(context, problem, float(rates[0]), steps, seeds, f"SCH1, gradients, {norm}")
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
                context,
                "final training loss",
                np.array([list(one.losses.values()) for one in found.values()]),
                {"norm": list(found), "arm": list(ARMS), "rate": rates, "seed": seeds},
                unit="nats a byte",
                notes=("A run that diverged, or ended above the loss before training, counts as that.",),
            ),
            reading(
                context,
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
        Figure(
            norm,
            (
                *(
                    Line(rates, each.mean(1), low=each.min(1), high=each.max(1), label=arm)
                    for arm, each in one.losses.items()
                ),
                results.Rule(FRACTION * alone, "horizontal", label="trains below"),
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
    return Figure(
        "The gradient without warmup",
        tuple(lines),
        x=Axis("step"),
        y=Axis("norm of the gradient", scale="log"),
        caption=f"On the same {WINDOWS} windows at every step, at a rate of {rate:.2g}; mean of the seeds, bands from "
        "the smallest to the largest.",
    )
