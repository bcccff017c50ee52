"""LAN4: the wider a network, the more nearly convex the loss on random lines around where it was trained to."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from thalweg import curvature, data, landscape, nets, optim, spectra
from thalweg.claims import Claim, Finding, less
from thalweg.evaluation import Sample, evaluate
from thalweg.figures import Axis, Figure
from thalweg.population import Problem
from thalweg.results import spread
from thalweg.statistics import exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN4",
    statement="The wider a network, the less the loss deviates from a convex curve on random filter-normalized lines "
    "around where training ended.",
    lecture="Narrow networks have a chaotic landscape with isolated minima; wide ones have a smooth one with connected "
    "valleys.",
    rule=less(0),
    unit="slope of the logarithm of the roughness against the logarithm of the width",
    budget={"units in the widest layer": 64},
    corrected="Smooth is measured as nearly convex, which is not nearly quadratic; isolated, as a barrier on the "
    "straight line, which a curved way may avoid. Networks of different widths also end at different losses.",
)
# Of 0.1, 0.2, 0.4 and 0.8 the rate with the lowest mean training loss after STEPS of the seeds 900 to 907, on which
# nothing is scored.
RATES = {8: 0.2, 16: 0.4, 32: 0.4, 64: 0.4, 128: 0.4, 256: 0.2}
STEPS, BATCH, EXAMPLES = 300, 128, 400
SPAN, POINTS = 2, 41  # of a line; its inner half has span 1, which is judged
FLOOR = 1e-4  # what is less rough than this, by the range of the loss, counts as this: slopes are rather too flat
WIDTHS = {"quick": (8, 16, 32, 64), "full": tuple(RATES)}
ROUGH, FAR = "distance from convex / range", "distance from convex / range, twice as far"
BENT, BARRIER, LOSS = "distance from a parabola / range", "barrier", "training loss"
SHARP, MEAN_SHARP = "largest eigenvalue x squared length", "largest eigenvalue x mean square of a parameter"
NATS = (BARRIER, LOSS, SHARP, MEAN_SHARP)


def network(width: int) -> nn.Module:
    """A network of one width."""
    return nets.mlp(64, width, width, 10, activation="tanh")


def measured(lab: Lab, width: int, seeds: list[int]) -> dict[str, Array]:
    """Train networks of one width, one a seed, and look around where they ended: (seeds,) each."""
    problem = Problem(lambda: network(width), data.digits(), device=lab.device)
    sample = Sample("train", EXAMPLES, lab.seed)
    recipe = Recipe(optim.Momentum(RATES[width]), STEPS, BATCH, evaluate=0)
    end = lab.train(problem, recipe, seeds, f"width {width}, training").final
    lines = landscape.roughness(
        problem, end, lines=lab.pick(quick=4, full=8), span=SPAN, resolution=POINTS, on=sample, seed=lab.seed
    )["loss"]
    inner = lines[..., POINTS // 4 : POINTS - POINTS // 4]
    following = end[[*range(1, len(end)), 0]]
    between = landscape.line(problem, end, to=following, resolution=21, on=sample, seed=lab.seed)["loss"]
    hessian = curvature.hessian(problem, end, on=sample)
    top = spectra.top_eigenvalues(hessian, 1, tolerance=0.05, seed=lab.seed).values[:, 0]
    distances = {
        ROUGH: landscape.distance_from_convex(inner),
        FAR: landscape.distance_from_convex(lines),
        BENT: landscape.distance_from_parabola(inner),
    }
    return {name: np.sqrt((values**2).mean(0)) for name, values in distances.items()} | {
        BARRIER: landscape.barrier_height(between),
        SHARP: top * end.theta.double().square().sum(1).cpu().numpy(),
        MEAN_SHARP: top * end.theta.double().square().mean(1).cpu().numpy(),
        LOSS: evaluate(problem, end, "train")["loss"].numpy(),
    }


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Measure the loss around networks of every width, and by which power of the width it changes."""
    seeds, widths = lab.seeds(quick=4, full=10).scored, WIDTHS[lab.scale]
    each = [measured(lab, width, seeds) for width in widths]
    table = {name: np.stack([one[name] for one in each]) for name in each[0]}
    powers = {name: interval.mean(exponents(widths, np.maximum(values, FLOOR))) for name, values in table.items()}
    means = {name: values.mean(1) for name, values in table.items()}
    rough, barrier = means[ROUGH], means[BARRIER]
    ends = (0.75 * widths[0], max(1.4 * widths[-1], 120.0))  # two powers of ten in sight, or labels crowd
    panels = [
        spread(
            lab.reading(title, np.maximum(values, FLOOR), {"line": names, "width": widths, "seed": seeds}),
            x="width",
            over="seed",
            center="geometric mean",
            x_axis=Axis("width", scale="log", limits=ends),
            y_axis=Axis(label, unit, scale="log"),
        )
        for title, names, values, label, unit in (
            ("Random lines", ["span 1, judged", f"span {SPAN}"], [table[ROUGH], table[FAR]], ROUGH, ""),
            ("Between solutions", [""], [table[BARRIER]], BARRIER, "nats"),
            ("Curvature", [""], [table[SHARP]], "largest eigenvalue x |theta|^2", "nats"),
        )
    ]
    figure = Figure.row(
        panels,
        title="The landscape by width",
        caption=f"MLPs 64-w-w-10 with tanh after {STEPS} steps of momentum on digits, {len(seeds)} seeds; bands from "
        f"the smallest to the largest. Random lines are filter-normalized; less rough than {FLOOR:g} is drawn as "
        "that.",
    )
    return lab.finding(
        powers[ROUGH],
        figures=figure,
        ran={"units in the widest layer": widths[-1]},
        readings=[
            lab.reading(name, values, {"width": widths, "seed": seeds}, unit="nats" if name in NATS else "")
            for name, values in table.items()
        ],
        sentences=(
            f"On lines of span 1 the loss deviates from a convex curve by {rough[0]:.2%} of its range at width "
            f"{widths[0]} and by {rough[-1]:.2%} at width {widths[-1]}.",
            f"The barrier between two solutions is {barrier[0]:.2g} nats at the one width and {barrier[-1]:.2g} at the "
            "other.",
            f"The distance from a parabola goes with the width to the power {powers[BENT]}: what is convex need not be "
            "a parabola.",
        ),
        numbers={
            "slopes, 95 % intervals": {name: str(power) for name, power in powers.items() if name not in (ROUGH, LOSS)},
            "means by width": {
                name: dict(zip(map(str, widths), means[name].tolist(), strict=True)) for name in (ROUGH, BARRIER, LOSS)
            },
        },
    )
