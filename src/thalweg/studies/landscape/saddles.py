"""LAN6: the higher the loss of a critical point, the more directions lead down from it; at the bottom none do."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg import curvature, data, nets, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, Scatter
from thalweg.landscape import critical_points
from thalweg.population import Batch, Population, Problem
from thalweg.population.derivatives import gradient
from thalweg.randomness import stream_key
from thalweg.spectra import negative_index
from thalweg.statistics import CORRELATION, SHARE, Interval, interval, spearman
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
AT_MOST = 0.02  # of the directions lead down where they are "about none": 1 of 59 and 3 of 162
CLAIM = Claim(
    id="LAN6",
    statement="The higher the loss of a critical point, the larger the share of directions in which the loss curves "
    "downwards there, and at the lowest that the searches of a seed find it is about 0, as must be where one of them "
    "starts at the end of a long descent. (Digits by squared error with weight decay, MLPs with tanh of 59 or 162 "
    "parameters, which is no high dimension.)",
    lecture="In high dimension there are no local minima, mostly saddles.",
    rule=every_part(),
    unit="rank correlation of loss and share of negative eigenvalues; share of seeds with about none at the bottom",
    budget={"searches a seed": 8},
    corrected="Bad minima exist (Safran & Shamir, 2018, arXiv:1712.08968). What can be tested is whether searches "
    "come upon them, and those from training runs and random points are no fair sample of all critical points; nor are "
    "networks whose Hessian can be factored of high dimension. That hardly a direction leads down at the lowest says "
    "little: descent that is run until it hardly moves must end at such a point, and one search of each seed starts "
    "there.",
    parts=(
        Part(
            "rise",
            "The share of directions that lead down rises with the loss of a critical point.",
            greater(0),
            "Spearman's rank correlation of loss and share of negative eigenvalues, over the critical points of a seed",
            bounds=CORRELATION,
        ),
        Part(
            "bottom",
            f"At the critical point of lowest loss that a seed's searches found, at most {AT_MOST:.0%} of the "
            "directions lead down, for most seeds.",
            greater(0.5),
            f"share of seeds at whose lowest critical point at most {AT_MOST:.0%} of the eigenvalues are negative",
            bounds=SHARE,
        ),
    ),
)
# Settings were looked at on the seeds 900 to 902 and in a lab with the seed 500, on which nothing is scored. Decay
# bounds the landscape and makes its critical points isolated: without it tanh networks of nearly linear units have
# valleys with hardly a slope, in which most searches end (Frye et al., 2021, arXiv:2003.10397). Runs go on until they
# hardly move: after 400 steps the lowest points found were still saddles.
WIDTHS = {"quick": (6, 5, 4), "full": (8, 8, 10)}  # of the network; the last is how many of the digits
EXAMPLES = {"quick": 100, "full": 200}
STEPS = {"quick": (4, 7, 12, 30, 4_000), "full": (6, 8, 16, 100, 1_000, 8_000)}  # of the run, to search from
DECAY = 5e-3
SMALL = 0.2  # a fresh network by this starts near the saddle at zero, and comes by others
SPREAD = (0.5, 2.0)  # a fresh network by a number between is a random point
TOLERANCE = 1e-9  # of the gradient's norm, by that of fresh networks
FEWEST = 4  # different critical points of a seed that have a rank correlation


def problem_of(lab: Lab) -> Problem:
    """Digits in their first principal components, by squared error with weight decay, on a small smooth network."""
    widths, train = WIDTHS[lab.scale], data.digits().train
    known = torch.as_tensor(train.slice(0, len(train))[1]) < widths[-1]
    some = train.select(known.nonzero().flatten()[: EXAMPLES[lab.scale]])
    few = data.one_hot(data.in_principal_components(data.Data(some, classes=widths[-1]), widths[0]))

    def error(outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return (outputs[0] - target).square().mean(-1)

    def loss(outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return error(outputs, target) + DECAY / 2 * outputs[1]

    def model() -> nn.Module:
        return nets.WithSquaredNorm(nets.mlp(*widths, activation="tanh"))

    return Problem(model, few, loss, metrics={"error": error}, device=lab.device, dtype=torch.float64)


def starts(problem: Problem, lab: Lab, seeds: list[int]) -> Population:
    """Of every seed, points along a training run that begins small, then random points: members (points, seeds)."""
    steps, fresh = STEPS[lab.scale], problem.initialize(seeds)
    recipe = Recipe(optim.Momentum(2.0), steps[-1], evaluate=0, snapshot=steps)
    run = lab.train(problem, recipe, seeds, start=fresh.with_theta(SMALL * fresh.theta), paired=True)
    points = [population.theta for population in run.snapshots.values()]
    for number, scale in enumerate(np.geomspace(*SPREAD, lab.pick(quick=3, full=4))):
        keys = [stream_key(seed, "random point", number) for seed in seeds]
        points.append(float(scale) * problem.initialize(keys).theta)
    return problem.initialize([0]).with_theta(torch.cat(points))


def over_seeds(correlations: Array) -> Interval:
    """The mean over seeds that have a correlation; where a few seeds all have 1 it does not take that for certain."""
    known = correlations[np.isfinite(correlations)]
    if not len(known):
        return Interval.missing("no seed has a rank correlation")
    return interval.bounded(known, *CORRELATION)


def at_the_bottom(lowest: Array) -> Interval:
    """The share of seeds at whose lowest critical point at most `AT_MOST` of the directions lead down."""
    if not len(lowest):
        return Interval.missing("no seed has a critical point")
    return interval.fraction(lowest <= AT_MOST)


def starts_of_lowest(loss: Array, names: list[str]) -> list[str]:
    """From which starts the lowest critical point of each seed was found, of seeds that have one: (seeds,) texts.

    Args:
        loss: of the critical points that searches ended at, NaN of those that did not: (points, seeds).
        names: of the starts: (points,).
    """
    some = loss[:, np.isfinite(loss).any(0)]
    there = some - np.nanmin(some, 0) <= 1e-7 * np.nanmax(np.abs(some), 0)  # one loss is one point, as in `distinct`
    return [", ".join(name for name, led in zip(names, column, strict=True) if led) for column in there.T]


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Search for critical points from runs and random points; rank loss and index within each seed."""
    seeds, widths = lab.seeds(quick=6, full=10).scored, WIDTHS[lab.scale]
    problem = problem_of(lab)
    whole = Batch.range(problem.data.train, 0, len(problem.data.train))
    norms = torch.linalg.vector_norm(gradient(problem, problem.initialize(seeds), whole), dim=1)
    search = critical_points(
        problem,
        starts(problem, lab, seeds),
        tolerance=TOLERANCE * float(norms.mean()),
        steps=lab.pick(quick=60, full=80),
        progress=lab.labelled("critical points"),
    )
    curved = negative_index(curvature.hessian(problem, search.population))
    single = search.distinct(np.tile(seeds, len(search.converged) // len(seeds))).reshape(-1, len(seeds))
    everywhere = {
        "loss": search["loss"],
        "loss without decay": evaluate(problem, search.population, "train")["error"].numpy(),
        "negative index": curved["negative"],
        "smallest eigenvalue": curved["smallest eigenvalue"],
    }
    table = np.array([np.where(search.converged, values, np.nan) for values in everywhere.values()])
    loss, bare, index = np.where(single, table[:3].reshape(3, *single.shape), np.nan)
    correlations, with_bare = spearman(loss, index, fewest=FEWEST), spearman(bare, index, fewest=FEWEST)
    losses, shares = loss[single], index[single]
    high = shares[losses > (losses.min() + losses.max()) / 2] if len(losses) else shares
    some = single.any(0)
    lowest = index[:, some][np.nanargmin(loss[:, some], 0), np.arange(some.sum())]
    names = [f"step {step:,}" for step in STEPS[lab.scale]]
    names += [f"random point {number}" for number in range(1, single.shape[0] - len(names) + 1)]
    origins = starts_of_lowest(table[0].reshape(single.shape), names)
    from_end = sum(origin == f"step {STEPS[lab.scale][-1]:,}" for origin in origins)
    flat = ~search.converged & (search["curvature along the gradient"] < 1e-3)
    from_run, from_random = np.split(np.array([index, loss]), [len(STEPS[lab.scale])], axis=1)
    figure = Figure.of(
        "Critical points",
        (
            Scatter(*from_run.reshape(2, -1), label="from a training run"),
            Scatter(*from_random.reshape(2, -1), label="from a random point"),
        ),
        Axis("share of negative eigenvalues"),
        Axis("loss with decay"),
        caption=f"MLP {'-'.join(map(str, widths))} with tanh, {problem.layout.parameters} parameters; "
        f"{len(problem.data.train)} digits in {widths[0]} principal components; squared error with weight decay "
        f"{DECAY:g}; {len(seeds)} seeds. Gradients are below {TOLERANCE:g} of a fresh network's.",
    )
    sentences = [
        f"{search.converged.sum()} of {single.size} searches ended at critical points, {len(losses)} different ones.",
        f"{len(high)} have a loss in the upper half of the range, and {(high == 0).sum()} of these are minima.",
    ]
    if len(lowest):
        sentences.append(
            f"At the lowest of each seed {lowest.mean():.1%} of the eigenvalues are negative in the mean, at most "
            f"{lowest.max():.1%}; over all critical points {shares.mean():.1%}."
        )
        sentences.append(
            f"For {from_end} of {len(lowest)} seeds only the search from the end of the run, after "
            f"{STEPS[lab.scale][-1]:,} steps, found that point."
        )
    return lab.finding(
        parts={"rise": over_seeds(correlations), "bottom": at_the_bottom(lowest)},
        figures=figure,
        ran={"searches a seed": single.shape[0]},
        readings=(
            lab.reading("rank correlation of loss and index", correlations, {"seed": seeds}),
            lab.reading(
                "where searches ended",
                np.array([*table, single.ravel()]),
                {"of a point": [*everywhere, "first with its loss"], "search": np.arange(single.size)},
                notes=("NaN where a search did not end at a critical point.",),
            ),
        ),
        sentences=sentences,
        numbers={
            "searches that ended at a minimum of |g| that is not 0": int(flat.sum()),
            "different critical points": len(losses),
            "minima among them": int((shares == 0).sum()),
            "share of negative eigenvalues at the lowest point of each seed": lowest.tolist(),
            "starts from which the lowest point of each seed was found": origins,
            "rank correlation with the loss without decay": str(over_seeds(with_bare)),
            f"seeds with fewer than {FEWEST} points, left out": int(np.isnan(correlations).sum()),
        },
    )
