"""LAN1: the plane of a run's first two principal components, beside that of a random walk."""

from collections.abc import Iterator

import numpy as np

from thalweg import landscape
from thalweg.claims import Claim, Finding, greater
from thalweg.data import digits
from thalweg.figures import Axis, Bars, Figure
from thalweg.nets import mlp
from thalweg.optim import Momentum
from thalweg.population import Problem
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train

CLAIM = Claim(
    id="LAN1",
    statement="The first two principal components of a training run hold more of its path than those of a random walk "
    "seen at the same steps.",
    lecture="PCA projections show the dominant directions of variation.",
    rule=greater(0),
    unit="share of the squared distance from the mean along two components, run minus random walk",
    corrected="A random walk in many dimensions has 76 % there too, so a large share alone says nothing; and the plane "
    "is not where the run was: its loss and that of its projection differ.",
)
STEPS, SNAPSHOTS = 300, 40
SIZE, TOLERANCE = 51, 0.01  # of maps


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on LAN1."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=5, full=20))
    problem = Problem(lambda: mlp(64, 32, 32, 10, activation="tanh"), digits(), device=lab.device)
    recipe = Recipe(Momentum(0.1), STEPS, 128, evaluate=0, snapshot=SNAPSHOTS)
    run = train(problem, recipe, seeds, progress=labelled(lab, "LAN1, training"))
    planes = [
        landscape.trajectory_plane(
            problem, run, members=member, resolution=2 if member else SIZE, tolerance=None if member else TOLERANCE
        )
        for member in range(len(seeds))
    ]
    shares = np.array([plane["share"][:2] for plane in planes])
    null = landscape.random_walk_shares(planes[0].reading.coordinate("step"))[:2]
    gaps = np.array([np.abs(plane["gap"]).max() for plane in planes])
    verdict = CLAIM.judge(
        interval.mean(shares.sum(1) - null.sum()),
        numbers={
            "shares of the run": shares.mean(0).tolist(),
            "shares of a random walk": null.tolist(),
            "largest difference of loss between run and projection, mean over runs, nats": float(gaps.mean()),
        },
    )
    random = landscape.plane(
        problem,
        run.final[0],
        resolution=SIZE,
        tolerance=TOLERANCE,
        seed=lab.seed,
        progress=labelled(lab, "LAN1, random plane"),
    )
    line = landscape.line(problem, run.final[0], to=run.final[1], resolution=41)
    straight = Figure.of(
        "On the line to another run",
        line.figure().panels[0].marks,
        Axis("from one run (0) to another (1)"),
        Axis("loss", "nats"),
    )
    bars = Figure.of(
        "Shares of two components",
        (
            Bars(("run", "random walk"), np.array([shares[:, 0].mean(), null[0]]), label="first"),
            Bars(("run", "random walk"), np.array([shares[:, 1].mean(), null[1]]), label="second"),
        ),
        y=Axis("share of the squared distance"),
    )
    yield Finding(
        verdict,
        figures=(
            planes[0].figure(),
            Figure.row((planes[0].gap_figure(), bars), title="What the plane shows of the run"),
            Figure.row((random.figure(), straight), title="Two other views of where it ended"),
            random.relief(),
        ),
        readings=(
            reading(lab, "share of a component", shares, {"seed": seeds, "component": [1, 2]}),
            reading(lab, "largest gap", gaps, {"seed": seeds}, unit="nats"),
        ),
        sentences=(
            f"Two components hold {shares.sum(1).mean():.0%} of the path; of a random walk they hold {null.sum():.0%}.",
            f"The losses of a run and of its projection on the plane are {gaps.mean():.2g} nats apart where they "
            f"differ most, in the mean over {len(seeds)} runs.",
        ),
    )
