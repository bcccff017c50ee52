"""SCH1: how large a learning rate a transformer takes, with warmup and without.

A rate trains if the loss ends clearly below what the frequencies of bytes alone give, which is where a transformer that
took too large a rate stays. (A share of the loss before training would say less: that one hangs on the random logits.)
"""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.evaluation import Sample
from thalweg.figures import Axis, Figure, ReferenceLine
from thalweg.optim import Adam
from thalweg.population import Batch, Problem
from thalweg.population.derivatives import gradient
from thalweg.results import Reading, spread
from thalweg.schedules import Warmup
from thalweg.statistics import POSITIVE, interval
from thalweg.studies.lab import Lab
from thalweg.studies.schedules.language import BETA2, factors_of_two, language_model
from thalweg.studies.study import decides
from thalweg.training import Recipe
from thalweg.tuning import largest_rate

Array = NDArray[np.float64]
STEPS, RATES = {"quick": 150, "full": 400}, {"quick": (-7, -4), "full": (-7, -1)}  # rates as powers of 2
DEPTH, BATCH = 2, 8
WARMUP = round(2 / (1 - BETA2))  # steps (Ma & Yarats, 2021, arXiv:1910.04209)
BARE, WARM = "without warmup", "with warmup"
ARMS = {BARE: 0, WARM: WARMUP}
FRACTION = 0.95  # of the loss by frequencies alone: a run trains if it ends below; one that does not stays near 0.98
MEASURED = Sample("train", 128)  # windows that the loss is measured on
WINDOWS = Sample("train", 32)  # those of the gradients,
EARLY = LATE = 4  # which are compared at as many steps at either end
CLAIM = Claim(
    id="SCH1",
    statement="With linear warmup a small post-norm transformer trains at larger learning rates than without.",
    lecture="Warmup is critical for transformers: large early gradients destabilize.",
    rule=greater(1, worth=1.25),
    unit="largest rate that trains, with / without warmup, over seeds of one post-norm byte-level transformer",
    budget={"steps": 150},
    bounds=POSITIVE,
    corrected="Steps are counted from 1, for from 0 the first step has rate 0: its batch moves nothing and only enters "
    "Adam's moments. And the rate holds after the warmup, of which the lecture says nothing: base_lr min(1, t / "
    "warmup).",
)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """The largest rate that trains in both arms; where there is time, also of a pre-norm transformer."""
    seeds, steps = lab.seeds(quick=5, full=12).scored, lab.pick(**STEPS)
    rates = factors_of_two(*lab.pick(**RATES))
    placements = [f"{norm}-norm" for norm in lab.pick(quick=("post",), full=("post", "pre"))]
    problems = {name: language_model(lab, DEPTH, 1, norm=name.removesuffix("-norm")) for name in placements}
    alone = frequencies_alone(problems["post-norm"])
    at = (*range(EARLY), *range(EARLY, steps - LATE, steps // 8), *range(steps - LATE + 1, steps + 1))
    losses = lab.reading(
        "final training loss",
        [final_losses(lab, problem, rates, steps, seeds, name) for name, problem in problems.items()],
        {"norm": placements, "arm": list(ARMS), "rate": rates, "seed": seeds},
        unit="nats a byte",
        notes=("A run that diverged, or ended above the loss before training, counts as that.",),
    )
    norms = lab.reading(
        "gradient norm without warmup",
        [gradient_norms(lab, problem, rates[0], at, seeds, name) for name, problem in problems.items()],
        {"norm": placements, "step": at, "seed": seeds},
    )
    limits = {
        name: {arm: largest_rate(rates, one, FRACTION * alone) for arm, one in zip(ARMS, each, strict=True)}
        for name, each in zip(placements, losses["final training loss"], strict=True)
    }
    gains = {name: each[WARM].over(each[BARE]) for name, each in limits.items()}
    falls = {
        name: interval.ratio(each[:EARLY].mean(0), each[-LATE:].mean(0))
        for name, each in zip(placements, norms["gradient norm without warmup"], strict=True)
    }
    gradients = spread(
        norms,
        x="step",
        over="seed",
        title="The gradient without warmup",
        caption=f"On the same {WINDOWS.count} windows at every step, at a rate of {rates[0]:.2g}.",
        y_axis=Axis("norm of the gradient", scale="log"),
    )
    return lab.finding(
        gains["post-norm"],
        ran={"steps": steps},
        numbers={
            "largest rate that trains": {
                name: {arm: limit.typical for arm, limit in each.items()} for name, each in limits.items()
            },
            "with / without warmup, 95 % interval": {name: [each.low, each.high] for name, each in gains.items()},
            "gradient norm early / late, without warmup, 95 % interval": {
                name: [each.low, each.high] for name, each in falls.items()
            },
            "a run trains below, nats a byte": FRACTION * alone,
            "frequencies of bytes alone, nats a byte": alone,
            "steps": steps,
            "steps of warmup": WARMUP,
        },
        figures=(_losses(losses, steps, alone), gradients),
        readings=(losses, norms),
        sentences=[
            sentence
            for name, each in limits.items()
            for sentence in (
                f"With {name} the largest rate that trains is {each[WARM].typical:.2g} with {WARMUP} steps of warmup "
                f"and {each[BARE].typical:.2g} without: {gains[name]} times as large.",
                f"With {name}, at a rate of {rates[0]:.2g} without warmup, the gradient of the first {EARLY} steps is "
                f"{falls[name]} times as large as that of the last {LATE}.",
                *(f"With {name} {arm} {words}" for arm, limit in each.items() for words in limit.warnings),
            )
        ],
    )


def frequencies_alone(problem: Problem) -> float:
    """The loss of a model that knows how frequent each byte is and reads nothing: their entropy, in nats."""
    _, targets = problem.data.train.take(torch.arange(len(problem.data.train)))
    counts = torch.bincount(cast("torch.Tensor", targets).flatten())
    return float(torch.distributions.Categorical(counts.double()).entropy())


def final_losses(lab: Lab, problem: Problem, rates: Array, steps: int, seeds: list[int], label: str) -> Array:
    """Training loss after `steps`, at most what it was before the first: (arms, rates, seeds)."""
    rule, schedule = Adam(sweep.values(rates.tolist()), beta2=BETA2), Warmup(sweep.values(list(ARMS.values())))
    recipe = Recipe(rule, steps, BATCH, schedule, evaluate=0, evaluate_train_on=MEASURED)
    losses = lab.train(problem, recipe, seeds, label).history["train_loss"]
    return np.fmin(losses[-1], losses[0]).reshape(len(rates), len(ARMS), len(seeds)).swapaxes(0, 1)


def gradient_norms(lab: Lab, problem: Problem, rate: float, at: tuple[int, ...], seeds: list[int], label: str) -> Array:
    """The norm of the gradient at some steps without warmup, always on the same windows: (steps, seeds)."""
    recipe = Recipe(Adam(rate, beta2=BETA2), at[-1], BATCH, evaluate=0, snapshot=at, evaluate_train_on=WINDOWS)
    run = lab.train(problem, recipe, seeds, f"gradients, {label}")
    windows = WINDOWS.draw(problem)
    batch = Batch.range(windows.examples, 0, len(windows))
    return np.stack([gradient(problem, run.snapshots[step], batch).norm(dim=1).double().numpy() for step in at])


def _losses(losses: Reading, steps: int, alone: float) -> Figure:
    """The final loss against the rate, a panel for each placement."""
    axes = {"x_axis": Axis("learning rate", scale="log"), "y_axis": Axis("training loss", "nats a byte")}
    below = ReferenceLine(FRACTION * alone, "horizontal", label="trains below")
    placements = losses.coordinate("norm").tolist()
    panels = [spread(losses.select("norm", name), x="rate", over="seed", title=name, **axes) for name in placements]
    return Figure.row(
        [panel.with_marks(below) for panel in panels],
        title="Final training loss against the learning rate",
        caption=f"Byte-level transformer of {DEPTH} blocks, Adam, {steps} steps of which {WARMUP} are warmup. "
        f"{panels[0].caption} Frequencies of bytes alone give {alone:.2f}; a run trains if it ends below "
        f"{FRACTION:g} of that.",
    )
