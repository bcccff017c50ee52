"""LAN4: the wider a network, the more nearly convex the loss on random lines, at equal training loss."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from thalweg import curvature, data, landscape, nets, optim, spectra
from thalweg.claims import Claim, Finding, Part, less
from thalweg.evaluation import Sample, lines
from thalweg.figures import Axis, Figure
from thalweg.population import Problem
from thalweg.results import spread
from thalweg.statistics import exponents, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
UNIT = "slope of the logarithm of the roughness, on lines {}, against the logarithm of the width"
CLAIM = Claim(
    id="LAN4",
    statement="The wider a network, the less the loss deviates from a convex curve on random filter-normalized lines "
    "up to twice the weights' length away from where its training loss first fell below 0.1 nats. (MLPs with tanh, "
    "two hidden layers of equal width, on digits, all trained at one rate.)",
    lecture="Narrow networks have a chaotic landscape with isolated minima; wide ones have a smooth one with connected "
    "valleys.",
    rule=less(0),
    unit=UNIT.format("from -2 to 2 times the weights' length"),
    budget={"units in the widest layer": 64},
    corrected="Smooth is measured as nearly convex, which is not nearly quadratic; isolated, as a barrier on the "
    "straight line, which a curved way may avoid. After equally many steps networks of different widths are at "
    "different losses, so they are compared at one.",
    parts=(
        Part(
            "half as far",
            "The same up to the weights' length away.",
            less(0),
            UNIT.format("from -1 to 1 times the weights' length"),
            decides=False,
        ),
    ),
)
# Settings were looked at on the seeds 900 to 907, on which nothing is scored. The rate is one for all widths, or its
# effect would go with the width's: of 0.1, 0.2, 0.4 and 0.8 this one gave the lowest mean training loss after 300 steps
# at widths 8 and 256, and 0.4 between them.
RATE = 0.2
EQUAL = 0.1  # nats of training loss, below which all are compared
# At most: about three times as many steps as it took any seed to get there.
STEPS = {8: 600, 16: 300, 32: 300, 64: 200, 128: 200, 256: 200}
BATCH, EXAMPLES, EVERY = 128, 400, 5  # the loss is looked at every five steps
SPAN, POINTS = 2, 41  # of a line, all of which is judged: on its inner half only widths 8 and 16 are not convex
FLOOR = 1e-3  # what is less rough than this, by the range of the loss, counts as this, as pictures do not show it
WIDTHS = {"quick": (8, 16, 32, 64), "full": tuple(STEPS)}
ROUGH, NEAR = "distance from convex / range", "distance from convex / range, half as far"
BENT, BARRIER, LOSS = "distance from a parabola / range", "barrier", "training loss"
SHARP, MEAN_SHARP = "largest eigenvalue x squared length", "largest eigenvalue x mean square of a parameter"
TAKEN = "steps to that loss"
NAMES = (ROUGH, NEAR, BENT, BARRIER, LOSS, SHARP, MEAN_SHARP, TAKEN)
NATS = (BARRIER, LOSS, SHARP, MEAN_SHARP)


def network(width: int) -> nn.Module:
    """A network of one width."""
    return nets.mlp(64, width, width, 10, activation="tanh")


def measured(lab: Lab, width: int, seeds: list[int]) -> dict[str, Array]:
    """Train networks of one width, one a seed, and look around where each first was at the loss `EQUAL`: (seeds,) each.

    NaN of a network that did not come there.
    """
    problem, steps = Problem(lambda: network(width), data.digits(), device=lab.device), STEPS[width]
    sample, kept = Sample("train", EXAMPLES, lab.seed), tuple(range(0, steps + 1, EVERY))
    recipe = Recipe(optim.Momentum(RATE), steps, BATCH, evaluate=kept, snapshot=kept)
    run = lab.train(problem, recipe, seeds, f"width {width}, training")
    if not (run.history["train_loss"] <= EQUAL).any():
        return dict.fromkeys(NAMES, np.full(len(seeds), np.nan))
    reached = run.at_first("train_loss", EQUAL)
    there = reached.population
    own = [seeds[member] for member in reached.members]
    random_lines = np.stack(
        [
            landscape.line(
                problem,
                there,
                direction=landscape.directions.random_of_each(there, own, number=number),
                span=SPAN,
                resolution=POINTS,
                on=sample,
                progress=lab.labelled(f"width {width}, random lines"),
            )["loss"]
            for number in range(lab.pick(quick=6, full=8))
        ]
    )
    inner = random_lines[..., POINTS // 4 : POINTS - POINTS // 4]
    following = there[[*range(1, len(there)), 0]]
    between = lines(problem, there, following, points=21, on=sample, seed=lab.seed)
    hessian = curvature.hessian(problem, there, on=sample)
    top = spectra.top_eigenvalues(hessian, 1, tolerance=0.05, seed=lab.seed).values[:, 0]
    squares = there.theta.double().square().cpu().numpy()
    rough = (landscape.distance_from_convex(random_lines), landscape.distance_from_convex(inner))
    found = (
        *(np.sqrt((values**2).mean(0)) for values in (*rough, landscape.distance_from_parabola(inner))),
        between["loss barrier"],
        reached.values,
        top * squares.sum(1),
        top * squares.mean(1),
        reached.steps,
    )
    return {name: reached.among_all(values) for name, values in zip(NAMES, found, strict=True)}


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Measure the loss around networks of every width, and by which power of the width it changes."""
    seeds, widths = lab.seeds(quick=6, full=10).scored, WIDTHS[lab.scale]
    each = [measured(lab, width, seeds) for width in widths]
    table = {name: np.stack([one[name] for one in each]) for name in each[0]}
    seen = table | {name: np.maximum(table[name], FLOOR) for name in (ROUGH, NEAR, BARRIER)}
    powers = {name: interval.mean(exponents(widths, values)) for name, values in seen.items()}
    means = {name: values.mean(1) for name, values in table.items()}
    rough, near, height, loss, taken = (means[name] for name in (ROUGH, NEAR, BARRIER, LOSS, TAKEN))
    ends = (0.75 * widths[0], max(1.4 * widths[-1], 120.0))  # two powers of ten in sight, or labels crowd
    panels = [
        spread(
            lab.reading(title, values, {"line": names, "width": widths, "seed": seeds}),
            x="width",
            over="seed",
            center="geometric mean",
            x_axis=Axis("width", scale="log", limits=ends),
            y_axis=Axis(label, unit, scale="log"),
        )
        for title, names, values, label, unit in (
            ("Random lines", [f"to {SPAN}, judged", f"to {SPAN / 2:g}"], [seen[ROUGH], seen[NEAR]], ROUGH, ""),
            ("Between solutions", [""], [seen[BARRIER]], BARRIER, "nats"),
            ("Curvature", [""], [table[SHARP]], "largest eigenvalue x |theta|^2", "nats"),
        )
    ]
    figure = Figure.row(
        panels,
        title="The landscape by width",
        caption=f"MLPs 64-w-w-10 with tanh trained by momentum on digits until the training loss is below {EQUAL:g} "
        f"nats, all at the rate {RATE:g}, {len(seeds)} seeds; bands from the smallest to the largest. Random lines are "
        f"filter-normalized, each network's own, and go up to {SPAN:g} or {SPAN / 2:g} times its weights' length to "
        f"both sides; less rough than {FLOOR:g} is drawn as that.",
    )
    return lab.finding(
        powers[ROUGH],
        parts={"half as far": powers[NEAR]},
        figures=figure,
        ran={"units in the widest layer": widths[-1]},
        readings=[
            lab.reading(name, values, {"width": widths, "seed": seeds}, unit="nats" if name in NATS else "")
            for name, values in table.items()
        ],
        sentences=(
            f"Up to {SPAN} times the weights' length away the loss deviates from a convex curve by {rough[0]:.2%} of "
            f"its range at width {widths[0]} and by {rough[-1]:.2%} at width {widths[-1]}; half as far by "
            f"{near[0]:.2%} and {near[-1]:.2%}.",
            f"They are compared where the training loss was first read below {EQUAL:g} nats: at {loss.min():.3f} to "
            f"{loss.max():.3f} in the mean over seeds, after {taken[0]:.0f} steps of width {widths[0]} and "
            f"{taken[-1]:.0f} of width {widths[-1]}.",
            f"The barrier between two solutions is {height[0]:.2g} nats at the one width and {height[-1]:.2g} at the "
            "other.",
            f"The distance from a parabola goes with the width to the power {powers[BENT]}: what is convex need not be "
            "a parabola.",
        ),
        numbers={
            "slopes, 95 % intervals": {name: str(power) for name, power in powers.items() if name != ROUGH},
            "means by width": {
                name: dict(zip(map(str, widths), means[name].tolist(), strict=True))
                for name in (ROUGH, NEAR, BARRIER, LOSS, TAKEN)
            },
        },
    )
