"""OPT5: Adam's first steps without bias correction."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, within
from thalweg.figures import Axis, Figure, Line
from thalweg.optim import Adam, StepHyperparameters, Updater
from thalweg.population import Batch, Problem
from thalweg.population.derivatives import gradient
from thalweg.randomness import BatchOrder
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers.problems import digits_mlp
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train

PREDICTED = (1 - 0.9) / (1 - 0.999) ** 0.5
CLAIM = Claim(
    id="OPT5",
    statement="Without bias correction Adam's first step is (1 - beta1) / sqrt(1 - beta2) = 3.16 times too long.",
    lecture="Adam uses bias-corrected moments.",
    rule=within(3.13, 3.20),
    unit="first step without / with correction",
)
LR, BATCH = 1e-3, 128
FIRST, LAST = 11, 50  # steps over which the early losses are compared
NEGLIGIBLE = 1e-4  # gradients so small that eps = 1e-8 could matter are left out


def first_step_ratios(problem: Problem, seeds: list[int]) -> NDArray[np.float64]:
    """Median over parameters of the first step's length without / with correction: (seeds,)."""
    start = problem.initialize(seeds)
    order = BatchOrder(seeds, len(problem.data.train), BATCH)
    slope = gradient(problem, start, Batch.of(problem.data.train, order.indices(0)))
    moved = {}
    for corrected in (True, False):
        rule = Adam(LR, bias_correction=corrected)
        theta = start.theta.clone()
        Updater(rule, theta).step(slope.clone(), StepHyperparameters(rule.hyper_parameters() | {"schedule": 1.0}, 1))
        moved[corrected] = (theta - start.theta).abs()
    ratio = torch.where(slope.abs() > NEGLIGIBLE, moved[False] / moved[True], torch.nan)
    return ratio.nanmedian(dim=1).values.double().numpy()


def compared(gap: interval.Interval) -> str:
    """What an interval on the loss with minus without correction says."""
    if gap.low > 0:
        return "lower without"
    return "lower with" if gap.high < 0 else "no clear difference"


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on OPT5."""
    problem = digits_mlp(lab)
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=6, full=20))
    ratios = first_step_ratios(problem, seeds)
    steps = 60
    losses = {
        name: train(
            problem,
            Recipe(Adam(LR, bias_correction=corrected), steps, BATCH, evaluate=0),
            seeds,
            progress=labelled(lab, f"OPT5, {name}"),
        ).history.batch_loss
        for name, corrected in (("with correction", True), ("without correction", False))
    }
    each = {name: values[FIRST - 1 : LAST].mean(0) for name, values in losses.items()}
    early = {name: float(values.mean()) for name, values in each.items()}
    gap = interval.difference(each["with correction"], each["without correction"])
    verdict = CLAIM.judge(
        interval.mean(ratios),
        numbers={
            "predicted": PREDICTED,
            f"loss over steps {FIRST} to {LAST}": early,
            "loss with minus without, 95 % interval": [gap.low, gap.high],
        },
    )
    at = np.arange(1.0, steps + 1)
    figure = Figure.of(
        "The first steps of Adam",
        tuple(
            Line(at, values.mean(1), low=values.min(1), high=values.max(1), label=name)
            for name, values in losses.items()
        ),
        x=Axis("step"),
        y=Axis("training loss of the batch", "nats"),
        caption=f"Digits, MLP 64-32-10, lr {LR:g}, {len(seeds)} seeds; bands run from the smallest to the largest.",
    )
    yield Finding(
        verdict,
        figures=(figure,),
        readings=(
            reading(
                lab,
                "training loss of the batch",
                np.stack(list(losses.values())),
                {"rule": list(losses), "step": at, "seed": seeds},
                unit="nats",
            ),
        ),
        sentences=(
            f"The first step was {ratios.mean():.4f} times as long without correction; {PREDICTED:.4f} is predicted.",
            f"Over steps {FIRST} to {LAST} the loss was {early['with correction']:.3f} with and "
            f"{early['without correction']:.3f} without correction: {compared(gap)}.",
        ),
    )
