"""LAN7: in many dimensions volume lies at the surface, and random points are as far apart as each other.

The laws are those of the chi distribution and of volumes. Points are drawn by their coordinates, and distances and
radii are measured on them; nothing is drawn by the laws.
"""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from thalweg.claims import Claim, Finding, Judgment, Part, every_part, greater, less, weakest, within
from thalweg.data import digits
from thalweg.figures import Axis, Figure, Line, Scatter
from thalweg.nets import mlp
from thalweg.optim import Momentum
from thalweg.population import Population, Problem
from thalweg.randomness import generator
from thalweg.statistics import POSITIVE, Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

SPREAD = "standard deviation of distances by their mean"
WEAKEST = "in the dimension where that is least sure"
BAND = within(0.95, 1.05)  # a twentieth is about what can be told apart in the figure
CLAIM = Claim(
    id="LAN7",
    statement="In each of 2, 10, 100, 1,000 and 10,000 dimensions the distances of Gaussian points differ as little as "
    "the chi distribution says, about sqrt(1/(2 d)) of their mean, and the outer hundredth of a ball's radius holds as "
    "many uniform points as its volume says, all but all at last; and fresh networks (MLP 64-32-32-10) are as far "
    "apart as each other to 5 %.",
    lecture="In high dimension volume is at the surface, not at the center, and all points are equidistant.",
    rule=every_part(),
    unit=f"measured / exact law's, {WEAKEST}",
    budget={"pairs": 1_000},
    corrected="Only of points drawn at random, from a Gaussian or a ball, or by the initialization of networks: those "
    "of one run are not equidistant.",
    parts=(
        Part(
            "distances",
            "In every dimension the relative spread of distances of Gaussian points is that of the chi distribution.",
            BAND,
            f"relative spread of distances / the exact law's, {WEAKEST}",
            bounds=POSITIVE,
        ),
        Part(
            "volume",
            "In every dimension the shell holds the share of a ball's uniform points that it has of the volume.",
            BAND,
            f"share of points in the shell / its share of the volume, {WEAKEST}",
            bounds=POSITIVE,
        ),
        Part("networks", "Fresh networks are nearly equidistant.", less(0.05), SPREAD, bounds=POSITIVE),
        Part("one run", "Points of one run are not.", greater(0.05), SPREAD, decides=False, bounds=POSITIVE),
    ),
)
DIMENSIONS = (2, 10, 100, 1_000, 10_000)
SHELL = 0.01  # of the radius
NETWORKS = 20  # that are compared with each other
IN_SHELL = 2_000  # points of a seed, on average
RECIPE = Recipe(Momentum(0.1), steps=300, batch_size=128, evaluate=0, snapshot=NETWORKS - 1)
_AT_ONCE = 250  # points


def points(count: int, dimension: int, draw: torch.Generator) -> Tensor:
    """Gaussian points: (count, dimension)."""
    return torch.randn(count, dimension, generator=draw)


def ball(count: int, dimension: int, draw: torch.Generator) -> Tensor:
    """Uniform points of the unit ball: (count, dimension).

    The first d coordinates of uniform points on the sphere in d + 2 dimensions (Archimedes' theorem of the hat-box in
    all dimensions).
    """
    around = torch.randn(count, dimension + 2, generator=draw, dtype=torch.float64)
    return (around / around.norm(dim=1, keepdim=True))[:, :dimension]


def network() -> torch.nn.Module:
    """What is compared where points are networks."""
    return mlp(64, 32, 32, 10)


