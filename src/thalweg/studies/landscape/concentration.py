"""LAN7: in many dimensions volume lies at the surface, and random points are as far apart as each other."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, within
from thalweg.figures import Axis, Figure, Line, Scatter
from thalweg.nets import mlp
from thalweg.population import Population
from thalweg.randomness import generator
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import reading
from thalweg.studies.seeds import tuning_and_scored

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN7",
    statement="The distances of random points differ ever less with the dimension, as sqrt(1/(2 d)) of their mean, and "
    "as exactly as the law of the chi distribution says.",
    lecture="In high dimension volume is at the surface, not at the center, and all points are equidistant.",
    rule=within(0.95, 1.05),
    unit="relative spread of distances / the exact law's, over dimensions",
    corrected="Only of points drawn at random, from a Gaussian or a ball: those of one run are not equidistant.",
)
DIMENSIONS = (2, 10, 100, 1_000, 10_000)
SHELL = 0.01  # of the radius
_AT_ONCE = 250  # pairs


def relative_spread(dimension: int) -> float:
    """Standard deviation by mean of the distance of two Gaussian points: of a chi variable with so many degrees.

    mean = sqrt(2) Gamma((d + 1)/2) / Gamma(d/2), variance = d - mean^2.
    """
    mean = math.sqrt(2) * math.exp(math.lgamma((dimension + 1) / 2) - math.lgamma(dimension / 2))
    # d - mean^2 loses its digits where d is large: there it is 1/2 - 1/(8 d) - ...
    variance = dimension - mean**2 if dimension < 1_000 else 0.5 - 1 / (8 * dimension) - 1 / (16 * dimension**2)
    return math.sqrt(variance) / mean


def in_shell(dimension: int) -> float:
    """The share of a ball's volume within the outer `SHELL` of its radius: 1 - (1 - SHELL)^d."""
    return -math.expm1(dimension * math.log1p(-SHELL))


def measured(dimension: int, pairs: int, seed: int) -> tuple[float, float]:
    """Relative spread of distances of Gaussian pairs, and the share of points of a ball in its shell."""
    draw = generator(seed, "concentration", dimension)
    squares, inside = [], 0
    for _ in range(pairs // _AT_ONCE):
        apart = torch.randn(_AT_ONCE, dimension, generator=draw) - torch.randn(_AT_ONCE, dimension, generator=draw)
        squares.append(apart.square().double().sum(1))
        radius = torch.rand(_AT_ONCE, generator=draw, dtype=torch.float64) ** (1 / dimension)  # uniform in the ball
        inside += int((radius > 1 - SHELL).sum())
    distances = torch.cat(squares).sqrt()
    return float(distances.std() / distances.mean()), inside / len(distances)


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on LAN7."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=6, full=20))
    pairs = lab.pick(quick=1_000, full=4_000)
    spread, shell = np.transpose([[measured(d, pairs, seed) for d in DIMENSIONS] for seed in seeds], (2, 0, 1))
    laws = np.array([relative_spread(d) for d in DIMENSIONS])
    volumes = np.array([in_shell(d) for d in DIMENSIONS])
    networks = networks_apart(seeds)
    verdict = CLAIM.judge(
        interval.mean(np.exp(np.log(spread / laws).mean(1))),
        numbers={
            "relative spread of distances, by dimension": dict(
                zip(map(str, DIMENSIONS), spread.mean(0).tolist(), strict=True)
            ),
            f"share of volume in the outer {SHELL:.0%} of the radius": dict(
                zip(map(str, DIMENSIONS), shell.mean(0).tolist(), strict=True)
            ),
            "relative spread of distances between fresh networks": networks,
        },
    )
    at = np.array(DIMENSIONS, dtype=float)
    figures = Figure.row(
        (
            Figure.of(
                "Distances",
                (Line(at, laws, label="exact"), Scatter(at, spread.mean(0), label="measured")),
                Axis("dimension", scale="log"),
                Axis("standard deviation / mean", scale="log"),
            ),
            Figure.of(
                "Volume",
                (Line(at, volumes, label="exact"), Scatter(at, shell.mean(0), label="measured")),
                Axis("dimension", scale="log"),
                Axis(f"share in the outer {SHELL:.0%}"),
            ),
        ),
        title="Random points in many dimensions",
        caption=f"{pairs:,} Gaussian pairs and points of a ball for each of {len(seeds)} seeds.",
    )
    yield Finding(
        verdict,
        figures=(figures,),
        readings=(
            reading(lab, "relative spread of distances", spread, {"seed": seeds, "dimension": DIMENSIONS}),
            reading(lab, "share of volume in the shell", shell, {"seed": seeds, "dimension": DIMENSIONS}),
        ),
        sentences=(
            f"In {DIMENSIONS[-1]:,} dimensions distances differ by {spread.mean(0)[-1]:.2%} of their mean, in "
            f"{DIMENSIONS[0]} by {spread.mean(0)[0]:.0%}.",
            f"The outer {SHELL:.0%} of the radius holds {shell.mean(0)[-1]:.1%} of the volume in {DIMENSIONS[-1]:,} "
            f"dimensions and {shell.mean(0)[0]:.1%} in {DIMENSIONS[0]}.",
            f"Fresh networks (MLP 64-32-32-10) are as far apart as each other to {networks:.1%}.",
        ),
    )


def networks_apart(seeds: list[int]) -> float:
    """The relative spread of the distances between freshly initialized networks, one a seed."""
    theta = Population.initialize(lambda: mlp(64, 32, 32, 10), seeds).theta.double()
    distances = torch.pdist(theta)
    return float(distances.std() / distances.mean())
