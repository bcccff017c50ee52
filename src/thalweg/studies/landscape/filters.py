"""LAN2: surfaces along filter-normalized directions do not see the scale of filters that normalization undoes."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg import landscape
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.data import digits
from thalweg.figures import Figure
from thalweg.nets import mlp, resnet
from thalweg.optim import Momentum
from thalweg.population import Population, Problem, rescaled_before_norm, rescaling
from thalweg.randomness import generator
from thalweg.statistics import POSITIVE, SHARE, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

SEEN = 0.01  # of the range: what maps of a surface may be off by, and what a picture shows
UNIT = "largest change of the surface when filters are rescaled, by its range"
CLAIM = Claim(
    id="LAN2",
    statement="On digits (ResNet of width 4), where normalization layers undo the scale of filters, surfaces along "
    "filter-normalized directions change with it by less than a hundredth of their range for most seeds; along "
    "directions of plain Gaussians, and along those with one norm for the whole vector, by more in the mean.",
    lecture="Filter normalization, delta |theta| / |delta|, is scale-invariant and handles different parameter scales.",
    rule=every_part(),
    unit=UNIT,
    budget={"steps": 100},
    bounds=POSITIVE,
    corrected="With a norm for each filter, not one for the whole vector; only of scales of whole filters, and with "
    "the statistics of normalization layers recomputed at every point. Rescaling single units of a ReLU network "
    "without such layers leaves its function and changes the picture.",
    parts=(
        Part(
            "filter",
            "Along filter-normalized directions it changes by less than a picture shows, for most seeds.",
            greater(0.5),
            f"share of seeds whose surface changes by less than {SEEN:.0%} of its range",
            bounds=SHARE,
        ),
        Part(
            "none", "Along plain Gaussian directions it changes by more.", greater(0, worth=SEEN), UNIT, bounds=POSITIVE
        ),
        Part(
            "member",
            "Along those with one norm for all it changes by more.",
            greater(0, worth=SEEN),
            UNIT,
            bounds=POSITIVE,
        ),
    ),
    lecture_rule=less(SEEN),
)
STEPS = 100
SCALES = (0.1, 10.0)
KINDS = {"filter": "filter-normalized", "none": "plain", "member": "one norm for all"}  # of directions


def normalized(lab: Lab) -> Problem:
    """Digits on a network with normalization layers."""
    data = digits(image=True).subset(train=lab.pick(quick=128, full=500))
    return Problem(lambda: resnet(4), data, device=lab.device)


def filters_rescaled(problem: Problem, population: Population, seed: int) -> Population:
    """The filters of every convolution times random factors, which batch normalization divides by again."""
    filters = [name for name, one in population.template.named_modules() if isinstance(one, nn.Conv2d)]
    return rescaled(partial(rescaled_before_norm, problem), population, filters, seed, "filter scales")


def units_rescaled(problem: Problem, population: Population, seed: int) -> Population:
    """The hidden units of a ReLU network times random factors, what reads them divided by these."""
    layers = [name for name, one in population.template.named_modules() if isinstance(one, nn.Linear)]
    return rescaled(partial(rescaling.rescaled, problem), population, layers[:-1], seed, "unit scales")


def rescaled(
    rescale: Callable[[Population, str, Tensor], Population],
    population: Population,
    layers: Iterable[str],
    seed: int,
    purpose: str,
) -> Population:
    """The outputs of layers times random factors, which that function undoes."""
    draws = [generator(seed, purpose, member) for member in range(len(population))]
    for layer in layers:
        units = len(population.template.get_parameter(f"{layer}.weight"))
        population = rescale(
            population, layer, torch.stack([scales(torch.rand(units, generator=draw)) for draw in draws])
        )
    return population


def scales(share: Tensor) -> Tensor:
    """Numbers at these shares of the way between `SCALES`, in logarithms."""
    return SCALES[0] * (SCALES[1] / SCALES[0]) ** share


def unseen(changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whether each change is smaller than a picture shows; NaN where it is not known."""
    return np.where(np.isfinite(changes), changes < SEEN, np.nan)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Surfaces around networks before and after their filters are rescaled, along directions of every kind."""
    seeds = lab.seeds(quick=6, full=12).scored
    images, dense = normalized(lab), Problem(lambda: mlp(64, 32, 32, 10), digits().subset(train=300), device=lab.device)
    trained = lab.train(images, Recipe(Momentum(0.05), STEPS, 64, evaluate=0), seeds).final
    plain = lab.train(dense, Recipe(Momentum(0.1), STEPS, 64, evaluate=0), seeds, "ReLU network").final
    size, told = lab.pick(quick=5, full=13), lab.labelled("surfaces")

    def view(problem: Problem, population: Population, kind: str = "filter") -> landscape.Surface:
        pair = [
            landscape.directions.random_of_each(population, seeds, number=number, normalization=kind)
            for number in (0, 1)
        ]
        return landscape.plane(
            problem,
            population,
            directions=pair,
            resolution=size,
            statistics="recompute",
            seed=lab.seed,
            progress=told,
        )

    states = {"as trained": trained, "filters rescaled": filters_rescaled(images, trained, lab.seed)}
    surfaces = {kind: {name: view(images, one, kind) for name, one in states.items()} for kind in KINDS}
    found = {kind: both["as trained"].change(both["filters rescaled"]) for kind, both in surfaces.items()}
    units = view(dense, plain).change(view(dense, units_rescaled(dense, plain, lab.seed)))
    coordinates = {"directions": [*found, "filter, units of a ReLU network"], "seed": seeds}
    changes = {kind: interval.geometric_mean(np.maximum(found[kind], 1e-12)) for kind in ("none", "member")}
    return lab.finding(
        parts={"filter": interval.fraction(unseen(found["filter"])), **changes},
        lecture=changes["member"],
        ran={"steps": STEPS},
        numbers={
            **{f"largest change by the range, {KINDS[kind]}": float(one.mean()) for kind, one in found.items()},
            "the largest of any seed, filter-normalized": float(found["filter"].max()),
            "the same with single units of a ReLU network rescaled, filter-normalized": float(units.mean()),
        },
        figures=[
            Figure.row(
                [one.figure().with_marks(title=f"{KINDS[kind]}, {name}") for name, one in both.items()],
                title=f"The same function twice, seen along {KINDS[kind]} directions",
                caption=f"The first of {len(seeds)} networks, each along directions of its own. "
                + both["as trained"].figure().caption,
            )
            for kind, both in surfaces.items()
        ],
        readings=lab.reading("largest change of the surface by its range", [*found.values(), units], coordinates),
        sentences=(
            f"Rescaling filters by {SCALES[0]:g} to {SCALES[1]:g} changes the surface by {found['filter'].mean():.2%} "
            f"of its range along filter-normalized directions, for no seed by more than {found['filter'].max():.2%}; "
            f"by {found['none'].mean():.0%} along plain ones, and by {found['member'].mean():.0%} along those with one "
            "norm for all, the lecture's formula.",
            "Rescaling single units of a ReLU network, which leaves its function too, changes the filter-normalized "
            f"surface by {units.mean():.0%}: scales are undone for whole filters alone.",
        ),
    )
