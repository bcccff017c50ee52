"""LAN2: surfaces along filter-normalized directions do not see the scale of filters that normalization undoes."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg import landscape
from thalweg.claims import Claim, Finding, less
from thalweg.data import digits
from thalweg.figures import Axis, Contour, Figure, HeatMap
from thalweg.nets import mlp, resnet
from thalweg.optim import Momentum
from thalweg.population import Population, Problem, rescaling
from thalweg.randomness import generator
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN2",
    statement="Where normalization layers undo the scale of filters, surfaces along filter-normalized directions do "
    "not change with it; along directions of plain Gaussians they do.",
    lecture="Filter normalization is scale-invariant and handles different parameter scales.",
    rule=less(0.05),
    unit="largest change of the surface when filters are rescaled, filter-normalized / plain directions",
    corrected="Only of scales of whole filters, and with the statistics of normalization layers recomputed at every "
    "point. Rescaling single units of a ReLU network without such layers leaves its function and changes the picture.",
)
SPAN, SCALES = 1.0, (0.1, 10.0)


def rescaled(population: Population, seed: int) -> Population:
    """The filters of every convolution times random numbers, even in their logarithm; normalization undoes it."""
    draws = [generator(seed, "filter scales", member) for member in range(len(population))]
    for name, layer in population.template.named_modules():
        if isinstance(layer, nn.Conv2d):
            factors = torch.stack([scales(torch.rand(layer.out_channels, generator=draw)) for draw in draws])
            population = rescaling.rescaled(population, name, factors, undone_by=None)
    return population


def units_rescaled(population: Population, seed: int) -> Population:
    """Every hidden unit of a ReLU network times a random number, its outgoing weights by that number."""
    draws = [generator(seed, "unit scales", member) for member in range(len(population))]
    layers = [(name, one) for name, one in population.template.named_modules() if isinstance(one, nn.Linear)]
    for (name, layer), (following, _) in pairwise(layers):
        factors = torch.stack([scales(torch.rand(layer.out_features, generator=draw)) for draw in draws])
        population = rescaling.rescaled(population, name, factors, undone_by=following)
    return population


def scales(share: Tensor) -> Tensor:
    """Numbers at these shares of the way between `SCALES`, in logarithms."""
    return SCALES[0] * (SCALES[1] / SCALES[0]) ** share


def changes(first: Array, second: Array) -> Array:
    """The largest difference between two surfaces (members, a, b) by the larger of their ranges: (members,)."""
    span = np.maximum(np.ptp(first, axis=(1, 2)), np.ptp(second, axis=(1, 2)))
    return np.abs(first - second).max((1, 2)) / span


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on LAN2."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=4, full=12))
    size = lab.pick(quick=5, full=13)
    data = digits(image=True).subset(train=lab.pick(quick=128, full=500))
    images = Problem(lambda: resnet(4), data, device=lab.device)
    trained = train(
        images, Recipe(Momentum(0.05), 100, 64, evaluate=0), seeds, progress=labelled(lab, "LAN2, training")
    )
    other = rescaled(trained.final, lab.seed)
    found: dict[str, Array] = {}
    surfaces: dict[tuple[str, str], Array] = {}
    for directions in ("filter", "none"):
        for name, population in (("as trained", trained.final), ("filters rescaled", other)):
            surfaces[directions, name] = landscape.plane(
                images,
                population,
                directions=directions,
                span=SPAN,
                resolution=size,
                statistics="recompute",
                seed=lab.seed,
                progress=labelled(lab, f"LAN2, {directions}, {name}"),
            )["loss"]
        found[directions] = changes(surfaces[directions, "as trained"], surfaces[directions, "filters rescaled"])
    dense = Problem(lambda: mlp(64, 32, 32, 10), digits().subset(train=300), device=lab.device)
    plain = train(dense, Recipe(Momentum(0.1), 100, 64, evaluate=0), seeds, progress=labelled(lab, "LAN2, training"))
    pair = [
        landscape.plane(dense, population, span=SPAN, resolution=size, seed=lab.seed)["loss"]
        for population in (plain.final, units_rescaled(plain.final, lab.seed))
    ]
    units = changes(*pair)
    verdict = CLAIM.judge(
        interval.ratio(np.maximum(found["filter"], 1e-12), found["none"]),
        numbers={
            "largest change by the range, filter-normalized": float(found["filter"].mean()),
            "largest change by the range, plain": float(found["none"].mean()),
            "the same with single units of a ReLU network rescaled, filter-normalized": float(units.mean()),
        },
    )
    axis = np.linspace(-SPAN, SPAN, size)
    panels = [
        Figure.of(
            f"{'filter-normalized' if directions == 'filter' else 'plain'}, {name}",
            (HeatMap(axis, axis, values[0].T), Contour(axis, axis, values[0].T)),
            Axis("first direction"),
            Axis("second direction"),
            Axis("loss", "nats"),
        )
        for (directions, name), values in surfaces.items()
    ]
    yield Finding(
        verdict,
        figures=(
            Figure.row(
                panels[:2], title="The same function twice, filters rescaled", caption="Filter-normalized directions."
            ),
            Figure.row(panels[2:], title="The same, seen along plain directions", caption="Gaussian directions."),
        ),
        readings=(
            reading(
                lab,
                "largest change of the surface by its range",
                np.stack([*found.values(), units]),
                {"directions": [*found, "filter, units of a ReLU network"], "seed": seeds},
            ),
        ),
        sentences=(
            f"Rescaling filters by {SCALES[0]:g} to {SCALES[1]:g} changes the surface by {found['filter'].mean():.2%} "
            f"of its range along filter-normalized directions, and by {found['none'].mean():.0%} along plain ones.",
            f"Rescaling single units of a ReLU network, which leaves its function too, changes the filter-normalized "
            f"surface by {units.mean():.0%}: scales are undone for whole filters alone.",
        ),
    )