def measured(dimension: int, pairs: int, seed: int) -> tuple[float, int]:
    """Relative spread of the distances of Gaussian pairs, and how many of `points_of` of a ball are in its shell."""
    draw, distances, inside = generator(seed, "concentration", dimension), [], 0
    for _ in range(pairs // _AT_ONCE):
        apart = points(_AT_ONCE, dimension, draw) - points(_AT_ONCE, dimension, draw)
        distances.append(apart.square().double().sum(1).sqrt())
    for _ in range(points_of(dimension) // _AT_ONCE):
        inside += int((ball(_AT_ONCE, dimension, draw).norm(dim=1) > 1 - SHELL).sum())
    return spread_of(torch.cat(distances)), inside


def points_of(dimension: int) -> int:
    """How many points of a ball a seed draws."""
    return -(-int(IN_SHELL / shell_of(dimension)) // _AT_ONCE) * _AT_ONCE


def shell_of(dimension: int) -> float:
    """The share of the volume of a ball that its shell has."""
    return 1 - (1 - SHELL) ** dimension


def spread_of(distances: Tensor) -> float:
    """Their standard deviation by their mean."""
    return float(distances.std() / distances.mean())


def in_the_shell(inside: NDArray[np.int64], dimension: int) -> Interval:
    """The share of points in the shell by its share of the volume: every point is drawn by itself, of whatever seed.

    By Clopper and Pearson's interval, which has a width also where all points are in the shell.
    """
    count = len(inside) * points_of(dimension)
    share, volume = int(inside.sum()) / count, shell_of(dimension)
    ends = stats.binomtest(int(inside.sum()), count).proportion_ci()
    found = (share / volume, ends.low / volume, ends.high / volume)
    return Interval(*found, count, "share of all points, Clopper and Pearson's interval")


def least_sure(part: str, of_dimensions: Iterable[Interval]) -> Interval:
    """The interval of the dimension that decides whether the part holds in all of them: an intersection-union test."""
    (whole,) = (one for one in CLAIM.parts if one.id == part)
    return weakest(Judgment(whole, each) for each in of_dimensions).interval


def between_networks(lab: Lab, groups: list[list[int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Relative spread of distances between the fresh networks of a group, and between snapshots of its first one."""
    fresh = [Population.initialize(network, group).theta.double() for group in groups]
    run = lab.train(Problem(network, digits(), device=lab.device), RECIPE, [group[0] for group in groups])
    paths = torch.stack([population.theta for population in run.snapshots.values()], dim=1).double().cpu()
    found, along = (np.array([spread_of(torch.pdist(each)) for each in many]) for many in (fresh, paths))
    return found, along


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Distances and radii of random points beside their laws in ever more dimensions, and distances of networks."""
    pairs = lab.pick(quick=3_000, full=4_000)
    groups = np.reshape(lab.seeds(quick=6 * NETWORKS, full=20 * NETWORKS).scored, (-1, NETWORKS)).tolist()
    seeds = [group[0] for group in groups]
    spread, inside = np.transpose([[measured(d, pairs, seed) for d in DIMENSIONS] for seed in seeds], (2, 0, 1))
    shell = inside / [points_of(d) for d in DIMENSIONS]
    networks, along = between_networks(lab, groups)
    at, dimension = np.array(DIMENSIONS, dtype=float), Axis("dimension", scale="log")
    laws, volumes = stats.chi.std(at) / stats.chi.mean(at), np.array([shell_of(d) for d in DIMENSIONS])
    laid = {
        "distances": [interval.geometric_mean(each) for each in (spread / laws).T],
        "volume": [in_the_shell(found, d) for found, d in zip(inside.T, DIMENSIONS, strict=True)],
    }
    spreads, shells = (dict(zip(map(str, DIMENSIONS), each.mean(0).tolist(), strict=True)) for each in (spread, shell))
    panels = [
        Figure.of(title, (Line(at, law, label="exact"), Scatter(at, found.mean(0), label="measured")), dimension, y)
        for title, law, found, y in (
            ("Distances", laws, spread, Axis("standard deviation / mean", scale="log")),
            ("Volume", volumes, shell, Axis(f"share in the outer {SHELL:.0%}")),
        )
    ]
    caption = f"{len(seeds)} seeds, each with {pairs:,} Gaussian pairs and about {IN_SHELL:,} points in a ball's shell."
    return lab.finding(
        parts={
            **{part: least_sure(part, each) for part, each in laid.items()},
            "networks": interval.mean(networks, bounds=POSITIVE),
            "one run": interval.mean(along, bounds=POSITIVE),
        },
        ran={"pairs": pairs},
        numbers={
            **{
                f"{part} by the law's, 95 % intervals by dimension": dict(zip(shells, map(str, each), strict=True))
                for part, each in laid.items()
            },
            "relative spread of distances, by dimension": spreads,
            f"share of volume in the outer {SHELL:.0%} of the radius": shells,
            "relative spread of distances between fresh networks": float(networks.mean()),
            "relative spread of distances between snapshots of one run": float(along.mean()),
        },
        figures=Figure.row(panels, title="Random points in many dimensions", caption=caption),
        readings=(
            lab.reading("relative spread of distances", spread, {"seed": seeds, "dimension": DIMENSIONS}),
            lab.reading("share of volume in the shell", shell, {"seed": seeds, "dimension": DIMENSIONS}),
            lab.reading("relative spread of distances between fresh networks", networks, {"seed": seeds}),
            lab.reading("relative spread of distances between snapshots of a run", along, {"seed": seeds}),
        ),
        sentences=(
            f"In {DIMENSIONS[-1]:,} dimensions distances differ by {spread.mean(0)[-1]:.2%} of their mean, in "
            f"{DIMENSIONS[0]} by {spread.mean(0)[0]:.0%}.",
            f"The outer {SHELL:.0%} of the radius holds {shell.mean(0)[-1]:.1%} of a ball's points in "
            f"{DIMENSIONS[-1]:,} dimensions and {shell.mean(0)[0]:.1%} in {DIMENSIONS[0]}.",
            f"Distances between fresh networks (MLP 64-32-32-10) differ by {networks.mean():.1%} of their mean, those "
            f"between snapshots of one run by {along.mean():.0%}.",
        ),
    )
