"""OPT5: Adam's first steps without bias correction."""

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, within
from thalweg.figures import Axis
from thalweg.optim import Adam, Rule, follow
from thalweg.population import Batch, Problem
from thalweg.population.derivatives import gradient
from thalweg.randomness import BatchOrder
from thalweg.results import spread
from thalweg.statistics import POSITIVE, interval
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers.tasks import digits_mlp
from thalweg.studies.study import decides
from thalweg.training import Recipe

PREDICTED = (1 - 0.9) / (1 - 0.999) ** 0.5
CLAIM = Claim(
    id="OPT5",
    statement="On digits, Adam's first step is (1 - beta1) / sqrt(1 - beta2) = 3.16 times too long without bias "
    "correction.",
    lecture="Adam uses bias-corrected moments.",
    rule=within(3.13, 3.20),
    unit="first step without / with correction",
    budget={"step": 1},
    bounds=POSITIVE,
)
LR, BATCH, STEPS = 1e-3, 128, 60
ARMS: dict[str, Rule] = {"with correction": Adam(LR), "without correction": Adam(LR, bias_correction=False)}
FIRST, LAST = 11, 50  # steps over which the early losses are compared
NEGLIGIBLE = 1e-4  # gradients so small that eps = 1e-8 could matter are left out


def first_step_ratios(problem: Problem, seeds: list[int]) -> NDArray[np.float64]:
    """Median over parameters of the first step's length without / with correction: (seeds,)."""
    start = problem.initialize(seeds)
    rows = BatchOrder(seeds, len(problem.data.train), BATCH).indices(0)
    first = gradient(problem, start, Batch.of(problem.data.train, rows))
    moved = {name: follow(rule, lambda _: first, start.theta, 1).diff(dim=0)[0].abs() for name, rule in ARMS.items()}
    ratio = moved["without correction"] / moved["with correction"]
    return torch.where(first.abs() > NEGLIGIBLE, ratio, torch.nan).nanmedian(1).values.double().numpy()


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """The first step of both, and the loss over the first few dozen."""
    problem, seeds = digits_mlp(lab), lab.seeds(quick=6, full=20)
    ratios = interval.mean(first_step_ratios(problem, seeds.scored), bounds=CLAIM.bounds)
    recipes = {name: Recipe(rule, STEPS, BATCH, evaluate=0) for name, rule in ARMS.items()}
    losses = [run.history.batch_loss for run in lab.train(problem, recipes, seeds.scored).values()]
    each = [values[FIRST - 1 : LAST].mean(0) for values in losses]
    early, gap = dict(zip(ARMS, (float(values.mean()) for values in each), strict=True)), interval.difference(*each)
    clear = "lower without" if gap.low > 0 else "lower with" if gap.high < 0 else "no clear difference"
    reading = lab.reading(
        "training loss of the batch",
        losses,
        {"rule": list(ARMS), "step": np.arange(1.0, STEPS + 1), "seed": seeds.scored},
        unit="nats",
    )
    return lab.finding(
        ratios,
        figures=spread(
            reading,
            x="step",
            over="seed",
            title="The first steps of Adam",
            caption=f"Digits, MLP 64-32-10, lr {LR:g}.",
            y_axis=Axis("training loss of the batch", "nats"),
        ),
        readings=reading,
        ran={"step": STEPS},
        numbers={
            "predicted": PREDICTED,
            f"loss over steps {FIRST} to {LAST}": early,
            "loss with minus without, 95 % interval": [gap.low, gap.high],
        },
        sentences=(
            f"The first step was {ratios.estimate:.4f} times as long without correction; {PREDICTED:.4f} is predicted.",
            f"Over steps {FIRST} to {LAST} the loss was {early['with correction']:.3f} with and "
            f"{early['without correction']:.3f} without correction: {clear}.",
        ),
    )
