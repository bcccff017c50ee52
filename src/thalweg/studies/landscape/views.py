"""LAN1: the plane of a run's first two principal components, beside that of a random walk."""

import numpy as np

from thalweg import landscape
from thalweg.claims import Claim, Finding, greater
from thalweg.data import digits
from thalweg.figures import Axis, Bars, Figure
from thalweg.nets import mlp
from thalweg.optim import Momentum
from thalweg.population import Problem
from thalweg.statistics import CORRELATION, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

CLAIM = Claim(
    id="LAN1",
    statement="The first two principal components of a training run hold more of its path than those of a random walk "
    "seen at the same steps.",
    lecture="PCA projections show the dominant directions of variation.",
    rule=greater(0),
    unit="share of the squared distance from the mean along two components, run minus random walk",
    budget={"steps": 300},
    bounds=CORRELATION,
    corrected="A random walk in many dimensions has 76 % there too, so a large share alone says nothing; and the plane "
    "is not where the run was: its loss and that of its projection differ.",
)
RECIPE = Recipe(Momentum(0.1), steps=300, batch_size=128, evaluate=0, snapshot=40)
SIZE, TOLERANCE = 51, 0.01  # of maps


def task(lab: Lab) -> Problem:
    """Digits on a smooth network."""
    return Problem(lambda: mlp(64, 32, 32, 10, activation="tanh"), digits(), device=lab.device)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """The shares that two components have of each run's path, minus those of a random walk."""
    seeds, problem = lab.seeds(quick=5, full=20).scored, task(lab)
    run = lab.train(problem, RECIPE, seeds)
    first = landscape.trajectory_plane(problem, run, resolution=SIZE, tolerance=TOLERANCE)
    others = [landscape.trajectory_plane(problem, run, members=each, resolution=2) for each in range(1, len(seeds))]
    shares = np.array([plane["share"][:2] for plane in (first, *others)])
    gaps = np.array([np.abs(plane["gap"]).max() for plane in (first, *others)])
    null = first["random walk share"][:2]
    random = landscape.plane(problem, run.final[0], resolution=SIZE, tolerance=TOLERANCE, seed=lab.seed)
    line = landscape.line(problem, run.final[0], to=run.final[1], resolution=41).figure().panels[0]
    between = Axis("from one run (0) to another (1)"), Axis("loss", "nats")
    bars = [
        Bars(("run", "random walk"), np.array([shares[:, number].mean(), null[number]]), label=label)
        for number, label in enumerate(("first", "second"))
    ]
    bars = Figure.of("Shares of two components", bars, y=Axis("share of the squared distance"))
    return lab.finding(
        interval.mean(shares.sum(1) - null.sum(), bounds=CLAIM.bounds),
        numbers={
            "shares of the run": shares.mean(0).tolist(),
            "shares of a random walk": null.tolist(),
            "largest difference of loss between run and projection, mean over runs, nats": float(gaps.mean()),
        },
        ran={"steps": RECIPE.steps},
        figures=(
            first.figure(),
            Figure.row((first.gap_figure(), bars), title="What the plane shows of the run"),
            Figure.row(
                (random.figure(), Figure.of("On the line to another run", line.marks, *between)),
                title="Two other views of where it ended",
            ),
            random.relief(),
        ),
        readings=(
            lab.reading("share of a component", shares, {"seed": seeds, "component": [1, 2]}),
            lab.reading("largest gap", gaps, {"seed": seeds}, unit="nats"),
        ),
        sentences=(
            f"Two components hold {shares.sum(1).mean():.0%} of the path; of a random walk they hold {null.sum():.0%}.",
            f"The losses of a run and of its projection on the plane are {gaps.mean():.2g} nats apart where they "
            f"differ most, in the mean over {len(seeds)} runs.",
        ),
    )
