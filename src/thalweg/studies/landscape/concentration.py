"""LAN7: in many dimensions volume lies at the surface, and random points are as far apart as each other."""

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from thalweg.claims import Claim, Finding, within
from thalweg.figures import Axis, Figure, Line, Scatter
from thalweg.nets import mlp
from thalweg.population import Population
from thalweg.randomness import generator
from thalweg.statistics import POSITIVE, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

CLAIM = Claim(
    id="LAN7",
    statement="The distances of random points differ ever less with the dimension, as sqrt(1/(2 d)) of their mean, and "
    "as exactly as the law of the chi distribution says.",
    lecture="In high dimension volume is at the surface, not at the center, and all points are equidistant.",
    rule=within(0.95, 1.05),
    unit="relative spread of distances / the exact law's, over dimensions",
    budget={"pairs": 1_000},
    bounds=POSITIVE,
    corrected="Only of points drawn at random, from a Gaussian or a ball: those of one run are not equidistant.",
)
DIMENSIONS = (2, 10, 100, 1_000, 10_000)
SHELL = 0.01  # of the radius
_AT_ONCE = 250  # pairs


def points(count: int, dimension: int, draw: torch.Generator) -> Tensor:
    """Random points: (count, dimension)."""
    return torch.randn(count, dimension, generator=draw)


def measured(dimension: int, pairs: int, seed: int) -> tuple[float, float]:
    """Relative spread of the distances of pairs, and the share of points of a ball in its shell."""
    draw, distances, inside = generator(seed, "concentration", dimension), [], 0
    for _ in range(pairs // _AT_ONCE):
        apart = points(_AT_ONCE, dimension, draw) - points(_AT_ONCE, dimension, draw)
        distances.append(apart.square().double().sum(1).sqrt())
        radius = torch.rand(_AT_ONCE, generator=draw, dtype=torch.float64) ** (1 / dimension)  # uniform in the ball
        inside += int((radius > 1 - SHELL).sum())
    return spread_of(torch.cat(distances)), inside / pairs


def spread_of(distances: Tensor) -> float:
    """Their standard deviation by their mean."""
    return float(distances.std() / distances.mean())


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Distances of random pairs beside the law of the chi distribution, in ever more dimensions."""
    seeds, pairs = lab.seeds(quick=6, full=20).scored, lab.pick(quick=1_000, full=4_000)
    spread, shell = np.transpose([[measured(d, pairs, seed) for d in DIMENSIONS] for seed in seeds], (2, 0, 1))
    at, dimension = np.array(DIMENSIONS, dtype=float), Axis("dimension", scale="log")
    laws, volumes = stats.chi.std(at) / stats.chi.mean(at), 1 - (1 - SHELL) ** at
    fresh = Population.initialize(lambda: mlp(64, 32, 32, 10), seeds).theta.double()
    networks = spread_of(torch.pdist(fresh))
    spreads, shells = (dict(zip(map(str, DIMENSIONS), each.mean(0).tolist(), strict=True)) for each in (spread, shell))
    panels = [
        Figure.of(title, (Line(at, law, label="exact"), Scatter(at, found.mean(0), label="measured")), dimension, y)
        for title, law, found, y in (
            ("Distances", laws, spread, Axis("standard deviation / mean", scale="log")),
            ("Volume", volumes, shell, Axis(f"share in the outer {SHELL:.0%}")),
        )
    ]
    caption = f"{pairs:,} Gaussian pairs and points of a ball for each of {len(seeds)} seeds."
    return lab.finding(
        interval.geometric_mean(np.exp(np.log(spread / laws).mean(1))),
        ran={"pairs": pairs},
        numbers={
            "relative spread of distances, by dimension": spreads,
            f"share of volume in the outer {SHELL:.0%} of the radius": shells,
            "relative spread of distances between fresh networks": networks,
        },
        figures=Figure.row(panels, title="Random points in many dimensions", caption=caption),
        readings=(
            lab.reading("relative spread of distances", spread, {"seed": seeds, "dimension": DIMENSIONS}),
            lab.reading("share of volume in the shell", shell, {"seed": seeds, "dimension": DIMENSIONS}),
        ),
        sentences=(
            f"In {DIMENSIONS[-1]:,} dimensions distances differ by {spread.mean(0)[-1]:.2%} of their mean, in "
            f"{DIMENSIONS[0]} by {spread.mean(0)[0]:.0%}.",
            f"The outer {SHELL:.0%} of the radius holds {shell.mean(0)[-1]:.1%} of the volume in {DIMENSIONS[-1]:,} "
            f"dimensions and {shell.mean(0)[0]:.1%} in {DIMENSIONS[0]}.",
            f"Fresh networks (MLP 64-32-32-10) are as far apart as each other to {networks:.1%}.",
        ),
    )
