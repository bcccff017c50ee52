"""LAN1: the plane of a run's first two principal components, beside a random walk's and a straight descent's."""

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import landscape
from thalweg.claims import Claim, Finding, Part, every_part, greater
from thalweg.data import digits
from thalweg.figures import Axis, Bars, Figure
from thalweg.nets import mlp
from thalweg.optim import Momentum, Rule
from thalweg.population import Problem
from thalweg.statistics import CORRELATION, interval
from thalweg.studies.lab import Lab
from thalweg.studies.landscape import straight
from thalweg.studies.study import decides
from thalweg.training import Recipe, Run

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN1",
    statement="On digits (MLP 64-32-32-10 with tanh, momentum) the first two principal components of a training run "
    "hold more of its path than those of a random walk seen at the same steps, and the second holds more of what the "
    "first leaves than in a descent without structure: straight ahead, with noise equal in all directions. So its way "
    "bends, or its noise has preferred directions.",
    lecture="PCA projections show the dominant directions of variation.",
    rule=every_part(),
    unit="shares of the squared distance from the mean along components, run minus control",
    budget={"steps": 300},
    corrected="A random walk in many dimensions has 76 % there too, and a straight way down all of it, on a loss "
    "without dominant directions as well: a large share alone says nothing of the loss. And the plane is not where the "
    "run was: its loss and that of its projection differ.",
    parts=(
        Part(
            "random walk",
            "Two components hold more of the path than of a random walk's.",
            greater(0),
            "share of the squared distance from the mean along two components, run minus random walk",
            bounds=CORRELATION,
        ),
        Part(
            "descent without structure",
            "Of what the first component leaves, the second holds more than in a straight descent whose moves are as "
            "long, with noise equal in all directions.",
            greater(0, worth=0.05),  # random walks are up to 0.02 away from their control
            "second component's share of what the first leaves, run minus descent without structure",
            bounds=CORRELATION,
        ),
    ),
)
RECIPE = Recipe(Momentum(0.1), steps=300, batch_size=128, evaluate=0, snapshot=40)
SIZE, TOLERANCE = 51, 0.01  # of maps


def task(lab: Lab) -> Problem:
    """Digits on a smooth network."""
    return Problem(lambda: mlp(64, 32, 32, 10, activation="tanh"), digits(), device=lab.device)


def shares_of(run: Run) -> tuple[Array, Array]:
    """Of two components in every member's path, and in the nearest descent without structure: (members, 2) each."""
    rule, steps = run.recipe.optimizer, np.array(list(run.snapshots))
    assert isinstance(rule, Rule)
    points = torch.stack([population.theta for population in run.snapshots.values()], dim=1).double().cpu().numpy()
    moves = [path @ path.T for path in np.diff(points, axis=1)]
    cosines = straight.cosines_of_noise(rule, steps)
    controls = [straight.straight(one, cosines) for one in moves]
    own, control = (np.array([straight.shares(one)[:2] for one in many]) for many in (moves, controls))
    return own, control


def of_the_rest(shares: Array) -> Array:
    """The share that the second component has of what the first leaves: (...,)."""
    return shares[..., 1] / (1 - shares[..., 0])


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """The shares that two components have of each run's path, beside those of the two controls."""
    seeds, problem = lab.seeds(quick=5, full=20).scored, task(lab)
    run = lab.train(problem, RECIPE, seeds)
    first = landscape.trajectory_plane(problem, run, resolution=SIZE, tolerance=TOLERANCE)
    others = [landscape.trajectory_plane(problem, run, members=each, resolution=2) for each in range(1, len(seeds))]
    gaps = np.array([np.abs(plane["gap"]).max() for plane in (first, *others)])
    walk = first["random walk share"][:2]
    shares, control = shares_of(run)
    random = landscape.plane(problem, run.final[0], resolution=SIZE, tolerance=TOLERANCE, seed=lab.seed)
    line = landscape.line(problem, run.final[0], to=run.final[1], resolution=41).figure().panels[0]
    between = Axis("from one run (0) to another (1)"), Axis("loss", "nats")
    kinds = {"run": shares.mean(0), "random walk": walk, "descent without structure": control.mean(0)}
    bars = [
        Bars(tuple(kinds), np.array([each[number] for each in kinds.values()]), label=label)
        for number, label in enumerate(("first", "second"))
    ]
    bars = Figure.of("Shares of two components", bars, y=Axis("share of the squared distance"))
    rest = {"run": of_the_rest(shares), "descent without structure": of_the_rest(control)}
    coordinates = {"seed": seeds, "component": [1, 2]}
    return lab.finding(
        parts={
            "random walk": interval.mean(shares.sum(1) - walk.sum(), bounds=CORRELATION),
            "descent without structure": interval.mean(np.subtract(*rest.values()), bounds=CORRELATION),
        },
        numbers={
            **{f"shares of the {kind}": each.tolist() for kind, each in kinds.items()},
            **{f"second's share of what the first leaves, {kind}": float(each.mean()) for kind, each in rest.items()},
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
            lab.reading("share of a component", shares, coordinates),
            lab.reading("share of a component, descent without structure", control, coordinates),
            lab.reading("largest gap", gaps, {"seed": seeds}, unit="nats"),
        ),
        sentences=(
            f"Two components hold {shares.sum(1).mean():.0%} of the path; of a random walk they hold {walk.sum():.0%}, "
            f"of a descent without structure whose moves are as long {control.sum(1).mean():.0%}.",
            f"Of what the first leaves, the second holds {rest['run'].mean():.0%}, and in a descent without structure "
            f"{rest['descent without structure'].mean():.0%}. More than there means that the way bends, or that its "
            "noise has preferred directions; the shares do not say which.",
            f"The losses of a run and of its projection on the plane are {gaps.mean():.2g} nats apart where they "
            f"differ most, in the mean over {len(seeds)} runs.",
        ),
    )
