"""LAN4: the wider a network, the more nearly convex the loss on random lines around where it was trained to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg import curvature, landscape, spectra
from thalweg.claims import Claim, Finding, less
from thalweg.data import digits
from thalweg.evaluation import Sample, evaluate
from thalweg.figures import Axis, Figure, Line
from thalweg.landscape import distance_from_convex
from thalweg.nets import mlp
from thalweg.optim import Momentum
from thalweg.population import Population, Problem
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN4",
    statement="The wider a network, the less the loss deviates from a convex curve on random filter-normalized lines "
    "around where training ended.",
    lecture="Narrow networks have a chaotic landscape with isolated minima; wide ones have a smooth one with connected "
    "valleys.",
    rule=less(0),
    unit="slope of the logarithm of the roughness against the logarithm of the width",
    corrected="Smooth is measured as nearly convex, which is not nearly quadratic; isolated, as a barrier on the "
    "straight line, which a curved way may avoid. Networks of different widths also end at different losses.",
)
# Of 0.1, 0.2, 0.4 and 0.8 the rate with the lowest mean training loss after STEPS of the seeds 900 to 907, on which
# nothing is scored.
RATES = {8: 0.2, 16: 0.4, 32: 0.4, 64: 0.4, 128: 0.4, 256: 0.2}
STEPS, BATCH, EXAMPLES = 300, 128, 400
SPAN, POINTS = 2, 41  # of a line; its inner half has span 1, which is judged
FLOOR = 1e-4  # what is less rough than this, by the range of the loss, counts as this: slopes are rather too flat


@dataclass(frozen=True)
class Width:
    """What was measured on networks of one width, one number a seed: (seeds,) each.

    Args:
        roughness, farther: on lines of span 1 and 2.
        bent: the distance from a parabola on lines of span 1.
        barrier: on the straight line to the next seed's network, in nats.
        sharpness: lambda_max |theta|^2, in nats.
        mean_sharpness: lambda_max times the mean square of a parameter.
        loss: on the training examples.
    """

    roughness: Array
    farther: Array
    bent: Array
    barrier: Array
    sharpness: Array
    mean_sharpness: Array
    loss: Array


def bent(lines: Array) -> Array:
    """The root mean square distance from the best convex parabola, by the range: (..., points) to (...)."""
    flat = lines.reshape(-1, lines.shape[-1])
    at = np.linspace(-1, 1, flat.shape[1])
    curved, straight = (np.polyfit(at, flat.T, degree) for degree in (2, 1))
    fitted = np.stack([np.polyval(c if c[0] >= 0 else [0, *s], at) for c, s in zip(curved.T, straight.T, strict=True)])
    return (np.sqrt(((flat - fitted) ** 2).mean(1)) / np.ptp(flat, axis=1)).reshape(lines.shape[:-1])


def barrier(lines: Array) -> Array:
    """By how much the loss on a line rises above the straight interpolation of its ends: (members, points)."""
    share = np.linspace(0, 1, lines.shape[1])
    return (lines - (1 - share) * lines[:, :1] - share * lines[:, -1:]).max(1)


def slopes(widths: Sequence[int], values: Array) -> Array:
    """The exponent of the best power law of each seed, least squares in logarithms: (widths, seeds) to (seeds,)."""
    return np.polyfit(np.log(widths), np.log(values), 1)[0]


def measured(lab: Lab, width: int, seeds: list[int]) -> Width:
    """Train networks of one width, one a seed, and look around where they ended."""
    problem = Problem(lambda: mlp(64, width, width, 10, activation="tanh"), digits(), device=lab.device)
    recipe = Recipe(Momentum(RATES[width]), STEPS, BATCH, evaluate=0)
    run = train(problem, recipe, seeds, progress=labelled(lab, f"LAN4, width {width}, training"))
    end = run.final
    lines = np.stack([_line(lab, problem, end, number) for number in range(lab.pick(quick=4, full=8))])
    inner = lines[:, :, POINTS // 4 : POINTS - POINTS // 4]
    following = end[[*range(1, len(end)), 0]]
    sample = Sample("train", EXAMPLES, lab.seed)
    between = landscape.line(problem, end, to=following, resolution=21, on=sample, seed=lab.seed)["loss"]
    hessian = curvature.hessian(problem, end, on=sample)
    top = spectra.top_eigenvalues(hessian, 1, tolerance=0.05, seed=lab.seed).values[:, 0]
    square = end.theta.double().square().sum(1).cpu().numpy()
    return Width(
        roughness=_root_mean_square(distance_from_convex(inner)),
        farther=_root_mean_square(distance_from_convex(lines)),
        bent=_root_mean_square(bent(inner)),
        barrier=barrier(between),
        sharpness=top * square,
        mean_sharpness=top * square / end.theta.shape[1],
        loss=evaluate(problem, end, problem.data.train)["loss"].numpy(),
    )


def _line(lab: Lab, problem: Problem, end: Population, number: int) -> Array:
    """The loss on a random line through every member: (members, points)."""
    direction = landscape.directions.random(end, seed=lab.seed, number=number)
    surface = landscape.line(
        problem,
        end,
        direction=direction,
        span=SPAN,
        resolution=POINTS,
        on=Sample("train", EXAMPLES, lab.seed),
        seed=lab.seed,
    )
    return surface["loss"]


def _root_mean_square(values: Array) -> Array:
    """Over lines: (lines, members) to (members,)."""
    return np.sqrt((values**2).mean(0))


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on LAN4."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=4, full=10))
    widths = lab.pick(quick=(8, 16, 32, 64), full=tuple(RATES))
    each = [measured(lab, width, seeds) for width in widths]
    table = {field: np.stack([getattr(one, field) for one in each]) for field in Width.__dataclass_fields__}
    found = {field: interval.mean(slopes(widths, np.maximum(values, FLOOR))) for field, values in table.items()}
    verdict = CLAIM.judge(
        found["roughness"],
        numbers={
            "roughness": _by_width(widths, table["roughness"]),
            "slopes, 95 % intervals": {
                "roughness on lines twice as long": str(found["farther"]),
                "distance from a parabola": str(found["bent"]),
                "barrier": str(found["barrier"]),
                "lambda_max |theta|^2": str(found["sharpness"]),
                "lambda_max times the mean square of a parameter": str(found["mean_sharpness"]),
            },
            "barrier, nats": _by_width(widths, table["barrier"]),
            "training loss, nats": _by_width(widths, table["loss"]),
        },
    )
    near, far = (np.maximum(table[field], FLOOR) for field in ("roughness", "farther"))
    lines = {"span 1, judged": near, f"span {SPAN}": far}
    panels = (
        _panel("Random lines", widths, lines, "distance from convex / range"),
        _panel("Between solutions", widths, {"": np.maximum(table["barrier"], FLOOR)}, "barrier", "nats"),
        _panel("Curvature", widths, {"": table["sharpness"]}, "largest eigenvalue x |theta|^2", "nats"),
    )
    figure = Figure.row(
        panels,
        title="The landscape by width",
        caption=f"MLPs 64-w-w-10 with tanh after {STEPS} steps of momentum on digits, {len(seeds)} seeds; bands from "
        f"the smallest to the largest. Random lines are filter-normalized; less rough than {FLOOR:g} is drawn as "
        "that.",
    )
    narrow, wide = each[0], each[-1]
    yield Finding(
        verdict,
        figures=(figure,),
        readings=tuple(
            reading(lab, name, table[field], {"width": widths, "seed": seeds}, unit=unit)
            for field, (name, unit) in _READINGS.items()
        ),
        sentences=(
            f"On lines of span 1 the loss deviates from a convex curve by {narrow.roughness.mean():.2%} of its range "
            f"at width {widths[0]} and by {wide.roughness.mean():.2%} at width {widths[-1]}.",
            f"The barrier between two solutions is {narrow.barrier.mean():.2g} nats at the one width and "
            f"{wide.barrier.mean():.2g} at the other.",
            f"The distance from a parabola goes with the width to the power {found['bent']}: what is convex need not "
            "be a parabola.",
        ),
    )


_READINGS = {
    "roughness": ("distance from convex / range", ""),
    "farther": ("distance from convex / range, twice as far", ""),
    "bent": ("distance from a parabola / range", ""),
    "barrier": ("barrier", "nats"),
    "sharpness": ("largest eigenvalue x squared length", "nats"),
    "loss": ("training loss", "nats"),
}


def _by_width(widths: Sequence[int], values: Array) -> dict[str, float]:
    return dict(zip(map(str, widths), values.mean(1).tolist(), strict=True))


def _panel(title: str, widths: Sequence[int], lines: Mapping[str, Array], label: str, unit: str = "") -> Figure:
    """Geometric means over seeds with bands from the smallest to the largest."""
    marks = tuple(
        Line(
            np.array(widths, dtype=float),
            np.exp(np.log(values).mean(1)),
            low=values.min(1),
            high=values.max(1),
            label=name,
        )
        for name, values in lines.items()
    )
    ends = (0.75 * widths[0], max(1.4 * widths[-1], 120.0))  # two powers of ten in sight, or labels crowd
    return Figure.of(title, marks, Axis("width", scale="log", limits=ends), Axis(label, unit, scale="log"))
